use super::*;
use crate::space::{Parameter, Range, Scaling, Value};

fn space() -> Space {
    Space::new(vec![
        Parameter {
            name: "rate".into(),
            range: Range::Continuous { min: 1e-4, max: 1.0, scaling: Scaling::Logarithmic },
        },
        Parameter { name: "width".into(), range: Range::Integer { min: 4, max: 64, scaling: Scaling::Auto } },
        Parameter {
            name: "kind".into(),
            range: Range::Categorical { values: ["a", "b", "c"].map(String::from).into() },
        },
    ])
    .unwrap()
}

fn tuner(strategy: Strategy, seed: u64) -> Tuner {
    Tuner::new(space(), Settings { strategy, direction: Direction::Minimize, seed }).unwrap()
}

/// Least, 0, at rate 0.01, width 16, kind b.
fn objective(setting: &[Value]) -> f64 {
    let [Value::Number(rate), Value::Integer(width), Value::Text(kind)] = setting else {
        panic!("{setting:?}")
    };
    (rate.log10() + 2.0).powi(2)
        + ((*width as f64).log2() - 4.0).powi(2)
        + if kind == "b" { 0.0 } else { 1.0 }
}

fn run(tuner: &mut Tuner, count: usize) -> f64 {
    for _ in 0..count {
        let (id, setting) = tuner.ask().unwrap().unwrap();
        tuner.tell(id, Outcome::Measured(objective(&setting))).unwrap();
    }
    tuner.own()[tuner.best().unwrap()].objective().unwrap()
}

#[test]
fn the_model_beats_chance() {
    let worse = (0..5)
        .filter(|seed| {
            run(&mut tuner(Strategy::Bayesian, *seed), 25) >= run(&mut tuner(Strategy::Random, *seed), 25)
        })
        .count();
    assert_eq!(worse, 0);
}

#[test]
fn a_stored_tuner_continues_exactly() {
    for strategy in [Strategy::Bayesian, Strategy::Random] {
        let mut first = tuner(strategy, 7);
        run(&mut first, 8);
        let pending = first.ask().unwrap().unwrap();
        let mut second: Tuner = serde_json::from_str(&serde_json::to_string(&first).unwrap()).unwrap();
        assert_eq!(first, second);
        for tuner in [&mut first, &mut second] {
            tuner.ask().unwrap().unwrap();
            tuner.tell(pending.0, Outcome::Failed).unwrap();
            run(tuner, 5);
        }
        assert_eq!(first, second);
    }
}

#[test]
fn running_trials_are_not_suggested_again_and_spread_out() {
    let mut tuner = tuner(Strategy::Bayesian, 3);
    run(&mut tuner, 10);
    let settings: Vec<Setting> = (0..4).map(|_| tuner.ask().unwrap().unwrap().1).collect();
    let points: Vec<Vec<f64>> = settings.iter().map(|setting| tuner.space.point(setting).unwrap()).collect();
    for (index, point) in points.iter().enumerate() {
        for other in &points[..index] {
            let distance: f64 = point.iter().zip(other).map(|(a, b)| (a - b).abs()).sum();
            assert!(distance > 0.01, "{point:?} {other:?}");
        }
    }
}

#[test]
fn failures_are_avoided_and_no_result_is_no_trouble() {
    let mut tuner = tuner(Strategy::Bayesian, 1);
    for _ in 0..6 {
        let (id, _) = tuner.ask().unwrap().unwrap();
        tuner.tell(id, Outcome::Failed).unwrap();
    }
    assert_eq!(tuner.best(), None);
    // Kind c always fails.
    let mut late = 0;
    for number in 0..24 {
        let (id, setting) = tuner.ask().unwrap().unwrap();
        let failed = setting[2] == Value::Text("c".into());
        late += u32::from(failed && number >= 12);
        let outcome = if failed { Outcome::Failed } else { Outcome::Measured(objective(&setting)) };
        tuner.tell(id, outcome).unwrap();
    }
    assert!(late <= 3, "{late} of the last 12 failed");
    assert!(matches!(tuner.tell(99, Outcome::Failed), Err(TunerError::NoTrial(99))));
    assert!(matches!(tuner.tell(0, Outcome::Measured(f64::NAN)), Err(TunerError::Objective(_))));
}

#[test]
fn a_grid_is_walked_once_and_a_finite_space_ends() {
    let choice = |name: &str, count: usize| Parameter {
        name: name.into(),
        range: Range::Categorical { values: (0..count).map(|value| value.to_string()).collect() },
    };
    let small = Space::new(vec![choice("a", 2), choice("b", 3)]).unwrap();
    for strategy in [Strategy::Grid, Strategy::Bayesian, Strategy::Random] {
        let settings = Settings { strategy, direction: Direction::Maximize, seed: 1 };
        let mut tuner = Tuner::new(small.clone(), settings).unwrap();
        let mut seen = Vec::new();
        while let Some((id, setting)) = tuner.ask().unwrap() {
            tuner.tell(id, Outcome::Measured(id as f64)).unwrap();
            seen.push(format!("{}{}", setting[0], setting[1]));
        }
        assert_eq!(tuner.best(), Some(5));
        if strategy == Strategy::Grid {
            assert_eq!(seen, ["00", "01", "02", "10", "11", "12"]);
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 6);
    }
    let settings = Settings { strategy: Strategy::Grid, direction: Direction::Minimize, seed: 1 };
    assert_eq!(Tuner::new(space(), settings).unwrap_err(), TunerError::NoGrid);
}

#[test]
fn earlier_results_help_also_from_other_data() {
    let mut cold = 0.0;
    let mut warm = 0.0;
    let mut transferred = 0.0;
    for seed in 0..5 {
        let mut parent = tuner(Strategy::Bayesian, 100 + seed);
        run(&mut parent, 20);
        cold += run(&mut tuner(Strategy::Bayesian, seed), 4);
        let mut child = tuner(Strategy::Bayesian, seed);
        let mut related = tuner(Strategy::Bayesian, seed);
        for trial in parent.own() {
            let objective = trial.objective().unwrap();
            child.learn(0, trial.setting.clone(), objective).unwrap();
            related.learn(1, trial.setting.clone(), 50.0 + 3.0 * objective).unwrap();
        }
        warm += run(&mut child, 4);
        transferred += run(&mut related, 4);
    }
    assert!(warm < 0.5 * cold, "{warm} {cold}");
    assert!(transferred < 0.7 * cold, "{transferred} {cold}");
}
