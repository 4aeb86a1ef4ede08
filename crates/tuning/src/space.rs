//! The space of settings: parameters, their ranges and scales, and the map between settings and the
//! coordinates that the strategies work in.
//!
//! A numeric parameter has one coordinate in `[0, 1]`, even in the parameter's scale; a categorical
//! one has its value's index. Integers own equal shares of the scale (the range is widened by half a
//! step at both ends), so that rounding favours none.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits::{CATEGORIES, PARAMETERS};

/// How a numeric range is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scaling {
    /// Chosen from the range: logarithmic when its ends are positive and a factor of
    /// [`AUTO_LOG_RATIO`] apart, linear otherwise.
    Auto,
    /// Even in the value.
    Linear,
    /// Even in the logarithm of the value; the range is positive.
    Logarithmic,
    /// Even in the logarithm of one minus the value; the range lies in `[0, 1)`.
    ReverseLogarithmic,
}

/// See [`Scaling::Auto`]. Between a learning rate (ends three decades apart) and a dropout (less
/// than one) lies more than a decade.
pub const AUTO_LOG_RATIO: f64 = 20.0;

/// The values of a parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Range {
    /// Real numbers.
    Continuous {
        /// Smallest value.
        #[serde(with = "crate::exact")]
        min: f64,
        /// Largest value.
        #[serde(with = "crate::exact")]
        max: f64,
        /// Scale.
        scaling: Scaling,
    },
    /// Whole numbers.
    Integer {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
        /// Scale.
        scaling: Scaling,
    },
    /// One of some texts.
    Categorical {
        /// The texts.
        values: Vec<String>,
    },
}

/// A tuned parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its values.
    pub range: Range,
}

/// One value of a parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// Of an integer parameter.
    Integer(i64),
    /// Of a continuous parameter.
    Number(#[serde(with = "crate::exact")] f64),
    /// Of a categorical parameter.
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(value) => write!(out, "{value}"),
            Self::Number(value) => write!(out, "{value}"),
            Self::Text(value) => out.write_str(value),
        }
    }
}

/// A value for every parameter, in the order of the space.
pub type Setting = Vec<Value>;

/// What can be wrong with a space.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpaceError {
    /// No or too many parameters.
    #[error("{0} parameters are tuned; there may be 1 to {PARAMETERS}")]
    Count(usize),
    /// A name is used twice.
    #[error("the parameter '{0}' is there twice")]
    Twice(String),
    /// A range that holds nothing or is not a range.
    #[error("the range of the parameter '{name}': {what}")]
    Range {
        /// The parameter.
        name: String,
        /// What is wrong.
        what: String,
    },
}

/// A checked space.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Parameter>", into = "Vec<Parameter>")]
pub struct Space(Vec<Parameter>);

impl TryFrom<Vec<Parameter>> for Space {
    type Error = SpaceError;

    fn try_from(parameters: Vec<Parameter>) -> Result<Self, SpaceError> {
        Self::new(parameters)
    }
}

impl From<Space> for Vec<Parameter> {
    fn from(space: Space) -> Self {
        space.0
    }
}

impl Space {
    /// Checks the parameters.
    ///
    /// # Errors
    /// [`SpaceError`]: reversed ranges, a logarithmic scale over zero, names used twice, categories
    /// without values.
    pub fn new(parameters: Vec<Parameter>) -> Result<Self, SpaceError> {
        if parameters.is_empty() || parameters.len() > PARAMETERS {
            return Err(SpaceError::Count(parameters.len()));
        }
        for (index, parameter) in parameters.iter().enumerate() {
            if parameters[..index].iter().any(|earlier| earlier.name == parameter.name) {
                return Err(SpaceError::Twice(parameter.name.clone()));
            }
            check(parameter).map_err(|what| SpaceError::Range { name: parameter.name.clone(), what })?;
        }
        Ok(Self(parameters))
    }

    /// The parameters.
    pub fn parameters(&self) -> &[Parameter] {
        &self.0
    }

    /// Number of parameters, which is the number of coordinates.
    pub fn dimensions(&self) -> usize {
        self.0.len()
    }

    /// The setting at a point; coordinates outside their bounds are taken to the nearest end.
    pub fn setting(&self, point: &[f64]) -> Setting {
        self.0.iter().zip(point).map(|(parameter, place)| parameter.range.value(*place)).collect()
    }

