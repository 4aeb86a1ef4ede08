//! The Condition element: operators, their values, and whether a request satisfies them.
//!
//! Source: "IAM JSON policy elements: Condition operators", IAM User Guide. All conditions of a
//! statement must hold; the values of one condition are alternatives; a key that the request lacks
//! fails an operator, except the negated ones and those that end in `IfExists`.

use std::net::IpAddr;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::PolicyError;
use super::context::{Context, Key};
use super::document::one_or_many;
use super::pattern::{Pattern, Wildcards};

/// One operator applied to one key.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    key: Key,
    quantifier: Quantifier,
    if_exists: bool,
    negated: bool,
    test: Test,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantifier {
    One,
    All,
    Any,
}

/// What a value of the request is compared with; the alternatives of one operator.
#[derive(Debug, Clone, PartialEq)]
enum Test {
    Text { patterns: Vec<Pattern>, fold: bool },
    Arn(Vec<Pattern>),
    Number(Order, Vec<f64>),
    Date(Order, Vec<OffsetDateTime>),
    Bool(Vec<bool>),
    Address(Vec<Network>),
    Null(Vec<bool>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    fn holds<T: PartialOrd>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Equal => left == right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

/// A network in CIDR notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    fn read(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(longest), str::parse).ok()?;
        (prefix <= longest).then_some(Self { address, prefix })
    }

    fn holds(&self, found: &str) -> bool {
        let Ok(found) = found.parse::<IpAddr>() else { return false };
        let bits = |address: IpAddr| match address.to_canonical() {
            IpAddr::V4(four) => (u128::from(u32::from(four)) << 96, 32),
            IpAddr::V6(six) => (u128::from(six), 128),
        };
        let ((ours, width), (theirs, other)) = (bits(self.address), bits(found));
        let kept = 128u32.saturating_sub(self.prefix);
        width == other && (self.prefix == 0 || (ours ^ theirs) >> kept == 0)
    }
}

impl Condition {
    /// Reads the Condition block of a statement.
    ///
    /// # Errors
    /// An operator or key that is not known, or a value that does not fit its operator.
    pub fn read_block(block: &Value, variables: bool) -> Result<Vec<Self>, PolicyError> {
        let operators =
            block.as_object().ok_or_else(|| PolicyError::new("Condition must be an object".into()))?;
        let mut conditions = Vec::new();
        for (operator, keys) in operators {
            let keys = keys
                .as_object()
                .ok_or_else(|| PolicyError::new(format!("Condition.{operator} must be an object of keys")))?;
            for (key, values) in keys {
                let place = |error: PolicyError| error.inside(&format!("Condition.{operator}.{key}"));
                conditions.push(Self::read(operator, key, values, variables).map_err(place)?);
            }
        }
        Ok(conditions)
    }

    fn read(operator: &str, key: &str, values: &Value, variables: bool) -> Result<Self, PolicyError> {
        let (quantifier, rest) = match operator.split_once(':') {
            Some(("ForAllValues", rest)) => (Quantifier::All, rest),
            Some(("ForAnyValue", rest)) => (Quantifier::Any, rest),
            Some((other, _)) => {
                return Err(PolicyError::new(format!(
                    "'{other}:' is neither ForAllValues: nor ForAnyValue:"
                )));
            }
            None => (Quantifier::One, operator),
        };
        let (name, if_exists) = match rest.strip_suffix("IfExists") {
            Some(name) if name != "Null" => (name, true),
            _ => (rest, false),
        };
        let key = Key::read(key)?;
        if quantifier == Quantifier::One && key.has_many_values() && name != "Null" {
            let message =
                "the key has several values: write ForAllValues: or ForAnyValue: before the operator";
            return Err(PolicyError::new(message.into()));
        }
        let (test, negated) = Test::read(name, &one_or_many(values, scalar)?, variables)?;
        Ok(Self { key, quantifier, if_exists, negated, test })
    }

    /// Does the request satisfy the condition?
    pub fn holds(&self, context: &Context<'_>) -> bool {
        let values = context.values(&self.key);
        if let Test::Null(wanted) = &self.test {
            return wanted.contains(&values.is_none());
        }
        let Some(values) = values else {
            return match self.quantifier {
                Quantifier::All => true,
                Quantifier::Any => self.if_exists,
                Quantifier::One => self.if_exists || self.negated,
            };
        };
        let each = |value: &str| self.test.holds(value, context) != self.negated;
        match self.quantifier {
            Quantifier::All => values.iter().all(|value| each(value)),
            Quantifier::One | Quantifier::Any => values.iter().any(|value| each(value)),
        }
    }
}

/// Values may be written as text, numbers or booleans; all are text to an operator.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(bool) => Some(bool.to_string()),
        _ => None,
    }
}

