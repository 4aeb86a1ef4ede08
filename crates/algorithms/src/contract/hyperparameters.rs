//! Hyperparameters as a table of names, types, bounds and defaults, and the check of given values against it.
//!
//! Promises: every name is known, every value has its type and lies in its bounds; what is refused is named with its
//! value. All values arrive as JSON strings; bare numbers and booleans are taken as well. Never: knows what a
//! hyperparameter means.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::TrainFailure;

/// What a value may be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// A whole number within bounds.
    Int(i64, i64),
    /// A number within bounds.
    Float(f64, f64),
    /// `true` or `false` in any case.
    Bool,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `auto` or a whole number within bounds.
    AutoInt(i64, i64),
    /// `auto` or a number within bounds.
    AutoFloat(f64, f64),
    /// A text with a rule, and what is said of one that breaks it.
    Text(fn(&str) -> bool, &'static str),
    /// Accepted and not used.
    Ignored,
}

/// One hyperparameter.
pub(crate) struct Spec {
    pub name: &'static str,
    pub kind: Kind,
    /// `None`: required, or taken from elsewhere.
    pub default: Option<&'static str>,
}

/// A hyperparameter with a default.
pub(crate) const fn spec(name: &'static str, kind: Kind, default: &'static str) -> Spec {
    Spec { name, kind, default: Some(default) }
}

/// A hyperparameter without a default.
pub(crate) const fn required(name: &'static str, kind: Kind) -> Spec {
    Spec { name, kind, default: None }
}

/// Names and values of a whole `hyperparameters.json`.
///
/// # Errors
/// A client failure that names the hyperparameter and the value.
pub(crate) fn pairs(json: &[u8]) -> Result<BTreeMap<String, String>, TrainFailure> {
    let given: Map<String, Value> = serde_json::from_slice(json).map_err(|e| {
        TrainFailure::client(format!("hyperparameters.json is not a JSON object of strings: {e}"))
    })?;
    let text = |(name, value)| match value {
        Value::String(text) => Ok((name, text)),
        Value::Number(number) => Ok((name, number.to_string())),
        Value::Bool(flag) => Ok((name, flag.to_string())),
        other => Err(TrainFailure::client(format!("Hyperparameter '{name}': {other} is not a string"))),
    };
    given.into_iter().map(text).collect()
}

/// `true` or `false` in any case.
fn parse_bool(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

impl Spec {
    /// The spec of that name.
    ///
    /// # Errors
    /// A client failure when `algorithm` has no such hyperparameter.
    pub(crate) fn find<'a>(
        specs: &'a [Self],
        algorithm: &str,
        name: &str,
        value: &str,
    ) -> Result<&'a Self, TrainFailure> {
        specs.iter().find(|spec| spec.name == name).ok_or_else(|| {
            TrainFailure::client(format!(
                "Hyperparameter '{name}' is not known to {algorithm} (value '{value}'). Check its spelling"
            ))
        })
    }

    /// Type and range of one value.
    ///
    /// # Errors
    /// A client failure that says what the value is not.
    pub(crate) fn check(&self, value: &str) -> Result<(), TrainFailure> {
        let name = self.name;
        let refuse =
            |why: String| Err(TrainFailure::client(format!("Hyperparameter '{name}': {value} {why}")));
        let int = |low: i64, high: i64| match value.parse::<i64>() {
            Ok(number) if (low..=high).contains(&number) => Ok(()),
            Ok(_) => refuse(format!("is out of range [{low}, {high}]")),
            Err(_) => refuse("is not an integer".to_owned()),
        };
        let float = |low: f64, high: f64| match value.parse::<f64>() {
            Ok(number) if (low..=high).contains(&number) => Ok(()),
            Ok(number) if number.is_nan() => refuse("is not a number".to_owned()),
            Ok(_) => refuse(format!("is out of range [{low}, {high}]")),
            Err(_) => refuse("is not a number".to_owned()),
        };
        match self.kind {
            Kind::AutoInt(..) | Kind::AutoFloat(..) if value == "auto" => Ok(()),
            Kind::Int(low, high) | Kind::AutoInt(low, high) => int(low, high),
            Kind::Float(low, high) | Kind::AutoFloat(low, high) => float(low, high),
            Kind::Bool if parse_bool(value).is_some() => Ok(()),
            Kind::Bool => refuse("is not one of [true, false]".to_owned()),
            Kind::Choice(words) if words.contains(&value) => Ok(()),
            Kind::Choice(words) => refuse(format!("is not one of [{}]", words.join(", "))),
            Kind::Text(valid, _) if valid(value) => Ok(()),
            Kind::Text(_, refusal) => refuse(refusal.to_owned()),
            Kind::Ignored => Ok(()),
        }
    }
}

/// Values in force, all checked.
#[derive(Clone, Debug)]
pub(crate) struct Values(pub BTreeMap<String, String>);

impl Values {
    /// Checks given values against a table and fills in its defaults.
    ///
    /// # Errors
    /// A client failure for a name that is not known, a value that is not valid, or a required one that is missing.
    pub(crate) fn checked(
        algorithm: &str,
        specs: &[Spec],
        given: &BTreeMap<String, String>,
    ) -> Result<Self, TrainFailure> {
        for (name, value) in given {
            Spec::find(specs, algorithm, name, value)?.check(value.trim())?;
        }
        let in_force = |spec: &Spec| {
            let value = given.get(spec.name).map(|value| value.trim()).or(spec.default);
            let value = value.ok_or_else(|| {
                let name = spec.name;
                TrainFailure::client(format!("Hyperparameter '{name}' is required and was not given"))
            })?;
            Ok((spec.name.to_owned(), value.to_owned()))
        };
        Ok(Self(specs.iter().map(in_force).collect::<Result<_, _>>()?))
    }

    /// A value as it is; empty when there is none.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// A switch.
    pub(crate) fn flag(&self, name: &str) -> bool {
        parse_bool(self.text(name)).unwrap_or(false)
    }

    /// A number.
    ///
    /// # Errors
    /// A client failure when it does not fit the type.
    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<T, TrainFailure> {
        let value = self.text(name);
        value
            .parse()
            .map_err(|_| TrainFailure::client(format!("Hyperparameter '{name}': {value} cannot be read")))
    }

    /// A number, or nothing for `auto`.
    ///
    /// # Errors
    /// As [`Values::number`].
    pub(crate) fn automatic<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, TrainFailure> {
        if self.text(name) == "auto" { Ok(None) } else { self.number(name).map(Some) }
    }
}
