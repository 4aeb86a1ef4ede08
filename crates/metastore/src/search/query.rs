//! What a search asks for, in neutral terms.

use sagebrush_types::Resource;

use super::facts::{Term, number_in};
use crate::{Order, Record, Tag};

/// A value to compare with.
#[derive(Debug, Clone, PartialEq)]
pub struct Scalar {
    /// As text.
    pub text: String,
    /// As a number, when it has that reading.
    pub number: Option<f64>,
}

impl Scalar {
    /// A value whose number, if any, is what its text says.
    pub fn of(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { number: number_in(&text), text }
    }
}

/// What a property is asked. A property that is a number compares with numbers, one that is text
/// with text; a property with several values passes when one of them does.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// Has this value.
    Equals(Scalar),
    /// Does not have this value; also true when it is not there.
    NotEquals(Scalar),
    /// Lies above.
    Above(Scalar),
    /// Lies above or is equal.
    AtLeast(Scalar),
    /// Lies below.
    Below(Scalar),
    /// Lies below or is equal.
    AtMost(Scalar),
    /// Has this text within, case-sensitive.
    Contains(String),
    /// Is there.
    Exists,
    /// Is not there.
    NotExists,
    /// Has one of these values.
    In(Vec<Scalar>),
}

/// One property and what it is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// The property.
    pub path: String,
    /// The question.
    pub condition: Condition,
}

/// What a record must satisfy.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// Every one; true when there is none.
    All(Vec<Expression>),
    /// At least one.
    Any(Vec<Expression>),
    /// One property.
    Test(Test),
    /// One element of this list satisfies every test.
    OneElement(String, Vec<Test>),
}

/// What results are sorted by. The order of creation breaks ties, so every order is total. Records
/// without the property come last in both directions.
#[derive(Debug, Clone, PartialEq)]
pub enum SortKey {
    /// Creation time.
    Created,
    /// Time of the last change.
    Modified,
    /// A property; of several values, the first in the direction of the order.
    Property(String),
}

/// A search.
#[derive(Debug, Clone)]
pub struct Query {
    /// Kind of resource.
    pub kind: Resource,
    /// Region.
    pub region: String,
    /// Which records.
    pub expression: Expression,
    /// In which order.
    pub sort: SortKey,
    /// Sort direction.
    pub order: Order,
    /// Records a page.
    pub limit: usize,
    /// Start behind this place.
    pub after: Option<Place>,
}

/// A place in the results: the sort key and entry of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// The sort key.
    pub rank: Rank,
    /// The index's number of the record.
    pub entry: i64,
}

/// A record's sort key.
#[derive(Debug, Clone, PartialEq)]
pub enum Rank {
    /// A time, milliseconds since the Unix epoch.
    Time(i64),
    /// The value of the property.
    Value(Term),
    /// The property is not there; the time of creation.
    Absent(i64),
}

/// One page of a search.
#[derive(Debug, Clone)]
pub struct Found {
    /// The records with their tags.
    pub records: Vec<(Record, Vec<Tag>)>,
    /// Where the next page starts, when there is one.
    pub next: Option<Place>,
}

impl Place {
    /// The order of two places in results of that direction.
    pub fn compare(&self, other: &Self, order: Order) -> std::cmp::Ordering {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let ranks = match (&self.rank, &other.rank) {
            (Rank::Absent(_), Rank::Time(_) | Rank::Value(_)) => return Greater,
            (Rank::Time(_) | Rank::Value(_), Rank::Absent(_)) => return Less,
            (Rank::Absent(left), Rank::Absent(right)) | (Rank::Time(left), Rank::Time(right)) => {
                left.cmp(right)
            }
            (Rank::Value(left), Rank::Value(right)) => left.partial_cmp(right).unwrap_or(Equal),
            (Rank::Time(_), Rank::Value(_)) => Less,
            (Rank::Value(_), Rank::Time(_)) => Greater,
        };
        let ascending = ranks.then(self.entry.cmp(&other.entry));
        match order {
            Order::Ascending => ascending,
            Order::Descending => ascending.reverse(),
        }
    }
}
