//! Which points get their title written beside them: as many as have room, spread over the whole map.

use std::collections::HashMap;

/// A rectangle that a title covers.
#[derive(Clone, Copy, Debug)]
struct Rectangle {
    left: f32,
    top: f32,
    right: f32,
    bottom: f32,
}

impl Rectangle {
    fn meets(&self, other: &Self) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }
}

/// Side of the squares in which rectangles are looked up.
const SQUARE: f32 = 64.0;

/// The points whose titles are written, at most `most`, when a title starts at its point, is `width(point)` wide and
/// `height` high, and no two may touch. The order of the points is the order of preference, in strides: it says nothing,
/// and neighbours in it may lie in one place.
pub(super) fn placed(
    places: &[[f32; 2]],
    width: impl Fn(usize) -> f32,
    height: f32,
    most: usize,
) -> Vec<usize> {
    let mut squares: HashMap<(i32, i32), Vec<Rectangle>> = HashMap::new();
    let mut chosen = Vec::new();
    for point in strided(places.len()) {
        if chosen.len() == most {
            break;
        }
        let [x, y] = places[point];
        let own =
            Rectangle { left: x, top: y - height / 2.0, right: x + width(point), bottom: y + height / 2.0 };
        let square = |value: f32| (value / SQUARE).floor() as i32;
        let across = || {
            (square(own.left)..=square(own.right))
                .flat_map(move |column| (square(own.top)..=square(own.bottom)).map(move |row| (column, row)))
        };
        let free = across().all(|at| squares.get(&at).is_none_or(|held| held.iter().all(|r| !own.meets(r))));
        if free {
            across().for_each(|at| squares.entry(at).or_default().push(own));
            chosen.push(point);
        }
    }
    chosen.sort_unstable();
    chosen
}

/// All numbers below `count` in strides of about the golden section, so that any beginning is spread evenly.
fn strided(count: usize) -> impl Iterator<Item = usize> {
    let mut stride = (count as f64 * 0.618_034) as usize | 1;
    while count > 1 && greatest_common_divisor(stride, count) != 1 {
        stride += 2;
    }
    (0..count).map(move |i| (i * stride) % count.max(1))
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strides_reach_everything_once() {
        for count in [0, 1, 2, 3, 10, 99, 1000] {
            let mut all: Vec<usize> = strided(count).collect();
            all.sort_unstable();
            assert!(all.iter().copied().eq(0..count), "{count}");
        }
    }

    #[test]
    fn titles_do_not_touch_and_there_are_not_too_many() {
        let places: Vec<[f32; 2]> =
            (0..400).map(|i| [(i % 20) as f32 * 9.0, (i / 20) as f32 * 9.0]).collect();
        let chosen = placed(&places, |_| 50.0, 10.0, 1000);
        assert!(chosen.len() > 15, "{}", chosen.len());
        for (index, &a) in chosen.iter().enumerate() {
            for &b in &chosen[index + 1..] {
                let apart = |axis: usize| (places[a][axis] - places[b][axis]).abs();
                assert!(apart(0) >= 50.0 || apart(1) >= 10.0, "{a} {b}");
            }
        }
        assert_eq!(placed(&places, |_| 50.0, 10.0, 7).len(), 7);
    }
}
