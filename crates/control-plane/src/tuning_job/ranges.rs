//! From the ranges of a request to the space that is searched.

use sagebrush_tuning::{Parameter, Range, Scaling, Space};
use sagebrush_types::{Failure, Outcome};

use super::request::{AutoParameter, NumericRange, Ranges};

/// The space of some ranges; `field` names them in messages.
pub fn space(field: &str, ranges: &Ranges, autotune: bool) -> Outcome<Space> {
    let mut parameters = Vec::new();
    for (index, range) in ranges.continuous_parameter_ranges.iter().enumerate() {
        let place = format!("{field}.ContinuousParameterRanges[{index}]");
        let (min, max) = ends::<f64>(&place, range, "a number")?;
        let range = Range::Continuous { min, max, scaling: scaling(range) };
        parameters.push(Parameter { name: ranges.continuous_parameter_ranges[index].name.clone(), range });
    }
    for (index, range) in ranges.integer_parameter_ranges.iter().enumerate() {
        let place = format!("{field}.IntegerParameterRanges[{index}]");
        let (min, max) = ends::<i64>(&place, range, "a whole number")?;
        let range = Range::Integer { min, max, scaling: scaling(range) };
        parameters.push(Parameter { name: ranges.integer_parameter_ranges[index].name.clone(), range });
    }
    for range in &ranges.categorical_parameter_ranges {
        parameters.push(Parameter {
            name: range.name.clone(),
            range: Range::Categorical { values: range.values.clone() },
        });
    }
    if !autotune && !ranges.auto_parameters.is_empty() {
        return Err(Failure::invalid(format!(
            "{field}.AutoParameters: ranges are chosen for you only when Autotune is enabled."
        )));
    }
    parameters.extend(ranges.auto_parameters.iter().map(guessed));
    Space::new(parameters).map_err(|error| Failure::invalid(format!("{field}: {error}.")))
}

fn ends<T: std::str::FromStr>(place: &str, range: &NumericRange, kind: &str) -> Outcome<(T, T)> {
    let parse = |member: &str, text: &str| {
        text.trim().parse::<T>().map_err(|_| {
            Failure::invalid(format!(
                "{place}.{member}: '{text}', of the parameter '{}', is not {kind}.",
                range.name
            ))
        })
    };
    Ok((parse("MinValue", &range.min_value)?, parse("MaxValue", &range.max_value)?))
}

/// AWS's default is Auto.
fn scaling(range: &NumericRange) -> Scaling {
    match range.scaling_type.as_deref() {
        Some("Linear") => Scaling::Linear,
        Some("Logarithmic") => Scaling::Logarithmic,
        Some("ReverseLogarithmic") => Scaling::ReverseLogarithmic,
        _ => Scaling::Auto,
    }
}

/// A range around an example value: a decade to either side of a positive number, one to either side
/// of 0, both truths, or the one text.
fn guessed(parameter: &AutoParameter) -> Parameter {
    const DECADE: f64 = 10.0;
    let hint = parameter.value_hint.trim();
    let truth = hint.eq_ignore_ascii_case("true") || hint.eq_ignore_ascii_case("false");
    let range = if let Ok(value) = hint.parse::<i64>() {
        let reach = value.saturating_abs();
        match value {
            1.. => Range::Integer {
                min: (value / 10).max(1),
                max: value.saturating_mul(10),
                scaling: Scaling::Auto,
            },
            _ => Range::Integer {
                min: value.saturating_sub(reach.max(1)),
                max: value.saturating_add(reach.max(1)),
                scaling: Scaling::Linear,
            },
        }
    } else if let Some(value) = hint.parse::<f64>().ok().filter(|value| value.is_finite()) {
        // A share, such as a dropout, does not leave its interval.
        let top = if value < 1.0 { (value * DECADE).min(0.5 * (1.0 + value)) } else { value * DECADE };
        if value > 0.0 {
            Range::Continuous { min: value / DECADE, max: top, scaling: Scaling::Logarithmic }
        } else {
            let reach = value.abs().max(1.0);
            Range::Continuous { min: value - reach, max: value + reach, scaling: Scaling::Linear }
        }
    } else if truth {
        Range::Categorical { values: vec!["true".into(), "false".into()] }
    } else {
        Range::Categorical { values: vec![parameter.value_hint.clone()] }
    };
    Parameter { name: parameter.name.clone(), range }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use serde_json::json;

    fn parsed(ranges: serde_json::Value, autotune: bool) -> Result<Space, String> {
        let ranges: Ranges = serde_json::from_value(ranges).map_err(|error| error.to_string())?;
        space("ParameterRanges", &ranges, autotune).map_err(|failure| failure.message)
    }

    #[test]
    fn messages_say_which_range_and_why() {
        let one = |range| parsed(json!({"ContinuousParameterRanges": [range]}), false).unwrap_err();
        assert_eq!(
            one(json!({"Name": "lr", "MinValue": "a", "MaxValue": "1"})),
            "ParameterRanges.ContinuousParameterRanges[0].MinValue: 'a', of the parameter 'lr', is not a number."
        );
        assert!(
            one(json!({"Name": "lr", "MinValue": "2", "MaxValue": "1"}))
                .contains("'lr': its minimum 2 is larger")
        );
        let zero = json!({"Name": "lr", "MinValue": "0", "MaxValue": "1", "ScalingType": "Logarithmic"});
        assert!(one(zero).contains("logarithmic scaling needs a minimum larger than 0"));
        let auto = json!({"AutoParameters": [{"Name": "lr", "ValueHint": "0.1"}]});
        assert!(parsed(auto.clone(), false).unwrap_err().contains("Autotune"));
        assert!(parsed(auto, true).is_ok());
        assert!(parsed(json!({}), false).unwrap_err().contains("0 parameters"));
    }

    #[test]
    fn guesses_hold_their_hint() {
        for hint in ["0.001", "5", "0", "-3", "-0.5", "0.0", "true", "relu", "1", "0.7", "250.5"] {
            let auto = json!({"AutoParameters": [{"Name": "p", "ValueHint": hint}]});
            let space = parsed(auto, true).unwrap();
            assert!(space.parse(|_| Some(hint)).is_some(), "{hint}: {space:?}");
        }
    }
}