    /// The point of a setting; `None` when a value is of another type or lies outside its range.
    pub fn point(&self, setting: &[Value]) -> Option<Vec<f64>> {
        if setting.len() != self.0.len() {
            return None;
        }
        self.0.iter().zip(setting).map(|(parameter, value)| parameter.range.place(value)).collect()
    }

    /// The setting in text form, by name; `None` as for [`Space::point`], or when a name is missing.
    pub fn parse<'a>(&self, text: impl Fn(&str) -> Option<&'a str>) -> Option<Setting> {
        let setting: Setting = self
            .0
            .iter()
            .map(|parameter| parameter.range.parse(text(&parameter.name)?))
            .collect::<Option<_>>()?;
        self.point(&setting).map(|_| setting)
    }

    /// Number of settings, when the space is finite and holds at most `limit`.
    pub fn count(&self, limit: usize) -> Option<usize> {
        self.0.iter().try_fold(1usize, |product, parameter| {
            product.checked_mul(parameter.range.count()?).filter(|product| *product <= limit)
        })
    }

    /// The settings of a finite space, the last parameter changing fastest.
    pub fn enumerate(&self, limit: usize) -> Option<impl Iterator<Item = Vec<f64>> + '_> {
        let count = self.count(limit)?;
        Some((0..count).map(|index| {
            let mut rest = index;
            let mut point: Vec<f64> = self
                .0
                .iter()
                .rev()
                .map(|parameter| {
                    let choices = parameter.range.count().unwrap_or(1);
                    let place = parameter.range.nth(rest % choices);
                    rest /= choices;
                    place
                })
                .collect();
            point.reverse();
            point
        }))
    }
}

fn check(parameter: &Parameter) -> Result<(), String> {
    match &parameter.range {
        Range::Continuous { min, max, scaling } => {
            if !min.is_finite() || !max.is_finite() {
                return Err("its ends are no finite numbers".into());
            }
            check_ends(*min, *max, *scaling)
        }
        Range::Integer { min, max, scaling } => check_ends(*min as f64, *max as f64, *scaling),
        Range::Categorical { values } => {
            if values.is_empty() || values.len() > CATEGORIES {
                return Err(format!("it has {} values; there may be 1 to {CATEGORIES}", values.len()));
            }
            match values.iter().enumerate().find(|(index, value)| values[..*index].contains(value)) {
                Some((_, twice)) => Err(format!("the value '{twice}' is there twice")),
                None => Ok(()),
            }
        }
    }
}

fn check_ends(min: f64, max: f64, scaling: Scaling) -> Result<(), String> {
    if min > max {
        return Err(format!("its minimum {min} is larger than its maximum {max}"));
    }
    match scaling {
        Scaling::Logarithmic if min <= 0.0 => {
            Err(format!("logarithmic scaling needs a minimum larger than 0, and it is {min}"))
        }
        Scaling::ReverseLogarithmic if min < 0.0 || max >= 1.0 => Err(format!(
            "reverse logarithmic scaling needs a range within 0 and 1, 1 excluded, and it is {min} to {max}"
        )),
        _ => Ok(()),
    }
}

/// The scale of a range: a monotone map to numbers that are searched evenly.
#[derive(Debug, Clone, Copy)]
struct Scale {
    scaling: Scaling,
    low: f64,
    high: f64,
}

impl Scale {
    fn new(min: f64, max: f64, scaling: Scaling) -> Self {
        let scaling = match scaling {
            Scaling::Auto if min > 0.0 && max / min >= AUTO_LOG_RATIO => Scaling::Logarithmic,
            Scaling::Auto => Scaling::Linear,
            other => other,
        };
        let mut scale = Self { scaling, low: 0.0, high: 1.0 };
        (scale.low, scale.high) = (scale.up(min), scale.up(max));
        scale
    }

    fn up(&self, value: f64) -> f64 {
        match self.scaling {
            Scaling::Logarithmic => value.ln(),
            Scaling::ReverseLogarithmic => -(1.0 - value).ln(),
            Scaling::Auto | Scaling::Linear => value,
        }
    }

    fn down(&self, place: f64) -> f64 {
        match self.scaling {
            Scaling::Logarithmic => place.exp(),
            Scaling::ReverseLogarithmic => 1.0 - (-place).exp(),
            Scaling::Auto | Scaling::Linear => place,
        }
    }

    fn place(&self, value: f64) -> f64 {
        let width = self.high - self.low;
        if width > 0.0 { ((self.up(value) - self.low) / width).clamp(0.0, 1.0) } else { 0.5 }
    }

