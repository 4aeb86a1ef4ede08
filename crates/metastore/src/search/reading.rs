//! The two ways of reading entries: candidates that the index names, sorted afterwards, and entries in
//! the asked order.

use std::collections::HashSet;

use rusqlite::{Connection, Row};

use super::JUDGED;
use super::facts::{self, FactView, Term};
use super::index::Field;
use super::matching::Matcher;
use super::plan;
use super::query::{Place, Query, Rank};
use super::runs::{Ordered, Span};
use crate::database::{all, one, optional};
use crate::{MetastoreError, Order, Result};

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
#[derive(Debug)]
pub struct Reading<'a> {
    connection: &'a Connection,
    query: &'a Query,
    runs: &'a [i64],
    matcher: &'a Matcher,
    sorting: Sorting,
    /// Entries whose terms are not written, or no longer true.
    pending: HashSet<i64>,
    /// All others are known not to match.
    only: Option<Entries>,
    /// What was spent so far, in steps through an order.
    spent: usize,
}

/// A set of entries, a bit each.
#[derive(Debug, Default)]
struct Entries(Vec<u64>);

impl Entries {
    fn insert(&mut self, entry: i64) {
        let Ok(at) = usize::try_from(entry) else { return };
        if self.0.len() <= at / 64 {
            self.0.resize(at / 64 + 1, 0);
        }
        self.0[at / 64] |= 1 << (at % 64);
    }

