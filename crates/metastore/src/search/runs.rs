//! Reading the terms of the index, which lie in sorted runs.
//!
//! The runs are read side by side; a term may be out of date, because the facts of its entry changed after
//! the run was written. What is read here is therefore where to look, and never the answer.

use std::collections::BTreeSet;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Row, ToSql};

use super::block::{Groups, NoBlock};
use super::facts::Term;
use crate::database::{all, one, optional};
use crate::{MetastoreError, Order, Result};

/// A run of values of one field, both ends included.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// The field.
    pub field: u32,
    /// The first value.
    pub low: Term,
    /// The last value.
    pub high: Term,
    /// Text that the values hold.
    pub part: Option<String>,
}

impl Span {
    /// What lies in this span and in another, neither of which asks for a part.
    pub fn and(&self, other: &Self) -> Option<Self> {
        let low = if other.low > self.low { &other.low } else { &self.low };
        let high = if other.high < self.high { &other.high } else { &self.high };
        (low <= high).then(|| Self { low: low.clone(), high: high.clone(), ..self.clone() })
    }

    fn holds(&self, value: &Term) -> bool {
        let part = match (&self.part, value) {
            // A value that was cut may hold the text behind the cut.
            (Some(part), Term::Text(text)) => text.contains(part) || super::facts::may_be_cut(text),
            (Some(_), _) => false,
            (None, _) => true,
        };
        part && *value >= self.low && *value <= self.high
    }
}

impl From<NoBlock> for MetastoreError {
    fn from(_: NoBlock) -> Self {
        Self::BrokenIndex
    }
}

impl ToSql for Term {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Number(number) => ToSqlOutput::from(*number),
            Self::Text(text) => ToSqlOutput::from(text.as_str()),
            // A blob sorts behind every text.
            Self::End => ToSqlOutput::Borrowed(ValueRef::Blob(&[])),
        })
    }
}

fn term(row: &Row<'_>, column: usize) -> Result<Term> {
    match row.get_ref(column)? {
        ValueRef::Real(number) => Ok(Term::Number(number)),
        ValueRef::Integer(number) => Ok(Term::Number(number as f64)),
        ValueRef::Text(text) => {
            let text = std::str::from_utf8(text).map_err(|_| MetastoreError::BrokenIndex)?;
            Ok(Term::Text(text.to_owned()))
        }
        _ => Err(MetastoreError::BrokenIndex),
    }
}

/// The runs that there are.
pub fn live(connection: &Connection) -> Result<Vec<i64>> {
    all(connection, "SELECT id FROM search_runs ORDER BY id", (), |row| Ok(row.get(0)?))
}

/// Blocks of a run that a span begins in or has within, in order: id, first, last, number of terms.
const BLOCKS: &str = "SELECT id, first, last, terms FROM search_blocks
     WHERE field = ?1 AND run = ?2 AND last >= ?3 ORDER BY last, id";

fn data(connection: &Connection, block: i64) -> Result<Vec<u8>> {
    one(connection, "SELECT data FROM search_blocks WHERE id = ?1", (block,), |row| row.get(0))
}

/// Calls `found` with each block of a span until it says stop: id, whether the span holds it wholly, and
/// its number of terms.
fn blocks(
    connection: &Connection,
    run: i64,
    span: &Span,
    mut found: impl FnMut(i64, bool, usize) -> Result<bool>,
) -> Result<()> {
    let mut statement = connection.prepare_cached(BLOCKS)?;
    let mut rows = statement.query((span.field, run, &span.low))?;
    while let Some(row) = rows.next()? {
        let first = term(row, 1)?;
        if first > span.high {
            break;
        }
        let whole = span.part.is_none() && first >= span.low && term(row, 2)? <= span.high;
        if !found(row.get(0)?, whole, usize::try_from(row.get::<_, i64>(3)?).unwrap_or_default())? {
            break;
        }
    }
    Ok(())
}

