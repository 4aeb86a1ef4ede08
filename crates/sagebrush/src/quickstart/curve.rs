//! The learning curve as an SVG picture: train and validation error by epoch, the kept epoch marked.
//!
//! Promises: plain SVG 1.1 with no script, no font to load and nothing from elsewhere; text is escaped; any finite
//! errors give a picture, one epoch included.

use super::train::Epoch;
use std::fmt::Write as _;

const WIDTH: f64 = 880.0;
const HEIGHT: f64 = 480.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 28.0;
const TOP: f64 = 84.0;
const BOTTOM: f64 = 62.0;
const TRAIN: &str = "#2a6fb0";
const VALIDATION: &str = "#c8551b";
const INK: &str = "#22272e";
const FAINT: &str = "#6b7280";
const GRID: &str = "#e5e7eb";
/// Room for the label of the kept epoch.
const LABEL_WIDTH: f64 = 240.0;
/// About as many ticks as an axis carries without crowding.
const TICKS: f64 = 6.0;

/// Draws the curve; `title` and `subtitle` stand above it. `None` when no epoch has an error to show.
pub(super) fn svg(epochs: &[Epoch], best: Option<u32>, title: &str, subtitle: &str) -> Option<String> {
    let train = points(epochs, |epoch| epoch.train_mse);
    let validation = points(epochs, |epoch| epoch.validation_mse);
    let frame = Frame::around(train.iter().chain(&validation))?;
    let mut picture = String::new();
    let _ = writeln!(
        picture,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
         height=\"{HEIGHT}\" role=\"img\" font-family=\"system-ui, 'Segoe UI', Helvetica, Arial, sans-serif\">\n\
         <title>{0}</title>\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>",
        escaped(title),
    );
    text(&mut picture, (LEFT, 34.0), "start", 19.0, INK, title);
    text(&mut picture, (LEFT, 57.0), "start", 13.0, FAINT, subtitle);
    axes(&mut picture, &frame);
    mark_best(&mut picture, &frame, &validation, best);
    line(&mut picture, &frame, &train, TRAIN);
    line(&mut picture, &frame, &validation, VALIDATION);
    legend(&mut picture);
    picture.push_str("</svg>\n");
    Some(picture)
}

fn points(epochs: &[Epoch], error: impl Fn(&Epoch) -> Option<f64>) -> Vec<(f64, f64)> {
    epochs
        .iter()
        .filter_map(|epoch| Some((f64::from(epoch.epoch), error(epoch).filter(|mse| mse.is_finite())?)))
        .collect()
}

/// The ranges shown and how they map to the picture.
struct Frame {
    x: (f64, f64),
    y: (f64, f64),
    x_step: f64,
    y_step: f64,
}

impl Frame {
    fn around<'a>(points: impl Iterator<Item = &'a (f64, f64)> + Clone) -> Option<Self> {
        let least = |values: &mut dyn Iterator<Item = f64>| values.reduce(f64::min);
        let most = |values: &mut dyn Iterator<Item = f64>| values.reduce(f64::max);
        let x = (least(&mut points.clone().map(|at| at.0))?, most(&mut points.clone().map(|at| at.0))?);
        let y = (least(&mut points.clone().map(|at| at.1))?, most(&mut points.clone().map(|at| at.1))?);
        let x = if x.0 == x.1 { (x.0 - 0.5, x.1 + 0.5) } else { x };
        let y = if y.0 == y.1 { (y.0 - 0.05, y.1 + 0.05) } else { y };
        let y_step = nice((y.1 - y.0) / TICKS);
        let y = ((y.0 / y_step).floor() * y_step, (y.1 / y_step).ceil() * y_step);
        Some(Self { x_step: nice((x.1 - x.0) / (2.0 * TICKS)).max(1.0), x, y, y_step })
    }

    fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let across = (x - self.x.0) / (self.x.1 - self.x.0);
        let up = (y - self.y.0) / (self.y.1 - self.y.0);
        // A little air left and right of the first and last epoch.
        let width = WIDTH - LEFT - RIGHT;
        (LEFT + width * (0.03 + 0.94 * across), HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * up)
    }
}

/// The next of 1, 2, 5 times a power of ten.
fn nice(step: f64) -> f64 {
    let power = 10f64.powf(step.max(f64::MIN_POSITIVE).log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|digit| digit * power).find(|nice| *nice >= step).unwrap_or(10.0 * power)
}

fn ticks(from: f64, to: f64, step: f64) -> impl Iterator<Item = f64> {
    let first = (from / step - 1e-9).ceil();
    let count = ((to / step + 1e-9).floor() - first).max(0.0) as u32;
    (0..=count).map(move |index| (first + f64::from(index)) * step)
}

fn axes(picture: &mut String, frame: &Frame) {
    let decimals = (-frame.y_step.log10().floor()).clamp(0.0, 6.0) as usize;
    let right = WIDTH - RIGHT;
    for value in ticks(frame.y.0, frame.y.1, frame.y_step) {
        let (_, y) = frame.at((frame.x.0, value));
        let _ = writeln!(
            picture,
            "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"{GRID}\"/>"
        );
        text(picture, (LEFT - 10.0, y + 4.0), "end", 12.0, FAINT, &format!("{value:.decimals$}"));
    }
    let floor = HEIGHT - BOTTOM;
    for value in ticks(frame.x.0, frame.x.1, frame.x_step) {
        let (x, _) = frame.at((value, frame.y.0));
        let _ = writeln!(
            picture,
            "<line x1=\"{x:.1}\" y1=\"{floor}\" x2=\"{x:.1}\" y2=\"{}\" stroke=\"{FAINT}\"/>",
            floor + 5.0
        );
        text(picture, (x, floor + 21.0), "middle", 12.0, FAINT, &format!("{value:.0}"));
    }
    let _ = writeln!(picture, "<path d=\"M{LEFT} {TOP}V{floor}H{right}\" fill=\"none\" stroke=\"{FAINT}\"/>");
    text(picture, ((LEFT + right) / 2.0, HEIGHT - 18.0), "middle", 13.0, INK, "epoch");
    let middle = (TOP + floor) / 2.0;
    let _ = writeln!(
        picture,
        "<text transform=\"translate(22 {middle}) rotate(-90)\" text-anchor=\"middle\" font-size=\"13\" \
         fill=\"{INK}\">mean squared error</text>"
    );
}

