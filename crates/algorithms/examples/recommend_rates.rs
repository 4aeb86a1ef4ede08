//! How fast ubcf recommends, without HTTP: `recommend_rates MODEL_FOLDER REQUEST [REPEATS]`. REQUEST is a file of JSON
//! lines, an instance each. Prints one JSON object: seconds to load the model; for all instances in one request and per
//! instance when each is a request of its own the least seconds by the clock and the mean seconds of processor time (of
//! all threads; Linux only, elsewhere null); and the answers.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use sagebrush_algorithms::Predict as _;
use sagebrush_algorithms::ubcf::Predictor;

const LINES: &str = "application/jsonlines";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, request, rest @ ..] = &arguments[..] else {
        return Err("usage: recommend_rates MODEL_FOLDER REQUEST [REPEATS]".into());
    };
    let repeats: usize = rest.first().map_or(Ok(10), |text| text.parse())?;
    let body = std::fs::read(request)?;
    let instances: Vec<&[u8]> = body.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).collect();
    let began = Instant::now();
    let model = Predictor::load(Path::new(folder))?;
    let load = began.elapsed().as_secs_f64();
    let mut answers = Vec::new();
    let batch = measured(repeats, || {
        answers = model.invoke(LINES, None, &body)?.body;
        Ok(())
    })?;
    let each = measured(repeats, || {
        for instance in &instances {
            model.invoke(LINES, None, instance)?;
        }
        Ok(())
    })?;
    let share = 1.0 / instances.len() as f64;
    let answers: Vec<&str> = std::str::from_utf8(&answers)?.lines().collect();
    println!(
        "{{\"load\": {load}, \"batch\": {}, \"each\": {}, \"answers\": [{}]}}",
        batch.shown(1.0),
        each.shown(share),
        answers.join(", ")
    );
    Ok(())
}

/// Seconds that some work takes.
struct Seconds {
    clock: f64,
    processor: Option<f64>,
}

impl Seconds {
    fn shown(&self, share: f64) -> String {
        let processor = self.processor.map_or("null".to_owned(), |seconds| (seconds * share).to_string());
        format!("{{\"clock\": {}, \"processor\": {processor}}}", self.clock * share)
    }
}

/// Does work some times, after a first time that does not count.
fn measured(
    repeats: usize,
    mut work: impl FnMut() -> Result<(), Box<dyn Error>>,
) -> Result<Seconds, Box<dyn Error>> {
    work()?;
    let before = processor_seconds();
    let mut clock = f64::INFINITY;
    for _ in 0..repeats.max(1) {
        let began = Instant::now();
        work()?;
        clock = clock.min(began.elapsed().as_secs_f64());
    }
    let spent = before.zip(processor_seconds()).map(|(before, after)| after - before);
    Ok(Seconds { clock, processor: spent.map(|seconds| seconds / repeats.max(1) as f64) })
}

/// What all threads of this process have spent so far, as Linux counts it.
fn processor_seconds() -> Option<f64> {
    let mut total = 0.0;
    for thread in std::fs::read_dir("/proc/self/task").ok()? {
        let text = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        total += text.split_whitespace().next()?.parse::<f64>().ok()?;
    }
    Some(total / 1e9)
}
