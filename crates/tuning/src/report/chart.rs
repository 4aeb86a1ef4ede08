//! Plots of a section as SVG: objective over time, objective against a parameter, importance.

use std::fmt::Write;

use super::{Section, escaped, short};
use crate::insight::Insight;
use crate::space::{Parameter, Range};

/// Size of a wide plot and of one of several beside each other, in the units of the view box.
const WIDE: (f64, f64) = (900.0, 300.0);
/// See [`WIDE`].
const SMALL: (f64, f64) = (440.0, 240.0);
/// Space for labels: left, right, top, bottom.
const MARGIN: (f64, f64, f64, f64) = (66.0, 14.0, 14.0, 40.0);

/// The vertical axis of objectives. Values far on the bad side are drawn at its end, where they do not
/// press the others together.
#[derive(Debug, Clone, Copy)]
pub struct Axis {
    low: f64,
    high: f64,
}

impl Axis {
    /// The axis of a section's objectives; `None` when there are none.
    pub fn of(section: &Section) -> Option<Self> {
        let mut values: Vec<f64> = section.jobs.iter().filter_map(|job| job.objective).collect();
        values.sort_by(f64::total_cmp);
        let quantile =
            |share: f64| values.get(((values.len() as f64 - 1.0) * share).round() as usize).copied();
        let (least, low, middle, high, most) =
            (quantile(0.0)?, quantile(0.25)?, quantile(0.5)?, quantile(0.75)?, quantile(1.0)?);
        let reach = 1.5 * (high - low).max(1e-9 * middle.abs()).max(f64::MIN_POSITIVE);
        let better_is_less = section.direction.lower(1.0) > 0.0;
        let (low, high) =
            if better_is_less { (least, most.min(high + reach)) } else { (least.max(low - reach), most) };
        let room = if high > low { 0.06 * (high - low) } else { 0.5 * low.abs().max(1.0) };
        Some(Self { low: low - room, high: high + room })
    }

    /// 0 at the low end, 1 at the high one.
    pub fn share(self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    fn ticks(self) -> [f64; 5] {
        [0.0, 0.25, 0.5, 0.75, 1.0].map(|share| self.low + share * (self.high - self.low))
    }
}

/// A plot with its frame and the labels of the vertical axis.
struct Plot {
    size: (f64, f64),
    body: String,
}

impl Plot {
    fn new(size: (f64, f64), axis: Axis) -> Self {
        let mut plot = Self { size, body: String::new() };
        for tick in axis.ticks() {
            let y = plot.y(axis.share(tick));
            let (left, right) = (MARGIN.0, size.0 - MARGIN.1);
            let label = short(tick);
            let _ = write!(
                plot.body,
                r#"<line class="grid" x1="{left}" y1="{y:.1}" x2="{right}" y2="{y:.1}"/><text class="end" x="{:.1}" y="{:.1}">{label}</text>"#,
                left - 6.0,
                y + 4.0
            );
        }
        plot
    }

    fn x(&self, share: f64) -> f64 {
        MARGIN.0 + share * (self.size.0 - MARGIN.0 - MARGIN.1)
    }

    fn y(&self, share: f64) -> f64 {
        self.size.1 - MARGIN.3 - share * (self.size.1 - MARGIN.2 - MARGIN.3)
    }