fn line(picture: &mut String, frame: &Frame, points: &[(f64, f64)], colour: &str) {
    let placed: Vec<(f64, f64)> = points.iter().map(|point| frame.at(*point)).collect();
    let joined: Vec<String> = placed.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(
        picture,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.2\" stroke-linejoin=\"round\"/>",
        joined.join(" ")
    );
    for (x, y) in placed {
        let _ = writeln!(picture, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
    }
}

fn mark_best(picture: &mut String, frame: &Frame, validation: &[(f64, f64)], best: Option<u32>) {
    let Some(point) = best.and_then(|best| validation.iter().find(|point| point.0 == f64::from(best))) else {
        return;
    };
    let (x, y) = frame.at(*point);
    let _ = writeln!(
        picture,
        "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{}\" stroke=\"{VALIDATION}\" stroke-dasharray=\"4 4\" \
         opacity=\"0.6\"/>\n<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"7\" fill=\"none\" stroke=\"{VALIDATION}\" \
         stroke-width=\"1.6\"/>",
        HEIGHT - BOTTOM
    );
    // At the top of the mark, where neither curve is late in a run; to its right as long as there is room.
    let (anchor, shift) = if x > WIDTH - RIGHT - LABEL_WIDTH { ("end", -10.0) } else { ("start", 10.0) };
    let label = format!("kept: epoch {:.0}, validation {:.4}", point.0, point.1);
    text(picture, (x + shift, TOP + 18.0), anchor, 13.0, VALIDATION, &label);
}

fn legend(picture: &mut String) {
    for (index, (name, colour)) in [("train", TRAIN), ("validation", VALIDATION)].into_iter().enumerate() {
        let x = WIDTH - RIGHT - 190.0 + index as f64 * 84.0;
        let _ = writeln!(
            picture,
            "<line x1=\"{x}\" y1=\"53\" x2=\"{}\" y2=\"53\" stroke=\"{colour}\" stroke-width=\"2.2\"/>\n\
             <circle cx=\"{}\" cy=\"53\" r=\"3\" fill=\"{colour}\"/>",
            x + 24.0,
            x + 12.0
        );
        text(picture, (x + 31.0, 57.0), "start", 13.0, INK, name);
    }
}

fn text(picture: &mut String, (x, y): (f64, f64), anchor: &str, size: f64, colour: &str, words: &str) {
    let _ = writeln!(
        picture,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\" fill=\"{colour}\">{}</text>",
        escaped(words)
    );
}

fn escaped(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn epoch(epoch: u32, train: f64, validation: f64) -> Epoch {
        Epoch { epoch, train_mse: Some(train), validation_mse: Some(validation), records_per_second: None }
    }

    #[test]
    fn the_picture_has_both_curves_and_the_best_epoch() {
        let epochs = [epoch(0, 0.853, 0.778), epoch(1, 0.362, 0.72), epoch(2, 0.156, 0.762)];
        let picture = svg(&epochs, Some(1), "a < b & c", "sub").expect("a picture");
        assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
        assert_eq!(picture.matches("<polyline").count(), 2);
        assert!(picture.contains("kept: epoch 1, validation 0.7200"), "{picture}");
        assert!(picture.contains("a &lt; b &amp; c") && !picture.contains("a < b"));
        assert!(svg(&[], None, "", "").is_none());
    }

    #[test]
    fn steps_are_nice() {
        for (step, expected) in [(0.11, 0.2), (0.2, 0.2), (3.0, 5.0), (6.0, 10.0), (0.000_4, 0.000_5)] {
            assert!((nice(step) - expected).abs() < expected * 1e-9, "{step}");
        }
        assert_eq!(ticks(0.0, 1.0, 0.25).count(), 5);
        assert_eq!(ticks(0.3, 0.9, 0.1).count(), 7);
    }

    proptest! {
        #[test]
        fn everything_lies_inside_the_frame(errors in prop::collection::vec((0.0f64..9.0, 0.0f64..9.0), 1..40)) {
            let epochs: Vec<Epoch> = errors.iter().enumerate().map(|(at, (train, validation))| epoch(at as u32, *train, *validation)).collect();
            let picture = svg(&epochs, None, "t", "s").expect("a picture");
            for number in picture.split("cx=\"").skip(1) {
                let x: f64 = number.split('"').next().and_then(|text| text.parse().ok()).expect("a number");
                prop_assert!((LEFT..=WIDTH).contains(&x));
            }
            for number in picture.split("cy=\"").skip(1) {
                let y: f64 = number.split('"').next().and_then(|text| text.parse().ok()).expect("a number");
                prop_assert!((0.0..=HEIGHT - BOTTOM + 0.1).contains(&y), "{}", y);
            }
        }
    }
}
