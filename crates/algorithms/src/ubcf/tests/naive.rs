//! The rules of docs/ubcf.md on dense tables, written down without any thought of speed, beside the real thing.

use proptest::prelude::*;

use super::*;
use crate::ubcf::hyperparameters::{Method, Mode, Normalize};
use crate::ubcf::neighbors::{Cells, Double, Index, Neighbor, Rule};
use crate::ubcf::normalization::Scale;

fn normalized(normalize: Normalize, row: &[Option<f64>]) -> (Vec<Option<f64>>, f64, f64) {
    let scale = Scale::of(normalize, row.iter().flatten().copied());
    (row.iter().map(|r| r.map(|r| (r - scale.mean) / scale.deviation)).collect(), scale.mean, scale.deviation)
}

fn similarity(h: &Hyperparameters, a: &[Option<f64>], b: &[Option<f64>]) -> f64 {
    let shared: Vec<(f64, f64)> = a.iter().zip(b).filter_map(|(x, y)| Some(((*x)?, (*y)?))).collect();
    let rated = a.iter().flatten().count();
    let (rule, n) = (h.rule, shared.len() as u64);
    if n < rule.min_matching_items || (rated as u64 - n) < rule.min_predictive_items || n == 0 {
        return f64::NAN;
    }
    let sum = |f: &dyn Fn(f64, f64) -> f64| shared.iter().fold(0.0, |sum, &(x, y)| sum + f(x, y));
    match rule.method {
        Method::Cosine => {
            let (xy, xx, yy) = (sum(&|x, y| x * y), sum(&|x, _| x * x), sum(&|_, y| y * y));
            let c = match xy / (xx.sqrt() * yy.sqrt()) {
                c if !c.is_nan() => c,
                _ if xx == 0.0 && yy == 0.0 => 1.0,
                _ => 0.0,
            };
            match rule.mode {
                Mode::Classic => 1.0 - (1.0 - c.abs()),
                Mode::Signed => 1.0 - (1.0 - c),
                Mode::Modern => (c + 1.0) / 2.0,
            }
        }
        Method::Pearson => {
            let constant = |it: &dyn Fn(&(f64, f64)) -> f64| shared.iter().all(|s| it(s) == it(&shared[0]));
            if n < 2 || constant(&|s| s.0) || constant(&|s| s.1) {
                return f64::NAN;
            }
            let (mx, my) = (sum(&|x, _| x) / n as f64, sum(&|_, y| y) / n as f64);
            let r = sum(&|x, y| (x - mx) * (y - my))
                / (sum(&|x, _| (x - mx) * (x - mx)).sqrt() * sum(&|_, y| (y - my) * (y - my)).sqrt());
            match rule.mode {
                Mode::Modern => (r.clamp(-1.0, 1.0) + 1.0) / 2.0,
                _ => 1.0 / (1.0 + (1.0 - r.clamp(0.0, 1.0))),
            }
        }
    }
}

/// Neighbours among all users with these similarities.
fn neighbors(h: &Hyperparameters, similarities: &[f64], excluded: Option<u32>) -> Vec<(usize, f64)> {
    let mut all: Vec<(usize, f64)> = similarities.iter().copied().enumerate().collect();
    all.retain(|(user, _)| Some(*user as u32) != excluded);
    if h.rule.mode == Mode::Modern {
        all.retain(|(_, s)| !s.is_nan());
    }
    let rank = |s: f64| if s.is_nan() { f64::NEG_INFINITY } else { s };
    all.sort_by(|a, b| rank(b.1).total_cmp(&rank(a.1)));
    all.truncate(h.rule.nn);
    all
}

fn predictions(
    h: &Hyperparameters,
    table: &[Vec<Option<f64>>],
    neighbors: &[(usize, f64)],
    (mean, deviation): (f64, f64),
) -> Vec<f64> {
    let rows: Vec<_> = neighbors.iter().map(|&(user, _)| normalized(h.normalize, &table[user]).0).collect();
    // Summed without error: similarities of both signs may leave next to nothing, and that divides.
    let mut all = Double::default();
    neighbors.iter().map(|n| n.1).filter(|s| !s.is_nan()).for_each(|s| all.add(s));
    let all = all.value();
    (0..table[0].len())
        .map(|item| {
            let rated = || rows.iter().zip(neighbors).filter_map(|(row, n)| Some((row[item]?, n.1)));
            let weight = |s: f64| if h.weighing.weighted { s } else { 1.0 };
            let sum = rated().fold(0.0, |sum, (d, s)| sum + weight(s) * d);
            let by = if h.rule.mode == Mode::Modern { rated().map(|(_, s)| weight(s)).sum() } else { all };
            let prediction = sum / by * deviation + mean;
            if prediction.is_finite() { prediction } else { f64::NAN }
        })
        .collect()
}

