//! The chain as an SVG picture: raw data on the left, the endpoint on the right; every entity stands
//! left of all that came of it.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Chain, Vertex};

const WIDTH: usize = 250;
const HEIGHT: usize = 52;
const GAP_ACROSS: usize = 60;
const GAP_DOWN: usize = 22;
const MARGIN: usize = 20;
/// Characters that fit in a box.
const FITTING: usize = 38;

/// The picture as text.
pub fn draw(chain: &Chain) -> String {
    let layers = layers(chain);
    let depth = layers.values().max().copied().unwrap_or(0);
    let mut rows: Vec<usize> = vec![0; depth + 1];
    let mut places: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (arn, layer) in &layers {
        let column = depth - layer;
        let x = MARGIN + column * (WIDTH + GAP_ACROSS);
        let y = MARGIN + rows[column] * (HEIGHT + GAP_DOWN);
        rows[column] += 1;
        places.insert(arn, (x, y));
    }
    let tallest = rows.iter().max().copied().unwrap_or(1).max(1);
    let width = 2 * MARGIN + (depth + 1) * WIDTH + depth * GAP_ACROSS;
    let height = 2 * MARGIN + tallest * HEIGHT + (tallest - 1) * GAP_DOWN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    for (to, sources) in &chain.sources {
        for from in sources {
            let (Some((from_x, from_y)), Some((x, y))) = (places.get(from.as_str()), places.get(to.as_str()))
            else {
                continue;
            };
            let (start, end) = (from_x + WIDTH, *x);
            let middle = (start + end) / 2;
            let (above, below) = (from_y + HEIGHT / 2, y + HEIGHT / 2);
            // Writing to a String does not fail.
            let _ = writeln!(
                svg,
                "<path d=\"M{start} {above} C{middle} {above} {middle} {below} {end} {below}\" fill=\"none\" stroke=\"#8a8a8a\"/>"
            );
        }
    }
    for (arn, (x, y)) in &places {
        let vertex = chain.vertices.get(*arn).cloned().unwrap_or_default();
        let _ = write!(svg, "{}", boxed(&vertex, *x, *y));
    }
    svg.push_str("</svg>\n");
    svg
}

fn boxed(vertex: &Vertex, x: usize, y: usize) -> String {
    let fill = match vertex.kind.as_str() {
        "Endpoint" => "#fde8d0",
        "TrainingJob" | "ProcessingJob" | "TransformJob" => "#dcebfb",
        "Model" | "SageMakerModel" => "#e3f4dd",
        _ => "#f2f2f2",
    };
    let heading = if vertex.detail.is_empty() {
        vertex.kind.clone()
    } else {
        format!("{} · {}", vertex.kind, vertex.detail)
    };
    format!(
        "<g><title>{full}</title><rect x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"6\" fill=\"{fill}\" stroke=\"#555555\"/>\
         <text x=\"{tx}\" y=\"{ty}\" fill=\"#555555\">{heading}</text><text x=\"{tx}\" y=\"{tz}\">{name}</text></g>\n",
        full = escaped(&vertex.name),
        tx = x + 10,
        ty = y + 20,
        tz = y + 39,
        heading = escaped(&fitting(&heading)),
        name = escaped(&fitting(&vertex.name)),
    )
}

/// The end of a long name says more than its beginning.
fn fitting(text: &str) -> String {
    let length = text.chars().count();
    if length <= FITTING {
        return text.to_owned();
    }
    format!("…{}", text.chars().skip(length - FITTING + 1).collect::<String>())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The longest way from the root to each entity, which a cycle cannot make longer than there are
/// entities.
fn layers(chain: &Chain) -> BTreeMap<String, usize> {
    let mut layers: BTreeMap<String, usize> = BTreeMap::from([(chain.root.clone(), 0)]);
    for _ in 0..chain.vertices.len() {
        let mut moved = false;
        for (to, sources) in &chain.sources {
            let Some(layer) = layers.get(to).copied() else { continue };
            for from in sources {
                let place = layers.entry(from.clone()).or_insert(0);
                if *place < layer + 1 && layer < chain.vertices.len() {
                    *place = layer + 1;
                    moved = true;
                }
            }
        }
        if !moved {
            break;
        }
    }
    layers
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;
    use super::*;

    #[test]
    fn every_entity_stands_left_of_what_came_of_it() {
        let chain = example();
        let layers = layers(&chain);
        for (to, sources) in &chain.sources {
            for from in sources {
                assert!(layers[from] > layers[to], "{from} {to}");
            }
        }
        let svg = draw(&chain);
        assert_eq!(svg.matches("<rect x=").count(), 5);
        assert_eq!(svg.matches("<path").count(), 5);
        assert!(svg.contains("Endpoint &amp; co") && !svg.contains(" & "));
    }
}
