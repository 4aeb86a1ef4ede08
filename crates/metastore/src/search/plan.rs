//! Which entries an expression can be satisfied by at all: sets that hold every such entry whose terms
//! are written, and maybe others. The matcher decides.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use rusqlite::Connection;

use super::facts::{self, Term, shortened};
use super::matching::{FieldTest, Matcher};
use super::query::{Condition, Scalar};
use super::runs::{self, Span};
use crate::Result;

/// Most spans that one condition is answered from; more make a plan of no use.
const SPANS: usize = 256;
/// Most distinct values of a property that a `Contains` is tried on one by one.
const DISTINCT: usize = 256;

/// A set of entries that holds all that satisfy an expression.
#[derive(Debug, Clone)]
pub enum Cover {
    /// These, sorted.
    Known(Vec<i64>),
    /// Those in any of the spans, and how many these have.
    Spans(Vec<Span>, usize),
    /// Those in every one.
    Both(Vec<Cover>),
    /// Those in any one.
    Either(Vec<Cover>),
}

impl Cover {
    /// At most how many entries it has.
    pub fn count(&self) -> usize {
        match self {
            Self::Known(entries) => entries.len(),
            Self::Spans(_, count) => *count,
            Self::Both(parts) => parts.iter().map(Self::count).min().unwrap_or_default(),
            Self::Either(parts) => parts.iter().map(Self::count).sum(),
        }
    }

