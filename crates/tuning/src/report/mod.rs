//! The report of a search: one HTML page with its plots as inline SVG and nothing to load, and a table
//! of its jobs as CSV.

mod chart;
mod page;
mod parallel;
mod table;

use crate::insight::{Insight, insights};
use crate::space::{Setting, Space};
use crate::tuner::{Direction, Settings, Strategy, Tuner};

/// One job of a search.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// Its status, as the user knows it.
    pub status: String,
    /// Its setting.
    pub setting: Setting,
    /// What it achieved.
    pub objective: Option<f64>,
    /// Seconds that its program ran.
    pub seconds: Option<f64>,
}

/// A search over one space.
#[derive(Debug)]
pub struct Section {
    /// Heading, when there are several.
    pub name: Option<String>,
    /// The objective's name.
    pub metric: String,
    /// Which objectives are better.
    pub direction: Direction,
    /// What is searched.
    pub space: Space,
    /// The jobs, oldest first.
    pub jobs: Vec<Job>,
}

/// A whole report.
#[derive(Debug)]
pub struct Report {
    /// Name of the tuning job.
    pub title: String,
    /// Facts shown at the top: name and value.
    pub facts: Vec<(String, String)>,
    /// The searches.
    pub sections: Vec<Section>,
}

impl Report {
    /// The page.
    pub fn html(&self) -> String {
        page::html(self)
    }

    /// The jobs: name, status, objective, every parameter, seconds.
    pub fn csv(&self) -> String {
        table::csv(self)
    }
}

impl Section {
    /// The job with the best objective.
    fn best(&self) -> Option<&Job> {
        let lower = |job: &Job| job.objective.map(|value| self.direction.lower(value));
        let measured = self.jobs.iter().filter_map(|job| Some((job, lower(job)?)));
        measured.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(job, _)| job)
    }

    fn insights(&self) -> Vec<Insight> {
        let settings = Settings { strategy: Strategy::Bayesian, direction: self.direction, seed: 0 };
        let Ok(mut tuner) = Tuner::new(self.space.clone(), settings) else { return Vec::new() };
        for job in &self.jobs {
            if let Some(objective) = job.objective {
                // A result that the tuner does not take is not part of the picture.
                let _ = tuner.learn(0, job.setting.clone(), objective);
            }
        }
        insights(&tuner)
    }
}

/// Text for HTML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

/// A number with about five significant digits, for labels.
fn short(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e5).contains(&size) {
        return format!("{value:.2e}");
    }
    let digits = (4 - size.max(1e-3).log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests;
