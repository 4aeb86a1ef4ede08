//! Time of one suggestion with 30 parameters, after 100 and 750 finished trials (or the numbers given).
//!
//! The trials are random settings of a function with interactions and noise; the first suggestion after them pays
//! for a chain that starts anew, so both it and those that follow are printed.

use std::time::Instant;

use sagebrush_tuning::{
    Direction, Outcome, Parameter, Range, Scaling, Settings, Space, Strategy, Tuner, Value,
};

const SUGGESTIONS: usize = 5;

fn space() -> Result<Space, Box<dyn std::error::Error>> {
    let parameters = (0..30)
        .map(|index| Parameter {
            name: format!("p{index}"),
            range: match index % 3 {
                0 => Range::Continuous { min: 1e-5, max: 1.0, scaling: Scaling::Logarithmic },
                1 => Range::Integer { min: 1, max: 1000, scaling: Scaling::Auto },
                _ => Range::Continuous { min: -1.0, max: 1.0, scaling: Scaling::Linear },
            },
        })
        .collect();
    Ok(Space::new(parameters)?)
}

fn objective(number: usize, setting: &[Value]) -> f64 {
    let value = |value: &Value| match value {
        Value::Number(number) => number.abs().ln_1p(),
        Value::Integer(number) => (*number as f64).ln() / 7.0,
        Value::Text(_) => 0.0,
    };
    let sum: f64 = setting.iter().map(value).sum();
    // Noise that needs no generator: the fractional parts of multiples of the golden ratio.
    sum.sin() + value(&setting[0]) * value(&setting[1]) + 0.1 * (number as f64 * 0.618_034).fract()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut counts: Vec<usize> =
        std::env::args().skip(1).map(|text| text.parse()).collect::<Result<_, _>>()?;
    if counts.is_empty() {
        counts = vec![100, 750];
    }
    println!("{:>8} {:>10} {:>24}", "trials", "first s", "then s (least, most)");
    for count in counts {
        let settings = |strategy| Settings { strategy, direction: Direction::Minimize, seed: 1 };
        let mut random = Tuner::new(space()?, settings(Strategy::Random))?;
        let mut tuner = Tuner::new(space()?, settings(Strategy::Bayesian))?;
        for number in 0..count {
            let (_, setting) = random.ask()?.ok_or("the space ended")?;
            let value = objective(number, &setting);
            tuner.learn(0, setting, value)?;
        }
        let mut seconds = Vec::new();
        for number in 0..SUGGESTIONS {
            let begun = Instant::now();
            let (id, setting) = tuner.ask()?.ok_or("the space ended")?;
            seconds.push(begun.elapsed().as_secs_f64());
            tuner.tell(id, Outcome::Measured(objective(number, &setting)))?;
        }
        let then = &seconds[1..];
        let (least, most) =
            (then.iter().copied().fold(f64::INFINITY, f64::min), then.iter().copied().fold(0.0, f64::max));
        println!("{count:>8} {:>10.3} {:>24}", seconds[0], format!("{least:.3} {most:.3}"));
    }
    Ok(())
}
