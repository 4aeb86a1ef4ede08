//! A tuner on standard input and output, for the benchmark: one JSON document a line in, one out.
//!
//! `{"space": [...], "settings": {...}}` begins a new search, `{"ask": true}` answers the trial's number and its
//! setting (or null), `{"tell": number, "objective": value}` answers null.

use std::io::{BufRead, Write};

use sagebrush_tuning::{Outcome, Settings, Space, Tuner, Value as Setting};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut tuner: Option<Tuner> = None;
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let answer = match (&mut tuner, &request) {
            (tuner, request) if request["space"].is_array() => {
                let space: Space = serde_json::from_value(request["space"].clone())?;
                let settings: Settings = serde_json::from_value(request["settings"].clone())?;
                *tuner = Some(Tuner::new(space, settings)?);
                Value::Null
            }
            (Some(tuner), request) if request["ask"].is_boolean() => match tuner.ask()? {
                Some((id, setting)) => {
                    let setting: Vec<Value> = setting
                        .into_iter()
                        .map(|value| match value {
                            Setting::Integer(number) => json!(number),
                            Setting::Number(number) => json!(number),
                            Setting::Text(text) => json!(text),
                        })
                        .collect();
                    json!([id, setting])
                }
                None => Value::Null,
            },
            (Some(tuner), request) => {
                let id = request["tell"].as_u64().ok_or("tell: a trial's number")?;
                let objective = request["objective"].as_f64();
                let outcome = objective.map_or(Outcome::Failed, Outcome::Measured);
                tuner.tell(usize::try_from(id)?, outcome)?;
                Value::Null
            }
            (None, _) => return Err("no search was begun".into()),
        };
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}