/// Terms in a span, counted up to about `bound`.
pub fn count(connection: &Connection, runs: &[i64], span: &Span, bound: usize) -> Result<usize> {
    let mut count = 0;
    for run in runs {
        blocks(connection, *run, span, |block, whole, terms| {
            if whole {
                count += terms;
            } else {
                let data = data(connection, block)?;
                let mut groups = Groups::of(&data);
                while let Some(group) = groups.next() {
                    let (value, entries) = group?;
                    count += if span.holds(value) { entries.count } else { 0 };
                }
            }
            Ok(count < bound)
        })?;
    }
    Ok(count)
}

/// Adds the entries in a span to a list, in no order and maybe twice, until it has about `bound`.
pub fn entries(
    connection: &Connection,
    runs: &[i64],
    span: &Span,
    bound: usize,
    list: &mut Vec<i64>,
) -> Result<()> {
    for run in runs {
        blocks(connection, *run, span, |block, _, _| {
            let data = data(connection, block)?;
            let mut groups = Groups::of(&data);
            while let Some(group) = groups.next() {
                let (value, entries) = group?;
                if span.holds(value) {
                    entries.read_into(list)?;
                }
            }
            Ok(list.len() < bound)
        })?;
    }
    Ok(())
}

/// The distinct texts of a field, or `None` when there are more than `most`.
pub fn distinct(
    connection: &Connection,
    runs: &[i64],
    field: u32,
    most: usize,
) -> Result<Option<BTreeSet<String>>> {
    let texts = Span { field, low: Term::Text(String::new()), high: Term::End, part: None };
    let mut found = BTreeSet::new();
    for run in runs {
        blocks(connection, *run, &texts, |block, _, _| {
            let data = data(connection, block)?;
            let mut groups = Groups::of(&data);
            while let Some(group) = groups.next() {
                if let (Term::Text(text), _) = group?
                    && !found.contains(text)
                {
                    found.insert(text.clone());
                }
            }
            Ok(found.len() <= most)
        })?;
    }
    Ok((found.len() <= most).then_some(found))
}

/// The terms of a span, by value and entry in one direction, over all runs.
#[derive(Debug)]
pub struct Ordered<'c> {
    connection: &'c Connection,
    span: Span,
    order: Order,
    cursors: Vec<Cursor>,
}

/// A place in one run: the terms of its block that are still to come, the next one last.
#[derive(Debug)]
struct Cursor {
    run: i64,
    /// The block that is read next lies behind this place.
    place: Option<(Term, i64)>,
    groups: Vec<(Term, Vec<i64>)>,
}

impl<'c> Ordered<'c> {
    /// The terms of those runs.
    pub fn new(connection: &'c Connection, runs: &[i64], span: Span, order: Order) -> Self {
        let start = match order {
            Order::Ascending => (span.low.clone(), i64::MIN),
            Order::Descending => (Term::End, i64::MAX),
        };
        let cursor = |run: &i64| Cursor { run: *run, place: Some(start.clone()), groups: Vec::new() };
        let cursors = runs.iter().map(cursor).collect();
        Self { connection, span, order, cursors }
    }

    /// The next term: the place of its run in the list, value and entry.
    pub fn next(&mut self) -> Result<Option<(usize, Term, i64)>> {
        self.fill()?;
        let mut best: Option<(usize, &Term, i64)> = None;
        for (at, cursor) in self.cursors.iter().enumerate() {
            let Some((value, entries)) = cursor.groups.last() else { continue };
            let Some(entry) = entries.last() else { continue };
            let first = best.is_none_or(|(_, other, other_entry)| {
                let ascending = (value, *entry).partial_cmp(&(other, other_entry));
                ascending.is_some_and(|is| match self.order {
                    Order::Ascending => is.is_lt(),
                    Order::Descending => is.is_gt(),
                })
            });
            if first {
                best = Some((at, value, *entry));
            }
        }
        let Some((at, value, entry)) = best.map(|(at, value, entry)| (at, value.clone(), entry)) else {
            return Ok(None);
        };
        let groups = &mut self.cursors[at].groups;
        if let Some((_, entries)) = groups.last_mut() {
            entries.pop();
            if entries.is_empty() {
                groups.pop();
            }
        }
        Ok(Some((at, value, entry)))
    }

