//! Search over the properties of records: any expression, any order, complete pages.
//!
//! A search goes one of two ways, whichever reads less: it collects the few entries that the index
//! says can match and sorts them, or it reads entries in the asked order until the page is full.
//! Either way every entry is judged by its facts (`matching`), so the way changes the time and never
//! the answer. Promises: it sees every committed record, and one state of the database.

mod facts;
mod index;
mod matching;
mod plan;
mod query;
mod reading;
mod rules;

#[cfg(test)]
mod tests;

pub use facts::Term;
pub use query::{Condition, Expression, Found, Place, Query, Rank, Scalar, SortKey, Test};
pub use rules::{IndexRules, NamedList, PLAIN};

pub(crate) use index::{Index, Made};

use std::collections::HashMap;

use sagebrush_types::Resource;
use sqlx::{Row, SqliteConnection};

use crate::{Metastore, Record, Result, Tag, record};
use matching::{FieldTest, Matcher};
use reading::{Reading, Sorting};

/// What decides between the two ways of a search.
#[derive(Debug, Clone, Copy)]
pub struct Costs {
    /// Entries that are collected and sorted without a thought.
    pub few: usize,
    /// Counting stops here: a span with more entries is large.
    pub counted: usize,
    /// Entries read in the asked order before a large set of candidates is collected after all.
    pub patience: usize,
}

/// Reading an entry costs about two microseconds, counting a term a twentieth of one.
pub const COSTS: Costs = Costs { few: 6_000, counted: 20_000, patience: 60_000 };

impl Metastore {
    /// One page of a search.
    ///
    /// # Errors
    /// `Database` or `Document`.
    pub async fn search(&self, query: &Query) -> Result<Found> {
        // One transaction, so that every statement sees the same state.
        let mut transaction = self.reader.begin().await?;
        let mut found = self.places(&mut transaction, query).await?;
        let more = found.len() > query.limit;
        found.truncate(query.limit);
        let next = found.last().filter(|_| more).cloned();
        let records = fetch(&mut transaction, query.kind, &found).await?;
        Ok(Found { records, next })
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
        Ok(sqlx::query_scalar(
            "SELECT path FROM search_fields
             WHERE kind = $1 AND region = $2 AND lower(substr(path, 1, length($3))) = lower($3)
             ORDER BY path LIMIT $4",
        )
        .bind(kind.arn_segment())
        .bind(region)
        .bind(prefix)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.reader)
        .await?)
    }

    async fn places(&self, connection: &mut SqliteConnection, query: &Query) -> Result<Vec<Place>> {
        let matcher = self.compile(connection, query, &query.expression).await?;
        let sorting = match &query.sort {
            SortKey::Created => Sorting::Created,
            SortKey::Modified => Sorting::Modified,
            SortKey::Property(path) if path == self.index.rules.created => Sorting::Created,
            SortKey::Property(path) if path == self.index.rules.modified => Sorting::Modified,
            SortKey::Property(path) => {
                match self.field(&mut *connection, query.kind, &query.region, path).await? {
                    Some(field) => Sorting::Field(field),
                    None => Sorting::Nothing,
                }
            }
        };
        let costs = self.index.costs;
        let cover = plan::cover(connection, &matcher, costs.counted).await?;
        let mut reading = Reading { connection, query, matcher: &matcher, sorting, read: 0 };
        match cover {
            Some(cover) if cover.count <= costs.few => reading.candidates(&cover.spans).await,
            Some(cover) => {
                let patience = if cover.count < costs.counted { cover.count } else { costs.patience };
                match reading.in_order(patience).await? {
                    Some(places) => Ok(places),
                    None => reading.candidates(&cover.spans).await,
                }
            }
            None => Ok(reading.in_order(usize::MAX).await?.unwrap_or_default()),
        }
    }

    async fn compile(
        &self,
        connection: &mut SqliteConnection,
        query: &Query,
        expression: &Expression,
    ) -> Result<Matcher> {
        let mut fields = HashMap::new();
        let mut lists = HashMap::new();
        let mut open = vec![expression];
        while let Some(expression) = open.pop() {
            let mut paths: Vec<&str> = Vec::new();
            match expression {
                Expression::All(parts) | Expression::Any(parts) => open.extend(parts),
                Expression::Test(test) => paths.push(&test.path),
                Expression::OneElement(list, tests) => {
                    paths.extend(tests.iter().map(|test| test.path.as_str()));
                    let below =
                        index::fields_below(&mut *connection, query.kind, &query.region, list).await?;
                    lists.insert(list.as_str(), below);
                }
            }
            for path in paths {
                if !fields.contains_key(path) {
                    let field = self.field(&mut *connection, query.kind, &query.region, path).await?;
                    fields.insert(path, field.map(|field| field.id));
                }
            }
        }
        let test = |test: &Test| FieldTest {
            field: fields.get(test.path.as_str()).copied().flatten(),
            condition: test.condition.clone(),
        };
        Ok(build(expression, &test, &|list| lists.get(list).cloned().unwrap_or_default()))
    }
}

fn build(
    expression: &Expression,
    test: &dyn Fn(&Test) -> FieldTest,
    below: &dyn Fn(&str) -> std::collections::BTreeSet<u32>,
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
async fn fetch(
    connection: &mut SqliteConnection,
    kind: Resource,
    places: &[Place],
) -> Result<Vec<(Record, Vec<Tag>)>> {
    let entries: Vec<i64> = places.iter().map(|place| place.entry).collect();
    let listed = serde_json::to_string(&entries)?;
    let rows = sqlx::query(
        "SELECT e.id AS entry, r.region, r.name, r.arn, r.status, r.created, r.modified, r.document
         FROM json_each($1) j CROSS JOIN search_entries e ON e.id = j.value
         CROSS JOIN records r ON r.kind = e.kind AND r.region = e.region AND r.name = e.name
         ORDER BY j.key",
    )
    .bind(&listed)
    .fetch_all(&mut *connection)
    .await?;
    let mut records = Vec::with_capacity(rows.len());
    for row in &rows {
        records.push((record::read(row, kind)?, Vec::new()));
    }
    let arns: Vec<&str> = records.iter().map(|(record, _)| record.arn.as_str()).collect();
    let rows = sqlx::query(
        "SELECT j.key AS place, t.tag, t.value FROM json_each($1) j CROSS JOIN tags t ON t.arn = j.value
         ORDER BY j.key, t.tag",
    )
    .bind(serde_json::to_string(&arns)?)
    .fetch_all(connection)
    .await?;
    for row in rows {
        let place = usize::try_from(row.try_get::<i64, _>("place")?).unwrap_or(usize::MAX);
        if let Some((_, tags)) = records.get_mut(place) {
            tags.push(Tag { key: row.try_get("tag")?, value: row.try_get("value")? });
        }
    }
    Ok(records)
}
