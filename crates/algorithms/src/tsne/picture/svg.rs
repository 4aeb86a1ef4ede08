//! The picture: a point per title, which shows its title to whoever rests on it, and as many titles as have room.

use std::fmt::Write as _;

use super::labels::placed;
use super::{Map, escaped, shortened};

/// Side of the picture.
const SIZE: f32 = 1200.0;
/// Height of a written title, and width of a letter at that height, about.
const LETTER: [f32; 2] = [5.6, 11.0];
/// Most titles that are written, and letters of one.
const TITLES: usize = 400;
const LETTERS: usize = 28;

/// The map as an SVG document.
pub(crate) fn svg(map: &Map<'_>) -> String {
    let ([x0, y0], half) = map.frame();
    let places: Vec<[f32; 2]> = map
        .places
        .iter()
        .map(|[x, y]| [(1.0 + (x - x0) / half) * SIZE / 2.0, (1.0 - (y - y0) / half) * SIZE / 2.0])
        .collect();
    let radius = (SIZE / (places.len() as f32).sqrt() / 8.0).clamp(1.5, 5.0);
    let title = escaped(map.title);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {SIZE} {SIZE}\" font-family=\"sans-serif\">\n\
         <title>{title}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fbfbf8\"/>\n\
         <g fill=\"#2b6cb0\" fill-opacity=\"0.55\">\n"
    );
    // Writing to a text cannot fail.
    for ([x, y], label) in places.iter().zip(map.labels) {
        let label = escaped(label);
        let _ = writeln!(
            out,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\"><title>{label}</title></circle>"
        );
    }
    let [letter, height] = LETTER;
    out.push_str("</g>\n<g font-size=\"10\" fill=\"#1a202c\" pointer-events=\"none\">\n");
    let short: Vec<String> = map.labels.iter().map(|label| shortened(label, LETTERS)).collect();
    let width = |point: usize| radius + 3.0 + letter * short[point].chars().count() as f32;
    let inside: Vec<usize> = placed(&places, width, height, TITLES);
    for point in inside.into_iter().filter(|&point| places[point][0] + width(point) < SIZE) {
        let ([x, y], text) = (places[point], escaped(&short[point]));
        let _ = writeln!(out, "<text x=\"{:.1}\" y=\"{:.1}\">{text}</text>", x + radius + 2.0, y + 3.5);
    }
    out.push_str("</g>\n</svg>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_is_there_and_titles_are_texts() {
        let labels: Vec<String> =
            (0..50).map(|i| format!("<b>\"{i}\" & more than enough letters for it")).collect();
        let places: Vec<[f32; 2]> = (0..50).map(|i| [i as f32, (i * i % 17) as f32]).collect();
        let text = svg(&Map { title: "A & B", ids: &labels, labels: &labels, places: &places });
        assert_eq!(text.matches("<circle ").count(), 50);
        assert!(text.contains("<title>A &amp; B</title>") && !text.contains("<b>"));
        assert!((5..=50).contains(&text.matches("<text ").count()));
        assert!(text.contains("&lt;b&gt;&quot;7&quot; &amp; more"));
        for tag in ["title", "g", "circle", "svg"] {
            let opened =
                text.matches(&format!("<{tag}>")).count() + text.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, text.matches(&format!("</{tag}>")).count(), "{tag}");
        }
    }
}
