//! The map as a picture, and as a page in which one can look around.
//!
//! Promises: both are one file that fetches nothing; titles are data in them, whatever characters they have. Never:
//! changes the map.

mod labels;
mod page;
mod svg;

pub(super) use page::page;
pub(super) use svg::svg;

/// A map with the names of its points.
pub(super) struct Map<'a> {
    pub title: &'a str,
    pub ids: &'a [String],
    pub labels: &'a [String],
    pub places: &'a [[f32; 2]],
}

impl Map<'_> {
    /// The middle of the map and half of its longer side, a little enlarged.
    fn frame(&self) -> ([f32; 2], f32) {
        let axis = |axis: usize| {
            let values = self.places.iter().map(move |place| place[axis]);
            let low = values.clone().fold(f32::INFINITY, f32::min);
            (low, values.fold(f32::NEG_INFINITY, f32::max))
        };
        let [(left, right), (low, high)] = [axis(0), axis(1)];
        let half = 0.5 * (right - left).max(high - low);
        let half = if half.is_finite() && half > 0.0 { 1.03 * half } else { 1.0 };
        let middle = |low: f32, high: f32| if (low + high).is_finite() { 0.5 * (low + high) } else { 0.0 };
        ([middle(left, right), middle(low, high)], half)
    }
}

/// A text in XML and HTML. Characters that XML cannot hold become spaces.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{0}'..='\u{1f}' | '\u{7f}' | '\u{fffe}' | '\u{ffff}' => out.push(' '),
            other => out.push(other),
        }
    }
    out
}

/// A title that is too long for a picture, cut.
fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}\u{2026}", text[..end].trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_and_cut() {
        assert_eq!(escaped("<a href=\"x\">'&\u{1}"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp; ");
        assert_eq!(
            (shortened("Emma", 4), shortened("\u{c9}mma x", 5)),
            ("Emma".into(), "\u{c9}mma\u{2026}".into())
        );
    }

    #[test]
    fn frames_hold_all_points_also_of_odd_maps() {
        let frame = |places: &[[f32; 2]]| Map { title: "", ids: &[], labels: &[], places }.frame();
        let (middle, half) = frame(&[[0.0, 1.0], [4.0, 3.0]]);
        assert_eq!((middle, half), ([2.0, 2.0], 2.06));
        assert_eq!(frame(&[]), ([0.0, 0.0], 1.0));
        assert_eq!(frame(&[[3.0, 3.0]]), ([3.0, 3.0], 1.0));
    }
}