impl Test {
    /// The test of an operator's name, and whether it is negated.
    fn read(name: &str, values: &[String], variables: bool) -> Result<(Self, bool), PolicyError> {
        let patterns = |wildcards| {
            values.iter().map(|text| Pattern::read(text, wildcards, variables)).collect::<Result<Vec<_>, _>>()
        };
        let text =
            |wildcards, fold| Ok::<_, PolicyError>(Self::Text { patterns: patterns(wildcards)?, fold });
        let number =
            |order| Ok::<_, PolicyError>(Self::Number(order, read_all(values, "a number", number_of)?));
        let date = |order| Ok::<_, PolicyError>(Self::Date(order, read_all(values, DATE, date_of)?));
        let address = || Ok::<_, PolicyError>(Self::Address(read_all(values, NETWORK, Network::read)?));
        let bools = || read_all(values, "true or false", bool_of);
        let found = match name {
            "StringEquals" => (text(Wildcards::No, false)?, false),
            "StringNotEquals" => (text(Wildcards::No, false)?, true),
            "StringEqualsIgnoreCase" => (text(Wildcards::No, true)?, false),
            "StringNotEqualsIgnoreCase" => (text(Wildcards::No, true)?, true),
            "StringLike" => (text(Wildcards::Yes, false)?, false),
            "StringNotLike" => (text(Wildcards::Yes, false)?, true),
            "ArnEquals" | "ArnLike" => (Self::Arn(patterns(Wildcards::Yes)?), false),
            "ArnNotEquals" | "ArnNotLike" => (Self::Arn(patterns(Wildcards::Yes)?), true),
            "NumericEquals" => (number(Order::Equal)?, false),
            "NumericNotEquals" => (number(Order::Equal)?, true),
            "NumericLessThan" => (number(Order::Less)?, false),
            "NumericLessThanEquals" => (number(Order::LessOrEqual)?, false),
            "NumericGreaterThan" => (number(Order::Greater)?, false),
            "NumericGreaterThanEquals" => (number(Order::GreaterOrEqual)?, false),
            "DateEquals" => (date(Order::Equal)?, false),
            "DateNotEquals" => (date(Order::Equal)?, true),
            "DateLessThan" => (date(Order::Less)?, false),
            "DateLessThanEquals" => (date(Order::LessOrEqual)?, false),
            "DateGreaterThan" => (date(Order::Greater)?, false),
            "DateGreaterThanEquals" => (date(Order::GreaterOrEqual)?, false),
            "Bool" => (Self::Bool(bools()?), false),
            "Null" => (Self::Null(bools()?), false),
            "IpAddress" => (address()?, false),
            "NotIpAddress" => (address()?, true),
            _ => {
                return Err(PolicyError::new(format!(
                    "the condition operator '{name}' is not supported by this server"
                )));
            }
        };
        Ok(found)
    }

    fn holds(&self, value: &str, context: &Context<'_>) -> bool {
        match self {
            Self::Text { patterns, fold } => patterns.iter().any(|one| one.matches(value, *fold, context)),
            Self::Arn(patterns) => patterns.iter().any(|one| one.matches_arn(value, context)),
            Self::Number(order, wanted) => {
                number_of(value).is_some_and(|found| wanted.iter().any(|one| order.holds(&found, one)))
            }
            Self::Date(order, wanted) => {
                date_of(value).is_some_and(|found| wanted.iter().any(|one| order.holds(&found, one)))
            }
            Self::Bool(wanted) => bool_of(value).is_some_and(|found| wanted.contains(&found)),
            Self::Address(networks) => networks.iter().any(|network| network.holds(value)),
            // Decided by the key alone, before there is a value.
            Self::Null(_) => false,
        }
    }
}

const DATE: &str = "a date such as 2026-11-24T12:00:00Z or seconds since 1970";
const NETWORK: &str = "an address or network such as 10.0.0.0/8";

fn read_all<T>(
    values: &[String],
    what: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, PolicyError> {
    let one = |text: &String| read(text).ok_or_else(|| PolicyError::new(format!("'{text}' is not {what}")));
    values.iter().map(one).collect()
}

fn number_of(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|number| number.is_finite())
}

fn bool_of(text: &str) -> Option<bool> {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn date_of(text: &str) -> Option<OffsetDateTime> {
    if let Ok(seconds) = text.parse::<i64>() {
        return OffsetDateTime::from_unix_timestamp(seconds).ok();
    }
    OffsetDateTime::parse(text, &Rfc3339)
        .ok()
        .or_else(|| OffsetDateTime::parse(&format!("{text}T00:00:00Z"), &Rfc3339).ok())
}
