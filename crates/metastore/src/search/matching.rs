//! Does a record satisfy an expression? Decided on its facts alone, so that it is the same answer
//! whichever way the index found the record.

use std::collections::BTreeSet;

use super::facts::{FactView, View};
use super::query::{Condition, Scalar};

/// An expression whose paths are fields. A field that no record has is `None`.
#[derive(Debug, Clone)]
pub enum Matcher {
    /// Every one.
    All(Vec<Matcher>),
    /// At least one.
    Any(Vec<Matcher>),
    /// One property.
    Test(FieldTest),
    /// One element of a list, told by the fields of its members, satisfies every test.
    OneElement(BTreeSet<u32>, Vec<FieldTest>),
}

/// One field and what it is asked.
#[derive(Debug, Clone)]
pub struct FieldTest {
    /// The field.
    pub field: Option<u32>,
    /// Some record has several values of it.
    pub many: bool,
    /// The question.
    pub condition: Condition,
}

impl Matcher {
    /// Does a record with these facts satisfy the expression?
    pub fn accepts(&self, facts: &[FactView<'_>]) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.accepts(facts)),
            Self::Any(parts) => parts.iter().any(|part| part.accepts(facts)),
            Self::Test(test) => test.accepts(facts, None),
            Self::OneElement(fields, tests) => {
                let items: BTreeSet<u32> = facts
                    .iter()
                    .filter(|(field, item, _)| *item > 0 && fields.contains(field))
                    .map(|(_, item, _)| *item)
                    .collect();
                items.into_iter().any(|item| tests.iter().all(|test| test.accepts(facts, Some(item))))
            }
        }
    }
}

impl FieldTest {
    fn accepts(&self, facts: &[FactView<'_>], within: Option<u32>) -> bool {
        let any = |passes: &dyn Fn(View<'_>) -> bool| {
            facts.iter().any(|(field, item, value)| {
                Some(*field) == self.field && within.is_none_or(|within| *item == within) && passes(*value)
            })
        };
        match &self.condition {
            Condition::Exists => any(&|_| true),
            Condition::NotExists => !any(&|_| true),
            Condition::Equals(scalar) => any(&|value| is(value, scalar)),
            Condition::NotEquals(scalar) => !any(&|value| is(value, scalar)),
            Condition::In(scalars) => any(&|value| scalars.iter().any(|scalar| is(value, scalar))),
            Condition::Contains(part) => any(&|value| value.text.is_some_and(|text| text.contains(part))),
            Condition::Above(scalar) => any(&|value| compare(value, scalar).is_some_and(|is| is.is_gt())),
            Condition::AtLeast(scalar) => any(&|value| compare(value, scalar).is_some_and(|is| is.is_ge())),
            Condition::Below(scalar) => any(&|value| compare(value, scalar).is_some_and(|is| is.is_lt())),
            Condition::AtMost(scalar) => any(&|value| compare(value, scalar).is_some_and(|is| is.is_le())),
        }
    }
}

fn is(value: View<'_>, scalar: &Scalar) -> bool {
    compare(value, scalar).is_some_and(|is| is.is_eq())
}

fn compare(value: View<'_>, scalar: &Scalar) -> Option<std::cmp::Ordering> {
    match value.number {
        Some(number) => number.partial_cmp(&scalar.number?),
        None => value.text.map(|text| text.cmp(scalar.text.as_str())),
    }
}
