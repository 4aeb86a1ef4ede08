//! Parallel coordinates: an axis a parameter and one for the objective, a line a job.

use std::fmt::Write;

use super::chart::{Axis, along, labels};
use super::{Section, escaped, short};

const SIZE: (f64, f64) = (900.0, 340.0);
const TOP: f64 = 36.0;
const BOTTOM: f64 = 300.0;
const SIDE: f64 = 60.0;

/// The plot; `None` without objectives.
pub fn coordinates(section: &Section) -> Option<String> {
    let axis = Axis::of(section)?;
    let parameters = section.space.parameters();
    let count = parameters.len();
    let x = |index: usize| SIDE + index as f64 * (SIZE.0 - 2.0 * SIDE) / count as f64;
    let y = |share: f64| BOTTOM - share * (BOTTOM - TOP);
    let mut body = String::new();
    let best = section.best().map(|job| job.name.as_str());
    let better_is_less = section.direction.lower(1.0) > 0.0;
    // The best job is drawn last, over the others.
    let (top, others): (Vec<_>, Vec<_>) =
        section.jobs.iter().partition(|job| Some(job.name.as_str()) == best);
    for job in others.into_iter().chain(top) {
        let (Some(value), Some(point)) = (job.objective, section.space.point(&job.setting)) else { continue };
        let height = axis.share(value);
        let mut line = String::new();
        for (index, parameter) in parameters.iter().enumerate() {
            let start = if index == 0 { 'M' } else { 'L' };
            let _ = write!(line, "{start}{:.1} {:.1}", x(index), y(along(parameter, point[index])));
        }
        let _ = write!(line, "L{:.1} {:.1}", x(count), y(height));
        let goodness = if better_is_less { 1.0 - height } else { height };
        let class = if Some(job.name.as_str()) == best { "top-line" } else { "line" };
        let _ = write!(
            body,
            r#"<path class="{class}" style="opacity:{:.2}" d="{line}"><title>{}: {}</title></path>"#,
            if class == "line" { 0.12 + 0.6 * goodness * goodness } else { 1.0 },
            escaped(&job.name),
            short(value)
        );
    }
    for index in 0..=count {
        let place = x(index);
        let _ =
            write!(body, r#"<line class="axis" x1="{place:.1}" y1="{TOP}" x2="{place:.1}" y2="{BOTTOM}"/>"#);
        let (name, marks) = match parameters.get(index) {
            Some(parameter) => (parameter.name.as_str(), labels(section, index)),
            None => {
                let ends = section.jobs.iter().filter_map(|job| job.objective);
                let (low, high) = ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                    (low.min(value), high.max(value))
                });
                let marks = [low, high].map(|value| (axis.share(value), short(value)));
                (section.metric.as_str(), marks.into())
            }
        };
        // Names stand at two heights, so that long ones do not meet.
        let height = if index % 2 == 0 { TOP - 20.0 } else { TOP - 8.0 };
        let _ =
            write!(body, r#"<text class="middle" x="{place:.1}" y="{height:.1}">{}</text>"#, escaped(name));
        for (share, text) in marks {
            let _ = write!(
                body,
                r#"<text class="mark" x="{:.1}" y="{:.1}">{}</text>"#,
                place + 4.0,
                y(share) + 4.0,
                escaped(&text)
            );
        }
    }
    let caption = "every job as a line; the stronger, the better";
    Some(format!(
        r#"<svg viewBox="0 0 {} {}" role="img" aria-label="{caption}">{body}<text class="caption" x="450" y="{:.1}">{caption}</text></svg>"#,
        SIZE.0,
        SIZE.1,
        SIZE.1 - 8.0
    ))
}