    fn contains(&self, entry: i64) -> bool {
        usize::try_from(entry)
            .is_ok_and(|at| self.0.get(at / 64).is_some_and(|bits| bits & (1 << (at % 64)) != 0))
    }
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

/// The value that an entry is sorted by: its first in the direction of the order.
fn sort_term(facts: &[FactView<'_>], field: u32, order: Order) -> Option<Term> {
    let terms = facts.iter().filter(|fact| fact.0 == field).map(|(_, _, value)| value.term());
    terms.reduce(|best, term| match order {
        Order::Ascending if term < best => term,
        Order::Descending if term > best => term,
        _ => best,
    })
}

impl<'a> Reading<'a> {
    /// A search of those runs.
    pub fn new(
        connection: &'a Connection,
        query: &'a Query,
        runs: &'a [i64],
        matcher: &'a Matcher,
        sorting: Sorting,
    ) -> Result<Self> {
        let pending = all(
            connection,
            "SELECT entry FROM search_pending WHERE kind = ?1 AND region = ?2",
            (query.kind.arn_segment(), &query.region),
            |row| Ok(row.get(0)?),
        )?;
        let pending = pending.into_iter().collect();
        Ok(Self { connection, query, runs, matcher, sorting, pending, only: None, spent: 0 })
    }

    /// About how many entries there are.
    pub fn entries(&self) -> Result<usize> {
        let sql = "SELECT COALESCE(MAX(id), 0) FROM search_entries";
        let last: i64 = one(self.connection, sql, (), |row| row.get(0))?;
        Ok(usize::try_from(last).unwrap_or_default())
    }

    /// Entries other than these, and than those that are pending, are known not to match.
    pub fn pass_all_but(&mut self, candidates: &[i64]) {
        let mut only = Entries::default();
        candidates.iter().chain(&self.pending).for_each(|entry| only.insert(*entry));
        self.only = Some(only);
    }

    /// The page from those entries and those that are pending.
    pub fn candidates(&self, entries: &[i64]) -> Result<Vec<Place>> {
        let mut best = Best::new(self.query);
        for entry in entries.iter().filter(|entry| !self.pending.contains(entry)) {
            if let Some(place) = self.judged(*entry)? {
                best.offer(place);
            }
        }
        self.offer_pending(&mut best)?;
        Ok(best.done())
    }

    /// Offers the pending entries that are accepted.
    fn offer_pending(&self, best: &mut Best) -> Result<()> {
        let mut statement = self.connection.prepare_cached(
            "SELECT e.id, e.created, e.modified, e.facts
             FROM search_pending p CROSS JOIN search_entries e ON e.id = p.entry
             WHERE p.kind = ?1 AND p.region = ?2",
        )?;
        let mut rows = statement.query((self.query.kind.arn_segment(), &self.query.region))?;
        while let Some(row) = rows.next()? {
            if let Some(place) = self.judge(row)? {
                best.offer(place);
            }
        }
        Ok(())
    }

    /// The facts of an entry, judged; its place when it is accepted. An entry that is gone is not.
    fn judged(&self, entry: i64) -> Result<Option<Place>> {
        let sql = "SELECT id, created, modified, facts FROM search_entries WHERE id = ?1";
        Ok(optional(self.connection, sql, (entry,), |row| self.judge(row))?.flatten())
    }

    /// The facts in a row, judged; the place of their entry when it is accepted.
    fn judge(&self, row: &Row<'_>) -> Result<Option<Place>> {
        let bytes = row.get_ref("facts")?.as_blob().map_err(rusqlite::Error::from)?;
        let mut facts: Vec<FactView<'_>> = Vec::with_capacity(128);
        facts::read_into(bytes, &mut facts).ok_or(MetastoreError::BrokenIndex)?;
        if !self.matcher.accepts(&facts) {
            return Ok(None);
        }
        let rank = match self.sorting {
            Sorting::Created => Rank::Time(row.get("created")?),
            Sorting::Modified => Rank::Time(row.get("modified")?),
            Sorting::Nothing => Rank::Absent(row.get("created")?),
            Sorting::Field(field) => match sort_term(&facts, field.id, self.query.order) {
                Some(term) => Rank::Value(term),
                None => Rank::Absent(row.get("created")?),
            },
        };
        Ok(Some(Place { rank, entry: row.get("id")? }))
    }

    /// Takes a step through an order to an entry: its place when it is accepted.
    fn step(&mut self, entry: i64) -> Result<Option<Place>> {
        self.spent += 1;
        if self.only.as_ref().is_some_and(|only| !only.contains(entry)) {
            return Ok(None);
        }
        self.spent += JUDGED;
        self.judged(entry)
    }

    /// The page by going through entries in the asked order, or `None` when more than `patience` steps
    /// were taken and it is not full.
    pub fn in_order(&mut self, patience: usize) -> Result<Option<Vec<Place>>> {
        let wanted = self.query.limit + 1;
        match self.sorting {
            Sorting::Created => self.by_time("created", false, wanted, patience),
            Sorting::Modified => self.by_time("modified", false, wanted, patience),
            Sorting::Nothing => self.by_time("created", true, wanted, patience),
            Sorting::Field(field) => self.by_field(field, patience),
        }
    }

    /// Entries by a time column. `absent` leaves out those that have the sorting's field.
    fn by_time(
        &mut self,
        column: &str,
        absent: bool,
        wanted: usize,
        patience: usize,
    ) -> Result<Option<Vec<Place>>> {
        let (direction, beyond, start) = match self.query.order {
            Order::Ascending => ("ASC", ">", (i64::MIN, i64::MIN)),
            Order::Descending => ("DESC", "<", (i64::MAX, i64::MAX)),
        };
        let after = self.query.after.as_ref().and_then(|place| match place.rank {
            Rank::Time(time) | Rank::Absent(time) => Some((time, place.entry)),
            Rank::Value(_) => None,
        });
        let (time, entry) = after.unwrap_or(start);
        let sql = format!(
            "SELECT id FROM search_entries INDEXED BY search_entries_{column}
             WHERE kind = ?1 AND region = ?2 AND ({column}, id) {beyond} (?3, ?4)
             ORDER BY {column} {direction}, id {direction}"
        );
        let connection = self.connection;
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query((self.query.kind.arn_segment(), &self.query.region, time, entry))?;
        let mut places = Vec::new();
        while places.len() < wanted {
            let Some(row) = rows.next()? else { break };
            if self.spent > patience {
                return Ok(None);
            }
            let place = self.step(row.get(0)?)?;
            places.extend(place.filter(|place| !absent || matches!(place.rank, Rank::Absent(_))));
        }
        Ok(Some(places))
    }

    /// Entries by a field: first those that have it, then the others.
    fn by_field(&mut self, field: Field, patience: usize) -> Result<Option<Vec<Place>>> {
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
            let span = Span { field: field.id, low, high, part: None };
            let Some(places) = self.valued(span, wanted, patience)? else { return Ok(None) };
            places.into_iter().for_each(|place| best.offer(place));
        }
        self.offer_pending(&mut best)?;
        let mut places = best.done();
        let valued = places.iter().filter(|place| matches!(place.rank, Rank::Value(_))).count();
        if valued < wanted && !required {
            let Some(absent) = self.by_time("created", true, wanted - valued, patience)? else {
                return Ok(None);
            };
            places.truncate(valued);
            places.extend(absent);
        }
        Ok(Some(places))
    }

    /// Entries that have a field with a value in a span, in the asked order, until `wanted` lie behind
    /// the cursor. Those that are pending are left out: their terms may not be what they have now.
    fn valued(&mut self, span: Span, wanted: usize, patience: usize) -> Result<Option<Vec<Place>>> {
        let order = self.query.order;
        let mut terms = Ordered::new(self.connection, self.runs, span, order);
        let mut places: Vec<Place> = Vec::new();
        while places.len() < wanted {
            let Some((_, value, entry)) = terms.next()? else { break };
            if self.spent > patience {
                return Ok(None);
            }
            // The same term in two runs follows itself.
            let again = places.last().is_some_and(|place| place.entry == entry);
            if again || self.pending.contains(&entry) {
                continue;
            }
            if let Some(place) = self.step(entry)? {
                let behind =
                    self.query.after.as_ref().is_none_or(|after| place.compare(after, order).is_gt());
                // Of several values, and of values that it had once, an entry sorts by one.
                if behind && place.rank == Rank::Value(value) {
                    places.push(place);
                }
            }
        }
        Ok(Some(places))
    }
}
