//! Search over the properties of records: any expression, any order, complete pages.
//!
//! A search goes one of two ways, whichever is expected to read less: it reads the facts of the entries
//! that the index says can match and sorts them, or it goes through entries in the asked order until the
//! page is full, past those that cannot match. Either way every entry is judged by its facts
//! (`matching`), so the way changes the time and never the answer. Promises: it sees every committed
//! record, and one state of the database.

mod block;
mod facts;
mod index;
mod matching;
mod merge;
mod plan;
mod query;
mod reading;
mod rules;
mod runs;
mod settle;

#[cfg(test)]
mod tests;

pub use facts::Term;
pub use query::{Condition, Expression, Found, Place, Query, Rank, Scalar, SortKey, Test};
pub use rules::{IndexRules, NamedList, PLAIN};

pub(crate) use index::{Index, Made};

use std::collections::{BTreeSet, HashMap};

use rusqlite::Connection;
use sagebrush_types::Resource;

use crate::database::all;
use crate::{Metastore, Record, Result, Tag, record};
use index::Field;
use matching::{FieldTest, Matcher};
use reading::{Reading, Sorting};

/// What decides between the two ways of a search.
#[derive(Debug, Clone, Copy)]
pub struct Costs {
    /// Counting stops here: a span with more terms is large, and nobody looks which entries it has.
    pub counted: usize,
    /// Steps through the asked order before a large set of candidates is read after all.
    pub patience: usize,
}

/// Reading a term costs about a fiftieth of a microsecond, a step through an order a fifth of one.
pub const COSTS: Costs = Costs { counted: 200_000, patience: 1_000_000 };
/// What judging an entry costs, in steps through an order.
const JUDGED: usize = 16;

impl Metastore {
    /// One page of a search.
    ///
    /// # Errors
    /// `Database` or `Document`.
    pub async fn search(&self, query: &Query) -> Result<Found> {
        let (query, index) = (query.clone(), std::sync::Arc::clone(&self.index));
        let found = self.readers.read(move |connection| {
            // One transaction, so that every statement sees the same state.
            let snapshot = connection.unchecked_transaction()?;
            let mut found = places(&snapshot, &query, &index)?;
            let more = found.len() > query.limit;
            found.truncate(query.limit);
            let next = found.last().filter(|_| more).cloned();
            let records = fetch(&snapshot, query.kind, &found)?;
            Ok(Found { records, next })
        });
        found.await
    }

    /// Property paths of a kind that begin with `prefix` (letters of either case), by path, at most
    /// `limit`.
    ///
    /// # Errors
    /// `Database`.
    pub async fn property_paths(
        &self,
        kind: Resource,
        region: &str,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<String>> {
        let (region, prefix) = (region.to_owned(), prefix.to_owned());
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let paths = self.readers.read(move |connection| {
            all(
                connection,
                "SELECT path FROM search_fields
                 WHERE kind = ?1 AND region = ?2 AND lower(substr(path, 1, length(?3))) = lower(?3)
                 ORDER BY path LIMIT ?4",
                (kind.arn_segment(), region, prefix, limit),
                |row| Ok(row.get(0)?),
            )
        });
        paths.await
    }
}

fn places(connection: &Connection, query: &Query, index: &Index) -> Result<Vec<Place>> {
    let matcher = compile(connection, query)?;
    let sorting = match &query.sort {
        SortKey::Created => Sorting::Created,
        SortKey::Modified => Sorting::Modified,
        SortKey::Property(path) if path == index.rules.created => Sorting::Created,
        SortKey::Property(path) if path == index.rules.modified => Sorting::Modified,
        SortKey::Property(path) => match index::field(connection, query.kind, &query.region, path)? {
            Some(field) => Sorting::Field(field),
            None => Sorting::Nothing,
        },
    };
    let runs = runs::live(connection)?;
    let costs = index.costs;
    let cover = plan::cover(connection, &runs, &matcher, costs.counted)?;
    let mut reading = Reading::new(connection, query, &runs, &matcher, sorting)?;
    let Some(cover) = cover else {
        return Ok(reading.in_order(usize::MAX)?.unwrap_or_default());
    };
    if cover.count() >= costs.counted {
        return match reading.in_order(costs.patience)? {
            Some(places) => Ok(places),
            None => reading.candidates(&cover.entries(connection, &runs, costs.counted)?),
        };
    }
    let candidates = cover.entries(connection, &runs, costs.counted)?;
    // In the order, candidates are expected to lie as densely as among all entries.
    let judging = candidates.len() * JUDGED;
    let steps = reading.entries()?.saturating_mul(query.limit + 1) / candidates.len().max(1);
    if steps < judging {
        reading.pass_all_but(&candidates);
        if let Some(places) = reading.in_order(judging * 2)? {
            return Ok(places);
        }
    }
    reading.candidates(&candidates)
}

/// The query's expression with fields in place of paths.
fn compile(connection: &Connection, query: &Query) -> Result<Matcher> {
    let mut fields: HashMap<&str, Option<Field>> = HashMap::new();
    let mut lists = HashMap::new();
    let mut open = vec![&query.expression];
    while let Some(expression) = open.pop() {
        let mut paths: Vec<&str> = Vec::new();
        match expression {
            Expression::All(parts) | Expression::Any(parts) => open.extend(parts),
            Expression::Test(test) => paths.push(&test.path),
            Expression::OneElement(list, tests) => {
                paths.extend(tests.iter().map(|test| test.path.as_str()));
                lists
                    .insert(list.as_str(), index::fields_below(connection, query.kind, &query.region, list)?);
            }
        }
        for path in paths {
            if !fields.contains_key(path) {
                fields.insert(path, index::field(connection, query.kind, &query.region, path)?);
            }
        }
    }
    let test = |test: &Test| {
        let field = fields.get(test.path.as_str()).copied().flatten();
        FieldTest {
            field: field.map(|field| field.id),
            many: field.is_some_and(|field| field.many),
            condition: test.condition.clone(),
        }
    };
    Ok(build(&query.expression, &test, &|list| lists.get(list).cloned().unwrap_or_default()))
}

fn build(
    expression: &Expression,
    test: &dyn Fn(&Test) -> FieldTest,
    below: &dyn Fn(&str) -> BTreeSet<u32>,
) -> Matcher {
    match expression {
        Expression::All(parts) => Matcher::All(parts.iter().map(|part| build(part, test, below)).collect()),
        Expression::Any(parts) => Matcher::Any(parts.iter().map(|part| build(part, test, below)).collect()),
        Expression::Test(one) => Matcher::Test(test(one)),
        Expression::OneElement(list, tests) => {
            Matcher::OneElement(below(list), tests.iter().map(test).collect())
        }
    }
}

/// The records at those places, in their order, with their tags.
fn fetch(connection: &Connection, kind: Resource, places: &[Place]) -> Result<Vec<(Record, Vec<Tag>)>> {
    let mut records = Vec::with_capacity(places.len());
    for place in places {
        let found = all(
            connection,
            "SELECT r.region, r.name, r.arn, r.status, r.created, r.modified, r.document
             FROM search_entries e
             CROSS JOIN records r ON r.kind = e.kind AND r.region = e.region AND r.name = e.name
             WHERE e.id = ?1",
            (place.entry,),
            |row| record::read(row, kind),
        )?;
        for record in found {
            let tags = crate::tag::of(connection, &record.arn)?;
            records.push((record, tags));
        }
    }
    Ok(records)
}