    fn below(&mut self, share: f64, text: &str) {
        let (x, y) = (self.x(share), self.size.1 - MARGIN.3 + 17.0);
        let _ = write!(self.body, r#"<text class="middle" x="{x:.1}" y="{y:.1}">{}</text>"#, escaped(text));
    }

    fn dot(&mut self, (x, y): (f64, f64), class: &str, title: &str) {
        let (x, y) = (self.x(x), self.y(y));
        let _ = write!(
            self.body,
            r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="4"><title>{}</title></circle>"#,
            escaped(title)
        );
    }

    fn finish(self, caption: &str) -> String {
        let (width, height) = self.size;
        let caption_x = self.x(0.5);
        format!(
            r#"<svg viewBox="0 0 {width} {height}" role="img" aria-label="{0}">{1}<text class="caption" x="{caption_x:.1}" y="{2:.1}">{0}</text></svg>"#,
            escaped(caption),
            self.body,
            height - 4.0
        )
    }
}

/// Every job's objective in the order of the jobs, with a line for the best so far.
pub fn progress(section: &Section) -> Option<String> {
    let axis = Axis::of(section)?;
    let mut plot = Plot::new(WIDE, axis);
    let last = section.jobs.len().saturating_sub(1).max(1) as f64;
    let mut best: Option<f64> = None;
    let mut line = String::new();
    for (index, job) in section.jobs.iter().enumerate() {
        let x = index as f64 / last;
        let Some(value) = job.objective else { continue };
        let y = axis.share(value);
        plot.dot((x, y), if job.status == "Stopped" { "stopped" } else { "dot" }, &title(section, index));
        let better = best.is_none_or(|best| section.direction.lower(value) < section.direction.lower(best));
        let before = best.filter(|_| better);
        best = if better { Some(value) } else { best };
        for level in before.into_iter().chain(best) {
            let start = if line.is_empty() { 'M' } else { 'L' };
            let _ = write!(line, "{start}{:.1} {:.1}", plot.x(x), plot.y(axis.share(level)));
        }
    }
    let _ = write!(plot.body, r#"<path class="best" d="{line}"/>"#);
    let steps = (section.jobs.len().saturating_sub(1)).clamp(1, 8);
    for step in 0..=steps {
        let number = step * section.jobs.len().saturating_sub(1) / steps;
        plot.below(number as f64 / last, &(number + 1).to_string());
    }
    Some(plot.finish(&format!("{} by job, and the best so far", section.metric)))
}

fn title(section: &Section, index: usize) -> String {
    let Some(job) = section.jobs.get(index) else { return String::new() };
    let setting: Vec<String> = section
        .space
        .parameters()
        .iter()
        .zip(&job.setting)
        .map(|(parameter, value)| format!("{} = {value}", parameter.name))
        .collect();
    let objective = job.objective.map(short).unwrap_or_default();
    format!("{}: {objective} ({})\n{}", job.name, job.status, setting.join("\n"))
}

/// The place of a coordinate along an axis: categories stand in the middle of equal shares.
pub fn along(parameter: &Parameter, place: f64) -> f64 {
    match &parameter.range {
        Range::Categorical { values } => (place + 0.5) / values.len().max(1) as f64,
        Range::Continuous { .. } | Range::Integer { .. } => place,
    }
}

/// The labels of a parameter's axis: share and text.
pub fn labels(section: &Section, index: usize) -> Vec<(f64, String)> {
    let Some(parameter) = section.space.parameters().get(index) else { return Vec::new() };
    if let Range::Categorical { values } = &parameter.range {
        let count = values.len().max(1) as f64;
        return values
            .iter()
            .enumerate()
            .map(|(place, value)| ((place as f64 + 0.5) / count, cut(value)))
            .collect();
    }
    let text = |share: f64| match parameter.range.value(share) {
        crate::space::Value::Number(number) => short(number),
        other => other.to_string(),
    };
    [0.0, 0.5, 1.0].map(|share| (share, text(share))).into()
}

fn cut(text: &str) -> String {
    if text.chars().count() <= 14 { text.to_owned() } else { text.chars().take(13).chain(['…']).collect() }
}

/// The objective against one parameter, in the parameter's scale.
pub fn against(section: &Section, index: usize) -> Option<String> {
    let axis = Axis::of(section)?;
    let parameter = section.space.parameters().get(index)?;
    let mut plot = Plot::new(SMALL, axis);
    let best = section.best().map(|job| job.name.clone());
    // The best one is drawn last, over the others.
    let (top, others): (Vec<_>, Vec<_>) =
        section.jobs.iter().enumerate().partition(|(_, job)| Some(&job.name) == best.as_ref());
    for (number, job) in others.into_iter().chain(top) {
        let (Some(value), Some(point)) = (job.objective, section.space.point(&job.setting)) else { continue };
        let class = if Some(&job.name) == best.as_ref() { "top" } else { "dot" };
        plot.dot((along(parameter, point[index]), axis.share(value)), class, &title(section, number));
    }
    for (share, text) in labels(section, index) {
        plot.below(share, &text);
    }
    Some(plot.finish(&format!("{} by {}", section.metric, parameter.name)))
}

/// Importance as bars, with the correlation beside them.
pub fn importance(insights: &[Insight]) -> Option<String> {
    let mut known: Vec<(&Insight, f64)> =
        insights.iter().filter_map(|insight| Some((insight, insight.importance?))).collect();
    if known.is_empty() {
        return None;
    }
    known.sort_by(|a, b| b.1.total_cmp(&a.1));
    const ROW: f64 = 26.0;
    let height = known.len() as f64 * ROW + 34.0;
    let mut body = String::new();
    for (row, (insight, share)) in known.iter().enumerate() {
        let y = row as f64 * ROW + 6.0;
        let width = share * 420.0;
        let correlation = insight.correlation.map_or_else(
            || "no order".to_owned(),
            |correlation| format!("rank correlation {correlation:+.2}"),
        );
        let _ = write!(
            body,
            r#"<text class="end" x="240" y="{0:.1}">{1}</text><rect class="bar" x="250" y="{y:.1}" width="{width:.1}" height="18"/><text x="{2:.1}" y="{0:.1}">{3:.0} %, {correlation}</text>"#,
            y + 14.0,
            escaped(&cut_to(&insight.name, 30)),
            258.0 + width,
            share * 100.0
        );
    }
    let caption = "share of what the objective varies with, by the model";
    Some(format!(
        r#"<svg viewBox="0 0 900 {height}" role="img" aria-label="{caption}">{body}<text class="caption" x="460" y="{:.1}">{caption}</text></svg>"#,
        height - 6.0
    ))
}

fn cut_to(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        text.to_owned()
    } else {
        text.chars().take(characters - 1).chain(['…']).collect()
    }
}