    /// The next value in ascending order with all its entries, each with the place of its run in the list.
    /// Not to be mixed with [`Ordered::next`].
    pub fn next_value(&mut self, entries: &mut Vec<(usize, i64)>) -> Result<Option<Term>> {
        self.fill()?;
        entries.clear();
        let tops = self.cursors.iter().filter_map(|cursor| cursor.groups.last());
        let first =
            tops.map(|(value, _)| value).reduce(|best, value| if value < best { value } else { best });
        let Some(first) = first.cloned() else { return Ok(None) };
        for (at, cursor) in self.cursors.iter_mut().enumerate() {
            // A value with many entries goes on in the next block.
            while let Some((_, list)) = cursor.groups.pop_if(|(value, _)| *value == first) {
                entries.extend(list.into_iter().map(|entry| (at, entry)));
                cursor.fill(self.connection, &self.span, self.order)?;
            }
        }
        Ok(Some(first))
    }

    /// Reads the next block of every cursor that has no terms left.
    fn fill(&mut self) -> Result<()> {
        for cursor in &mut self.cursors {
            cursor.fill(self.connection, &self.span, self.order)?;
        }
        Ok(())
    }
}

/// The block behind a place, its last value and id: when it has values of the span.
fn next_block(
    connection: &Connection,
    run: i64,
    span: &Span,
    order: Order,
    (value, id): &(Term, i64),
) -> Result<Option<(i64, Term)>> {
    let read = |row: &Row<'_>| Ok((row.get(0)?, term(row, 1)?, term(row, 2)?));
    let next: Option<(i64, Term, Term)> = match order {
        Order::Ascending => {
            let sql = "SELECT id, first, last FROM search_blocks
                 WHERE field = ?1 AND run = ?2 AND (last, id) > (?3, ?4) ORDER BY last, id LIMIT 1";
            optional(connection, sql, (span.field, run, value, id), read)?
        }
        Order::Descending => {
            let sql = "SELECT id, first, last FROM search_blocks
                 WHERE field = ?1 AND run = ?2 AND (last, id) < (?3, ?4) AND first <= ?5
                 ORDER BY last DESC, id DESC LIMIT 1";
            optional(connection, sql, (span.field, run, value, id, &span.high), read)?
        }
    };
    let within = |(_, first, last): &(i64, Term, Term)| *first <= span.high && *last >= span.low;
    Ok(next.filter(within).map(|(id, _, last)| (id, last)))
}

impl Cursor {
    /// Reads the next block when there are no terms left.
    fn fill(&mut self, connection: &Connection, span: &Span, order: Order) -> Result<()> {
        while self.groups.is_empty()
            && let Some(place) = self.place.take()
            && let Some(block) = next_block(connection, self.run, span, order, &place)?
        {
            self.read(connection, span, order, block)?;
        }
        Ok(())
    }

    fn read(
        &mut self,
        connection: &Connection,
        span: &Span,
        order: Order,
        (id, last): (i64, Term),
    ) -> Result<()> {
        self.place = Some((last, id));
        let data = data(connection, id)?;
        let mut groups = Groups::of(&data);
        while let Some(group) = groups.next() {
            let (value, entries) = group?;
            if span.holds(value) {
                let mut list = Vec::with_capacity(entries.count.min(data.len()));
                entries.read_into(&mut list)?;
                if order == Order::Ascending {
                    list.reverse();
                }
                self.groups.push((value.clone(), list));
            }
        }
        if order == Order::Ascending {
            self.groups.reverse();
        }
        Ok(())
    }
}
