//! Conditions on values: comparisons, joined by `&&` and `||`.

use serde_json::Value;

/// A condition on a document.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// One of them holds.
    Any(Vec<Expression>),
    /// All of them hold.
    All(Vec<Expression>),
    /// A member passes a test.
    Member(Selector, Test),
}

/// The way to a member: names and places.
pub type Selector = Vec<Step>;

/// One step of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Into a member of this name.
    Name(String),
    /// Into the item at this place.
    Place(usize),
}

/// What a value must be.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// Compared with a constant.
    Compare(Comparison, Constant),
    /// There, and null.
    IsNull,
    /// There, and this truth value.
    Is(bool),
    /// Not there.
    Absent,
}

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

/// What a value is compared with: text in which `*` stands for any text, and its number if it is one.
#[derive(Debug, Clone, PartialEq)]
pub struct Constant {
    /// As written, without quotes.
    pub text: String,
    /// The number that it is, unless it was quoted.
    pub number: Option<f64>,
}

impl Expression {
    /// Does it hold for a document?
    pub fn holds(&self, document: &Value) -> bool {
        match self {
            Self::Any(parts) => parts.iter().any(|part| part.holds(document)),
            Self::All(parts) => parts.iter().all(|part| part.holds(document)),
            Self::Member(selector, test) => test.passes(select(document, selector)),
        }
    }
}

fn select<'a>(document: &'a Value, selector: &Selector) -> Option<&'a Value> {
    selector.iter().try_fold(document, |value, step| match step {
        Step::Name(name) => value.get(name),
        Step::Place(place) => value.get(place),
    })
}

impl Test {
    fn passes(&self, value: Option<&Value>) -> bool {
        match (self, value) {
            (Self::Absent, value) => value.is_none(),
            (_, None) => false,
            (Self::IsNull, Some(value)) => value.is_null(),
            (Self::Is(expected), Some(value)) => value.as_bool() == Some(*expected),
            (Self::Compare(comparison, constant), Some(Value::Number(number))) => {
                comparison.holds(&number.to_string(), number.as_f64(), constant)
            }
            (Self::Compare(comparison, constant), Some(Value::String(text))) => {
                comparison.holds(text, None, constant)
            }
            (Self::Compare(..), Some(_)) => false,
        }
    }
}

impl Comparison {
    /// Compares a text, which may be a number, with a constant.
    pub fn holds(self, text: &str, number: Option<f64>, constant: &Constant) -> bool {
        let numbers = number.zip(constant.number);
        let equal = || match numbers {
            Some((left, right)) => left == right,
            None => like(text, &constant.text),
        };
        match self {
            Self::Equal => equal(),
            Self::Unequal => !equal(),
            Self::Less => numbers.is_some_and(|(left, right)| left < right),
            Self::AtMost => numbers.is_some_and(|(left, right)| left <= right),
            Self::Greater => numbers.is_some_and(|(left, right)| left > right),
            Self::AtLeast => numbers.is_some_and(|(left, right)| left >= right),
        }
    }
}

/// Is `text` as `pattern` says, where `*` stands for any text? Every part is looked for once, from left to
/// right, so the time is bounded by the product of the lengths.
fn like(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        for (text, pattern, expected) in [
            ("abc", "abc", true),
            ("abc", "ab", false),
            ("abc", "a*", true),
            ("abc", "*c", true),
            ("abc", "a*c", true),
            ("abcabc", "a*b*c", true),
            ("ab", "ab*b", false),
            ("", "*", true),
            ("abc", "*d*", false),
        ] {
            assert_eq!(like(text, pattern), expected, "{text} {pattern}");
        }
    }
}
