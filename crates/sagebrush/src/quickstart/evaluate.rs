//! Step five: the whole test split through the live endpoint, and every predictor's error over the same pairs.

use super::baselines::{self, BaselineErrors, Shrinkage};
use super::client::Client;
use super::ratings::Splits;
use super::screen::{Screen, Table, bar_of, rounded, thousands};
use anyhow::{Context, bail};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use serde::Deserialize;
use std::fmt::Write as _;
use std::time::Instant;

/// Pairs per request: about 100 kB, far below the limits of an invocation.
const BATCH: usize = 4_096;
/// Requests on their way at once.
const REQUESTS_IN_FLIGHT: usize = 2;
/// Requests of one pair that are timed.
const TIMED: usize = 100;

/// One line of the endpoint's answer.
#[derive(Deserialize)]
struct Scores {
    scores: [f64; 1],
}

/// Errors over the whole test split, and how fast the endpoint answered.
pub(super) struct Evaluated {
    /// The predictors to beat.
    pub baselines: BaselineErrors,
    /// Chosen on validation.
    pub shrinkage: Shrinkage,
    /// Mean squared error of the endpoint's answers.
    pub object2vec: f64,
    /// Pairs scored: all of the test split.
    pub pairs: u64,
    /// Pairs over seconds, as the client saw it, in batches.
    pub pairs_per_second: f64,
    /// Median seconds of a request with one pair.
    pub one_pair: f64,
}

/// Scores the test split, fits the baselines and shows the table.
pub(super) async fn run(
    client: &Client,
    endpoint: &str,
    splits: &Splits,
    users: u32,
    books: u32,
    screen: Screen,
) -> anyhow::Result<Evaluated> {
    let pairs: Vec<(u32, u32)> = splits.test.iter().map(|one| (one.user, one.book)).collect();
    let bar = screen.bar(pairs.len() as u64, "   score {bar:32} {human_pos} of {human_len} pairs");
    let began = Instant::now();
    let scores = score(client, endpoint, &pairs, &|count| bar.inc(count)).await?;
    let seconds = began.elapsed().as_secs_f64();
    bar.finish_and_clear();
    let sum: f64 =
        splits.test.iter().zip(&scores).map(|(one, score)| (score - f64::from(one.rating)).powi(2)).sum();
    let one_pair = time_one_pair(client, endpoint, &pairs).await?;
    let (baselines, shrinkage) = baselines::errors(splits, users, books);
    let evaluated = Evaluated {
        baselines,
        shrinkage,
        object2vec: sum / scores.len() as f64,
        pairs: scores.len() as u64,
        pairs_per_second: scores.len() as f64 / seconds,
        one_pair,
    };
    show(&evaluated, screen);
    Ok(evaluated)
}

/// The endpoint's prediction for every pair of user and book, in order.
pub(super) async fn score(
    client: &Client,
    endpoint: &str,
    pairs: &[(u32, u32)],
    progress: &(dyn Fn(u64) + Sync),
) -> anyhow::Result<Vec<f64>> {
    let batches: Vec<Vec<f64>> = futures::stream::iter(pairs.chunks(BATCH))
        .map(|batch| async move {
            let answer = client.invoke(endpoint, "application/jsonlines", request(batch)).await?;
            progress(batch.len() as u64);
            read_scores(&answer, batch.len())
        })
        .buffered(REQUESTS_IN_FLIGHT)
        .try_collect()
        .await?;
    Ok(batches.concat())
}

async fn time_one_pair(client: &Client, endpoint: &str, pairs: &[(u32, u32)]) -> anyhow::Result<f64> {
    let mut times = Vec::with_capacity(TIMED);
    for pair in pairs.iter().cycle().take(TIMED) {
        let began = Instant::now();
        score(client, endpoint, std::slice::from_ref(pair), &|_| {}).await?;
        times.push(began.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times.get(times.len() / 2).copied().unwrap_or(0.0))
}

fn request(pairs: &[(u32, u32)]) -> Bytes {
    let mut body = String::with_capacity(pairs.len() * 32);
    for (user, book) in pairs {
        // Writing to a string cannot fail.
        let _ = writeln!(body, "{{\"in0\":[{user}],\"in1\":[{book}]}}");
    }
    Bytes::from(body)
}

fn read_scores(answer: &[u8], expected: usize) -> anyhow::Result<Vec<f64>> {
    let mut scores = Vec::with_capacity(expected);
    for line in answer.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        let one: Scores = serde_json::from_slice(line).with_context(|| {
            format!(
                "the endpoint answered {:?} where a line with one score belongs",
                String::from_utf8_lossy(line)
            )
        })?;
        if !one.scores[0].is_finite() {
            bail!("the endpoint's score {} is no number", one.scores[0]);
        }
        scores.push(one.scores[0]);
    }
    if scores.len() != expected {
        bail!("the endpoint answered {} scores to {expected} pairs", scores.len());
    }
    Ok(scores)
}

fn show(evaluated: &Evaluated, screen: Screen) {
    let baselines = &evaluated.baselines;
    let rows = [
        ("global mean", baselines.global_mean),
        ("user mean", baselines.user_mean),
        ("user + book bias", baselines.bias),
        ("Object2Vec", evaluated.object2vec),
    ];
    let largest = rows.iter().map(|(_, mse)| *mse).fold(f64::MIN_POSITIVE, f64::max);
    let mut table = Table::new(&["error on test", ">MSE", ">RMSE", ""]);
    for (name, mse) in rows {
        table.row(vec![
            name.to_owned(),
            format!("{mse:.4}"),
            format!("{:.4}", mse.sqrt()),
            bar_of(mse / largest, 40),
        ]);
    }
    screen.table(&table);
    screen.note(&format!(
        "all {} test pairs; learned on train; the biases' shrinkage ({} user, {} book) chosen on validation",
        thousands(evaluated.pairs),
        evaluated.shrinkage.user,
        evaluated.shrinkage.book,
    ));
    screen.line(&format!(
        "   the endpoint scored {} pairs/s in batches; one pair alone takes {:.2} ms (median)",
        rounded(evaluated.pairs_per_second),
        evaluated.one_pair * 1e3,
    ));
    let margin = (1.0 - evaluated.object2vec / baselines.bias) * 100.0;
    let verdict = if margin >= 0.0 { "below" } else { "above" };
    screen.line(&format!("   Object2Vec's MSE is {:.1} % {verdict} that of user + book bias", margin.abs()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_json_lines() {
        assert_eq!(request(&[(1, 2), (3, 4)]), "{\"in0\":[1],\"in1\":[2]}\n{\"in0\":[3],\"in1\":[4]}\n");
    }

    #[test]
    fn answers_must_be_complete_and_finite() {
        assert_eq!(read_scores(b"{\"scores\":[3.5]}\n{\"scores\":[4]}", 2).expect("two"), [3.5, 4.0]);
        for (answer, says) in [
            (&b"{\"scores\":[3.5]}\n"[..], "1 scores to 2 pairs"),
            (b"{\"scores\":[1,2]}\n{\"scores\":[4]}", "one score belongs"),
            (b"oops\n", "oops"),
        ] {
            let error = format!("{:#}", read_scores(answer, 2).expect_err("incomplete"));
            assert!(error.contains(says), "{error}");
        }
    }
}
