//! The two ways of reading entries: candidates from spans of the index, sorted afterwards, and
//! entries in the asked order.

use std::collections::HashSet;

use futures::TryStreamExt;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row, SqliteConnection};

use super::facts::{self, FactView, Term, View, shortened};
use super::index::{Field, bind_term, broken};
use super::matching::Matcher;
use super::plan::{self, IN_SPAN, Span, bind_span};
use super::query::{Place, Query, Rank};
use crate::{Order, Result};

/// What a search is sorted by.
#[derive(Debug, Clone, Copy)]
pub enum Sorting {
    /// Creation time.
    Created,
    /// Time of the last change.
    Modified,
    /// A field.
    Field(Field),
    /// A property that no record has.
    Nothing,
}

/// A search being carried out.
pub struct Reading<'a> {
    /// The transaction.
    pub connection: &'a mut SqliteConnection,
    /// What is asked.
    pub query: &'a Query,
    /// Its expression.
    pub matcher: &'a Matcher,
    /// Its order.
    pub sorting: Sorting,
    /// Entries read so far.
    pub read: usize,
}

/// The first places after the cursor, one more than the page has.
struct Best {
    order: Order,
    limit: usize,
    after: Option<Place>,
    places: Vec<Place>,
}

impl Best {
    fn new(query: &Query) -> Self {
        Self { order: query.order, limit: query.limit + 1, after: query.after.clone(), places: Vec::new() }
    }