    /// Its entries, sorted. A part of `Both` with `large` or more is not looked at when another has fewer.
    pub fn entries(&self, connection: &Connection, runs: &[i64], large: usize) -> Result<Vec<i64>> {
        let mut found = Vec::new();
        match self {
            Self::Known(entries) => found.extend(entries),
            Self::Spans(spans, _) => {
                for span in spans {
                    runs::entries(connection, runs, span, usize::MAX, &mut found)?;
                }
            }
            Self::Both(parts) => {
                let mut parts: Vec<&Self> = parts.iter().collect();
                parts.sort_by_key(|part| part.count());
                let mut parts = parts.into_iter();
                let Some(fewest) = parts.next() else { return Ok(found) };
                found = fewest.entries(connection, runs, large)?;
                for part in parts.take_while(|part| part.count() < large) {
                    let also = part.entries(connection, runs, large)?;
                    found.retain(|entry| also.binary_search(entry).is_ok());
                }
            }
            Self::Either(parts) => {
                for part in parts {
                    found.extend(part.entries(connection, runs, large)?);
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }
}

const LEAST: Term = Term::Number(f64::NEG_INFINITY);
const GREATEST_NUMBER: Term = Term::Number(f64::INFINITY);
const LEAST_TEXT: Term = Term::Text(String::new());

/// A cover of an expression, or `None` when only the whole index is one. Counting stops at about `bound`
/// terms a span.
pub fn cover(
    connection: &Connection,
    runs: &[i64],
    matcher: &Matcher,
    bound: usize,
) -> Result<Option<Cover>> {
    let both = |parts: Vec<Option<Cover>>| {
        let parts: Vec<Cover> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then_some(Cover::Both(parts))
    };
    match matcher {
        Matcher::Test(test) => of_test(connection, runs, test, bound),
        // That an element lacks something says nothing about the record, and covers nothing.
        Matcher::OneElement(_, tests) => {
            let parts = tests.iter().map(|test| of_test(connection, runs, test, bound));
            Ok(both(parts.collect::<Result<_>>()?))
        }
        Matcher::All(parts) => {
            let (joined, others) = joined(parts);
            let mut covers = Vec::new();
            for spans in joined {
                covers.push(Some(of_spans(connection, runs, spans, bound)?));
            }
            for part in others {
                covers.push(cover(connection, runs, part, bound)?);
            }
            Ok(both(covers))
        }
        Matcher::Any(parts) => {
            let parts = parts.iter().map(|part| cover(connection, runs, part, bound));
            let parts: Option<Vec<Cover>> = parts.collect::<Result<Vec<_>>>()?.into_iter().collect();
            Ok(parts.map(Cover::Either))
        }
    }
}

/// Of parts that all hold: the spans of each field that has one value a record, which satisfy every test
/// of it at once, and the parts that are no such tests.
fn joined(parts: &[Matcher]) -> (Vec<Vec<Span>>, Vec<&Matcher>) {
    let mut fields: BTreeMap<u32, Vec<Span>> = BTreeMap::new();
    let mut others = Vec::new();
    for part in parts {
        let test = match part {
            Matcher::Test(FieldTest { field: Some(field), many: false, condition }) => {
                spans(*field, condition).map(|spans| (*field, spans))
            }
            _ => None,
        };
        let Some((field, spans)) = test else {
            others.push(part);
            continue;
        };
        match fields.entry(field) {
            Entry::Vacant(first) => drop(first.insert(spans)),
            Entry::Occupied(mut known) => {
                let both = known.get().iter().flat_map(|one| spans.iter().filter_map(|other| one.and(other)));
                let both = both.collect();
                known.insert(both);
            }
        }
    }
    (fields.into_values().collect(), others)
}

fn of_test(connection: &Connection, runs: &[i64], test: &FieldTest, bound: usize) -> Result<Option<Cover>> {
    let positive = !matches!(test.condition, Condition::NotEquals(_) | Condition::NotExists);
    let Some(field) = test.field else {
        return Ok(positive.then_some(Cover::Spans(Vec::new(), 0)));
    };
    let spans = match &test.condition {
        Condition::Contains(part) => Some(contains(connection, runs, field, part)?),
        condition => spans(field, condition),
    };
    let Some(spans) = spans.filter(|spans| spans.len() <= SPANS) else { return Ok(None) };
    of_spans(connection, runs, spans, bound).map(Some)
}

fn of_spans(connection: &Connection, runs: &[i64], spans: Vec<Span>, bound: usize) -> Result<Cover> {
    let mut total = 0;
    if spans.iter().any(|span| span.part.is_some()) {
        // Counting reads every value, so the entries are kept.
        let mut found = Vec::new();
        for span in &spans {
            runs::entries(connection, runs, span, bound, &mut found)?;
        }
        found.sort_unstable();
        found.dedup();
        if found.len() < bound {
            return Ok(Cover::Known(found));
        }
        total = found.len();
    } else {
        for span in &spans {
            total += runs::count(connection, runs, span, bound)?;
        }
    }
    Ok(Cover::Spans(spans, total))
}

/// The spans that hold what a condition accepts; `None` for those that accept what is not there.
pub fn spans(field: u32, condition: &Condition) -> Option<Vec<Span>> {
    let span = |low: Term, high: Term| Span { field, low, high, part: None };
    let number = |scalar: &Scalar| scalar.number.map(Term::Number);
    let text = |scalar: &Scalar| Term::Text(shortened(&scalar.text).to_owned());
    let is = |scalar: &Scalar| {
        let numeric = number(scalar).map(|number| span(number.clone(), number));
        numeric.into_iter().chain([span(text(scalar), text(scalar))])
    };
    Some(match condition {
        Condition::Equals(scalar) => is(scalar).collect(),
        Condition::In(scalars) => scalars.iter().flat_map(is).collect(),
        Condition::Above(scalar) | Condition::AtLeast(scalar) => {
            let numeric = number(scalar).map(|number| span(number, GREATEST_NUMBER));
            numeric.into_iter().chain([span(text(scalar), Term::End)]).collect()
        }
        Condition::Below(scalar) | Condition::AtMost(scalar) => {
            let numeric = number(scalar).map(|number| span(LEAST, number));
            numeric.into_iter().chain([span(LEAST_TEXT, text(scalar))]).collect()
        }
        Condition::Exists => vec![span(LEAST, Term::End)],
        Condition::Contains(_) | Condition::NotEquals(_) | Condition::NotExists => return None,
    })
}

/// Spans for a text within: the values that hold it when there are few, else one over all of them.
/// Values that are numbers may be so only in the index, so a field with numbers is taken whole.
fn contains(connection: &Connection, runs: &[i64], field: u32, part: &str) -> Result<Vec<Span>> {
    let numbers = Span { field, low: LEAST, high: GREATEST_NUMBER, part: None };
    if runs::count(connection, runs, &numbers, 1)? > 0 {
        return Ok(vec![Span { field, low: LEAST, high: Term::End, part: None }]);
    }
    let whole = Span { field, low: LEAST_TEXT, high: Term::End, part: Some(part.to_owned()) };
    let Some(values) = runs::distinct(connection, runs, field, DISTINCT)? else { return Ok(vec![whole]) };
    let holds = |value: &String| value.contains(part) || facts::may_be_cut(value);
    Ok(values
        .into_iter()
        .filter(holds)
        .map(|value| Span { field, low: Term::Text(value.clone()), high: Term::Text(value), part: None })
        .collect())
}

/// The run of values of `field` outside of which no entry satisfies the expression: what an ordered
/// reading by that field may leave out. The whole field when nothing is known.
pub fn bounds(matcher: &Matcher, field: u32) -> (Term, Term, bool) {
    let mut bounds = (LEAST, Term::End, false);
    let tests: Vec<&Matcher> = match matcher {
        Matcher::All(parts) => parts.iter().collect(),
        other => vec![other],
    };
    for test in tests {
        let Matcher::Test(test) = test else { continue };
        if test.field != Some(field) {
            continue;
        }
        let Some(spans) = spans(field, &test.condition) else {
            // `Contains` says nothing of the order and still wants the property to be there.
            bounds.2 |= matches!(test.condition, Condition::Contains(_));
            continue;
        };
        bounds.2 = true;
        let low = spans.iter().map(|span| &span.low).reduce(|a, b| if b < a { b } else { a });
        let high = spans.iter().map(|span| &span.high).reduce(|a, b| if b > a { b } else { a });
        if let (Some(low), Some(high)) = (low, high) {
            if *low > bounds.0 {
                bounds.0 = low.clone();
            }
            if *high < bounds.1 {
                bounds.1 = high.clone();
            }
        }
    }
    bounds
}