    fn value(&self, place: f64) -> f64 {
        self.down(self.low + place.clamp(0.0, 1.0) * (self.high - self.low))
    }
}

impl Range {
    fn scale(&self) -> Scale {
        match self {
            Self::Continuous { min, max, scaling } => Scale::new(*min, *max, *scaling),
            Self::Integer { min, max, scaling } => {
                // The choice of scale is the range's as stated, not as widened.
                let scaling = Scale::new(*min as f64, *max as f64, *scaling).scaling;
                let top = *max as f64 + 0.5;
                let top = if scaling == Scaling::ReverseLogarithmic { top.min(0.999) } else { top };
                Scale::new(*min as f64 - 0.5, top, scaling)
            }
            Self::Categorical { values } => {
                Scale::new(0.0, values.len().saturating_sub(1) as f64, Scaling::Linear)
            }
        }
    }

    /// The value at a coordinate.
    pub(crate) fn value(&self, place: f64) -> Value {
        match self {
            Self::Continuous { min, max, .. } => Value::Number(self.scale().value(place).clamp(*min, *max)),
            Self::Integer { min, max, .. } => {
                Value::Integer((self.scale().value(place).round() as i64).clamp(*min, *max))
            }
            Self::Categorical { values } => {
                let index = (place.max(0.0).round() as usize).min(values.len().saturating_sub(1));
                Value::Text(values[index].clone())
            }
        }
    }

    /// The coordinate of a value.
    fn place(&self, value: &Value) -> Option<f64> {
        match (self, value) {
            (Self::Continuous { min, max, .. }, Value::Number(number)) => {
                (*min..=*max).contains(number).then(|| self.scale().place(*number))
            }
            (Self::Integer { min, max, .. }, Value::Integer(number)) => {
                (*min..=*max).contains(number).then(|| self.scale().place(*number as f64))
            }
            (Self::Categorical { values }, Value::Text(text)) => {
                values.iter().position(|value| value == text).map(|index| index as f64)
            }
            _ => None,
        }
    }

    /// The value that a text means.
    fn parse(&self, text: &str) -> Option<Value> {
        match self {
            Self::Continuous { .. } => text.trim().parse().ok().map(Value::Number),
            Self::Integer { .. } => text.trim().parse().ok().map(Value::Integer),
            Self::Categorical { .. } => Some(Value::Text(text.to_owned())),
        }
    }

    /// Number of values, when it is finite.
    pub(crate) fn count(&self) -> Option<usize> {
        match self {
            Self::Continuous { min, max, .. } => (min == max).then_some(1),
            Self::Integer { min, max, .. } => usize::try_from(max.checked_sub(*min)?).ok()?.checked_add(1),
            Self::Categorical { values } => Some(values.len()),
        }
    }

    /// The coordinate of the n-th value of a finite range.
    pub(crate) fn nth(&self, index: usize) -> f64 {
        match self {
            Self::Continuous { .. } => 0.5,
            Self::Integer { min, .. } => self.scale().place(min.saturating_add(index as i64) as f64),
            Self::Categorical { .. } => index as f64,
        }
    }

    /// The coordinates of the whole numbers beside the one at a coordinate.
    pub(crate) fn steps(&self, place: f64) -> Vec<f64> {
        match (self, self.value(place)) {
            (Self::Integer { .. }, Value::Integer(number)) => [number.checked_sub(1), number.checked_add(1)]
                .into_iter()
                .flatten()
                .filter_map(|beside| self.place(&Value::Integer(beside)))
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Whether coordinates are indexes of values.
    pub(crate) const fn is_categorical(&self) -> bool {
        matches!(self, Self::Categorical { .. })
    }

    /// A coordinate from a uniform number in `[0, 1)`.
    pub(crate) fn spread(&self, unit: f64) -> f64 {
        match self {
            Self::Categorical { values } => {
                (unit * values.len() as f64).floor().min(values.len() as f64 - 1.0)
            }
            Self::Integer { .. } | Self::Continuous { .. } => self.snap(unit),
        }
    }

    /// The coordinate of the value at a coordinate: integers have one coordinate each.
    pub(crate) fn snap(&self, place: f64) -> f64 {
        match self {
            Self::Integer { .. } => match self.value(place) {
                Value::Integer(number) => self.scale().place(number as f64),
                _ => place,
            },
            Self::Continuous { .. } => place.clamp(0.0, 1.0),
            Self::Categorical { .. } => place,
        }
    }
}

#[cfg(test)]
mod tests;