    fn offer(&mut self, place: Place) {
        if self.after.as_ref().is_some_and(|after| place.compare(after, self.order).is_le()) {
            return;
        }
        self.places.push(place);
        // Sorted now and then, so that a large set costs little more than reading it.
        if self.places.len() >= self.limit * 2 + 1_000 {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let order = self.order;
        self.places.sort_by(|left, right| left.compare(right, order));
        self.places.truncate(self.limit);
    }

    fn done(mut self) -> Vec<Place> {
        self.cut();
        self.places
    }
}

/// The facts of the entry in a row, judged; its place when it is accepted.
fn judge(row: &SqliteRow, matcher: &Matcher, sorting: Sorting, order: Order) -> Result<Option<Place>> {
    let bytes: &[u8] = row.try_get("facts")?;
    let mut facts: Vec<FactView<'_>> = Vec::with_capacity(80);
    facts::read_into(bytes, &mut facts).ok_or_else(broken)?;
    if !matcher.accepts(&facts) {
        return Ok(None);
    }
    let rank = match sorting {
        Sorting::Created => Rank::Time(row.try_get("created")?),
        Sorting::Modified => Rank::Time(row.try_get("modified")?),
        Sorting::Nothing => Rank::Absent(row.try_get("created")?),
        Sorting::Field(field) => match sort_term(&facts, field.id, order) {
            Some(term) => Rank::Value(term),
            None => Rank::Absent(row.try_get("created")?),
        },
    };
    Ok(Some(Place { rank, entry: row.try_get("id")? }))
}

/// The value that an entry is sorted by: its first in the direction of the order.
fn sort_term(facts: &[FactView<'_>], field: u32, order: Order) -> Option<Term> {
    let terms = facts.iter().filter(|fact| fact.0 == field).map(|(_, _, view)| term(*view));
    terms.reduce(|best, term| match order {
        Order::Ascending if term < best => term,
        Order::Descending if term > best => term,
        _ => best,
    })
}

fn term(view: View<'_>) -> Term {
    match view.number {
        Some(number) => Term::Number(number),
        None => Term::Text(shortened(view.text.unwrap_or_default()).to_owned()),
    }
}

impl Reading<'_> {
    /// The page from the entries in spans and those that are pending.
    pub async fn candidates(&mut self, spans: &[Span]) -> Result<Vec<Place>> {
        let mut best = Best::new(self.query);
        let mut seen = HashSet::new();
        for span in spans {
            let sql = format!(
                "SELECT e.id, e.created, e.modified, e.facts
                 FROM search_terms t CROSS JOIN search_entries e ON e.id = t.entry WHERE {IN_SPAN}"
            );
            let query = bind_span(sqlx::query(AssertSqlSafe(sql)), span);
            let mut rows = query.fetch(&mut *self.connection);
            while let Some(row) = rows.try_next().await? {
                let id: i64 = row.try_get("id")?;
                if seen.insert(id)
                    && let Some(place) = judge(&row, self.matcher, self.sorting, self.query.order)?
                {
                    best.offer(place);
                }
            }
        }
        for place in self.pending().await? {
            best.offer(place);
        }
        Ok(best.done())
    }

    /// The places of pending entries that match.
    async fn pending(&mut self) -> Result<Vec<Place>> {
        let mut rows = sqlx::query(
            "SELECT id, created, modified, facts FROM search_entries INDEXED BY search_entries_pending
             WHERE kind = $1 AND region = $2 AND pending = 1",
        )
        .bind(self.query.kind.arn_segment())
        .bind(&self.query.region)
        .fetch(&mut *self.connection);
        let mut places = Vec::new();
        while let Some(row) = rows.try_next().await? {
            places.extend(judge(&row, self.matcher, self.sorting, self.query.order)?);
        }
        Ok(places)
    }

    /// The page by reading entries in the asked order, or `None` when more than `patience` entries
    /// were read and it is not full.
    pub async fn in_order(&mut self, patience: usize) -> Result<Option<Vec<Place>>> {
        match self.sorting {
            Sorting::Created => self.by_time("created", false, self.query.limit + 1, patience).await,
            Sorting::Modified => self.by_time("modified", false, self.query.limit + 1, patience).await,
            Sorting::Nothing => self.by_time("created", true, self.query.limit + 1, patience).await,
            Sorting::Field(field) => self.by_field(field, patience).await,
        }
    }

    /// Entries by a time column. `absent` leaves out those that have the sorting's field.
    async fn by_time(
        &mut self,
        column: &str,
        absent: bool,
        wanted: usize,
        patience: usize,
    ) -> Result<Option<Vec<Place>>> {
        let (direction, beyond) = match self.query.order {
            Order::Ascending => ("ASC", ">"),
            Order::Descending => ("DESC", "<"),
        };
        let after = self.query.after.as_ref().and_then(|place| match place.rank {
            Rank::Time(time) | Rank::Absent(time) => Some((time, place.entry)),
            Rank::Value(_) => None,
        });
        let condition =
            if after.is_some() { format!("AND ({column}, id) {beyond} ($3, $4)") } else { String::new() };
        let sql = format!(
            "SELECT id, created, modified, facts FROM search_entries INDEXED BY search_entries_{column}
             WHERE kind = $1 AND region = $2 {condition} ORDER BY {column} {direction}, id {direction}"
        );
        let mut query =
            sqlx::query(AssertSqlSafe(sql)).bind(self.query.kind.arn_segment()).bind(&self.query.region);
        if let Some((time, entry)) = after {
            query = query.bind(time).bind(entry);
        }
        let mut rows = query.fetch(&mut *self.connection);
        let mut places = Vec::new();
        while places.len() < wanted {
            let Some(row) = rows.try_next().await? else { break };
            self.read += 1;
            if self.read > patience {
                return Ok(None);
            }
            let place = judge(&row, self.matcher, self.sorting, self.query.order)?;
            places.extend(place.filter(|place| !absent || matches!(place.rank, Rank::Absent(_))));
        }
        Ok(Some(places))
    }

    /// Entries by a field: first those that have it, then the others.
    async fn by_field(&mut self, field: Field, patience: usize) -> Result<Option<Vec<Place>>> {
        let mut best = Best::new(self.query);
        let wanted = best.limit;
        let (mut low, mut high, required) = match field.many {
            // One value may satisfy the expression and another be the one that is sorted by.
            true => (Term::Number(f64::NEG_INFINITY), Term::End, false),
            false => plan::bounds(self.matcher, field.id),
        };
        let absent_reached =
            matches!(&self.query.after, Some(Place { rank: Rank::Absent(_) | Rank::Time(_), .. }));
        if let Some(Place { rank: Rank::Value(value), .. }) = &self.query.after {
            match self.query.order {
                Order::Ascending if *value > low => low = value.clone(),
                Order::Descending if *value < high => high = value.clone(),
                _ => {}
            }
        }
        if !absent_reached {
            let Some(places) = self.valued(field, low, high, wanted, patience).await? else {
                return Ok(None);
            };
            for place in places {
                best.offer(place);
            }
        }
        for place in self.pending().await? {
            best.offer(place);
        }
        let mut places = best.done();
        let valued = places.iter().filter(|place| matches!(place.rank, Rank::Value(_))).count();
        if valued < wanted && !required {
            let Some(absent) = self.by_time("created", true, wanted - valued, patience).await? else {
                return Ok(None);
            };
            places.truncate(valued);
            places.extend(absent);
        }
        Ok(Some(places))
    }

    /// Settled entries that have the field with a value in a range, in the asked order, until
    /// `wanted` lie behind the cursor.
    async fn valued(
        &mut self,
        field: Field,
        low: Term,
        high: Term,
        wanted: usize,
        patience: usize,
    ) -> Result<Option<Vec<Place>>> {
        let order = self.query.order;
        let direction = if order == Order::Ascending { "ASC" } else { "DESC" };
        let sql = format!(
            "SELECT t.value AS term, e.id, e.created, e.modified, e.facts
             FROM search_terms t CROSS JOIN search_entries e ON e.id = t.entry
             WHERE t.field = ?1 AND t.value >= ?2 AND t.value <= ?3
             ORDER BY t.value {direction}, t.entry {direction}"
        );
        let query = bind_term(sqlx::query(AssertSqlSafe(sql)).bind(field.id), &low);
        let mut rows = bind_term(query, &high).fetch(&mut *self.connection);
        let mut places: Vec<Place> = Vec::new();
        let mut seen = HashSet::new();
        while places.len() < wanted {
            let Some(row) = rows.try_next().await? else { break };
            self.read += 1;
            if self.read > patience {
                return Ok(None);
            }
            // Of an entry with several values the first in this order is the one it sorts by.
            if field.many && !seen.insert(row.try_get::<i64, _>("id")?) {
                continue;
            }
            let Some(place) = judge(&row, self.matcher, self.sorting, order)? else { continue };
            if self.query.after.as_ref().is_none_or(|after| place.compare(after, order).is_gt()) {
                places.push(place);
            }
        }
        Ok(Some(places))
    }
}
