//! The page: a canvas with the points, moved by dragging, enlarged by the wheel, searched by title.

use serde_json::json;

use super::{Map, escaped};

/// The page around the data.
const PAGE: &str = include_str!("page.html");

/// The map as an HTML document that needs nothing else.
pub(crate) fn page(map: &Map<'_>) -> String {
    let ([x0, y0], half) = map.frame();
    let round = |value: f32| f64::from((value * 1e4).round()) / 1e4;
    let places: Vec<[f64; 2]> =
        map.places.iter().map(|[x, y]| [round((x - x0) / half), round((y0 - y) / half)]).collect();
    let data = json!({"ids": map.ids, "labels": map.labels, "places": places}).to_string();
    let (head, tail) = PAGE.split_once("{{data}}").unwrap_or((PAGE, ""));
    head.replace("{{title}}", &escaped(map.title)) + &as_script(&data) + tail
}

/// JSON inside a script element: no tag can end it, and no old engine takes a separator for a line break.
fn as_script(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_can_be_read_back_and_ends_no_script() {
        let labels = ["</script><script>alert(1)</script>", "{{title}} {{data}} \u{2028}\"x\"", "Emma"]
            .map(str::to_owned);
        let map = Map {
            title: "<i>",
            ids: &labels,
            labels: &labels,
            places: &[[0.0, 0.0], [2.0, 1.0], [1.0, 4.0]],
        };
        let text = page(&map);
        assert!(text.contains("<title>&lt;i&gt;</title>") && !text.contains("alert(1)</script>"));
        assert!(!text.contains("http://") && !text.contains("https://"), "the page fetches nothing");
        let (_, rest) = text.split_once("type=\"application/json\">").unwrap();
        let (data, _) = rest.split_once("</script>").unwrap();
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["labels"], json!(labels));
        assert!(
            data["places"]
                .as_array()
                .unwrap()
                .iter()
                .flat_map(|p| p.as_array().unwrap())
                .all(|v| { v.as_f64().unwrap().abs() <= 1.0 })
        );
    }
}