/// Settings of every kind.
fn settings() -> impl Strategy<Value = Hyperparameters> {
    let mode = prop_oneof![Just("classic"), Just("modern"), Just("signed")];
    let method = prop_oneof![Just("Cosine"), Just("Pearson")];
    let normalize = prop_oneof![Just("center"), Just("Z-score"), Just("none")];
    (mode, method, normalize, 1usize..12, any::<bool>(), 0u8..3, 0u8..3).prop_map(
        |(mode, method, normalize, nn, weighted, matching, predictive)| {
            let (nn, weighted) = (nn.to_string(), (weighted || mode != "modern").to_string());
            let modern = |value: u8| if mode == "modern" { value.to_string() } else { "0".to_owned() };
            let (matching, predictive) = (modern(matching), modern(predictive));
            hyperparameters(&[
                ("mode", mode),
                ("method", method),
                ("normalize", normalize),
                ("nn", &nn),
                ("weighted", &weighted),
                ("min_matching_items", &matching),
                ("min_predictive_items", &predictive),
            ])
        },
    )
}

/// Tables of few items, with ties, constant users and users who share nothing. Every user has a rating.
fn tables() -> impl Strategy<Value = Vec<Vec<Option<f64>>>> {
    let rating = prop_oneof![2 => Just(None), 3 => (1u8..6).prop_map(|r| Some(f64::from(r)))];
    let row = prop::collection::vec(rating, 7);
    prop::collection::vec((row, 0usize..7, 1u8..6), 2..25).prop_map(|rows| {
        let filled = |(mut row, at, rating): (Vec<Option<f64>>, usize, u8)| {
            row[at] = Some(f64::from(rating));
            row
        };
        rows.into_iter().map(filled).collect()
    })
}

/// A number in bits, every NaN the same.
fn bits(value: f64) -> u64 {
    if value.is_nan() { u64::MAX } else { (value + 0.0).to_bits() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]
    #[test]
    fn sparse_and_dense_agree(h in settings(), table in tables(), known in any::<bool>()) {
        let (new, train) = table.split_first().unwrap();
        let model = fitted(h.clone(), train);
        let asking = if known { model.user(0) } else { Asking { rated: rated(new), excluded: None } };
        let new = if known { &train[0] } else { new };
        let (deviations, mean, deviation) = normalized(h.normalize, new);
        let naive: Vec<f64> =
            train.iter().map(|row| similarity(&h, &deviations, &normalized(h.normalize, row).0)).collect();
        // Two ways to sum: close, and from here on the same, because weights that nearly cancel out magnify the
        // smallest difference.
        let similarities = all_similarities(&model, &rated(&deviations));
        for (a, b) in naive.iter().zip(&similarities) {
            prop_assert!(bits(*a) == bits(*b) || (a - b).abs() < 1e-12, "{a} {b}");
        }
        let neighbors = neighbors(&h, &similarities, asking.excluded);
        let want = predictions(&h, train, &neighbors, (mean, deviation));
        let mut space = Space::default();
        let got = model.predict(&asking, &mut space).to_vec();
        for (a, b) in got.iter().zip(&want) {
            prop_assert!(bits(*a) == bits(*b) || (a - b).abs() < 1e-12, "{a} {b}");
        }
        let mut list: Vec<u32> = (0..got.len() as u32).collect();
        list.retain(|&item| new[item as usize].is_none() && !got[item as usize].is_nan());
        list.sort_by(|&a, &b| got[b as usize].total_cmp(&got[a as usize]));
        list.truncate(3);
        let top: Vec<u32> = top(&got, &asking.rated, 3).into_iter().map(|(_, item)| item).collect();
        prop_assert_eq!(top, list);
    }
}

/// The real similarities of all users, in the order of users.
fn all_similarities(model: &Model, deviations: &[(u32, f64)]) -> Vec<f64> {
    let ratings = &model.ratings;
    let scale = |row| Scale::of(model.h.normalize, ratings.row(row).map(|(_, rating)| rating));
    let scales: Vec<Scale> = (0..ratings.rows()).map(scale).collect();
    let rule = Rule { nn: ratings.rows(), ..model.h.rule };
    let found = rule.neighbors(&Index::new(ratings, &scales), deviations, None, &mut Cells::default());
    let mut list = vec![f64::NAN; ratings.rows()];
    found.iter().for_each(|&Neighbor { user, similarity }| list[user as usize] = similarity);
    list
}
