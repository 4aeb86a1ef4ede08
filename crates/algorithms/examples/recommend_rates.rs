//! How fast ubcf recommends, without HTTP: `recommend_rates MODEL_FOLDER REQUEST [REPEATS]`. REQUEST is a file of JSON
//! lines, an instance each. Prints one JSON object: seconds to load the model, the least seconds for all instances in
//! one request, those per instance when each is a request of its own, and the answers.

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
    let batch = least(repeats, || {
        answers = model.invoke(LINES, None, &body)?.body;
        Ok(())
    })?;
    let alone = least(repeats, || {
        for instance in &instances {
            model.invoke(LINES, None, instance)?;
        }
        Ok(())
    })?;
    let answers: Vec<&str> = std::str::from_utf8(&answers)?.lines().collect();
    let each = alone / instances.len() as f64;
    println!(
        "{{\"load\": {load}, \"batch\": {batch}, \"each\": {each}, \"answers\": [{}]}}",
        answers.join(", ")
    );
    Ok(())
}

/// The least seconds of some runs.
fn least(
    repeats: usize,
    mut work: impl FnMut() -> Result<(), Box<dyn Error>>,
) -> Result<f64, Box<dyn Error>> {
    let mut least = f64::INFINITY;
    for _ in 0..repeats.max(1) {
        let began = Instant::now();
        work()?;
        least = least.min(began.elapsed().as_secs_f64());
    }
    Ok(least)
}
