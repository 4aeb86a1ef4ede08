//! How fast the model of a folder answers, JSON lines in and out, without HTTP: `answer_rates MODEL_FOLDER [SECONDS]`.
//! Prints one JSON object: for each kind of request the least time of an answer, in seconds.
//!
//! For a model of the chapter's size: 12,347 users and 985 books.

use std::path::Path;
use std::time::{Duration, Instant};

use sagebrush_algorithms::Predict as _;
use sagebrush_algorithms::object2vec::Predictor;

const USERS: u64 = 12_347;
const BOOKS: u64 = 985;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: answer_rates MODEL_FOLDER [SECONDS]")?;
    let seconds: f64 = arguments.next().map_or(Ok(2.0), |text| text.parse())?;
    let model = Predictor::load(Path::new(&folder))?;
    let line = |user: u64, book: u64| format!("{{\"in0\": [{user}], \"in1\": [{book}]}}\n");
    let mixed =
        |count: u64| (0..count).map(|i| line(i * 7919 % USERS, i * 104_729 % BOOKS)).collect::<String>();
    let workloads = [
        ("1 pair", mixed(1)),
        ("100 pairs", mixed(100)),
        ("10,000 pairs", mixed(10_000)),
        ("one user, all books", (0..BOOKS).map(|book| line(5, book)).collect()),
    ];
    let mut results = Vec::new();
    for (name, body) in workloads {
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        let mut least = f64::INFINITY;
        while Instant::now() < end {
            let began = Instant::now();
            model.invoke("application/jsonlines", None, body.as_bytes())?;
            least = least.min(began.elapsed().as_secs_f64());
        }
        results.push(format!("\"{name}\": {least}"));
    }
    println!("{{{}}}", results.join(", "));
    Ok(())
}
