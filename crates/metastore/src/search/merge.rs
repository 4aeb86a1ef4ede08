//! Merging runs: [`AT_ONCE`] runs of one level become one of the next, so that a search looks into few of
//! them and a term is written again only as often as there are levels.
//!
//! A merge goes field by field, each in a transaction that takes the old blocks away and writes the new
//! ones, so that a search finds every term in one place. The runs note which run they are merged into: a
//! merge that a crash cut short goes on with the fields that are left.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering::Relaxed;

use rusqlite::Connection;

use super::block::{self, Block, Builder};
use super::facts::Term;
use super::runs::{Ordered, Span};
use super::settle::{SETTLE_AT, new_run, write_blocks};
use crate::database::{all, execute, optional};
use crate::{Metastore, Order, Result};

/// Runs that are merged at once. With runs of a few thousand entries a million lie in about twenty.
const AT_ONCE: usize = 8;

/// Runs that become one.
pub(super) struct Merge {
    target: i64,
    runs: Vec<i64>,
    /// Entries of each run whose terms are not true any more: in a later one of these runs they have
    /// others, or they are gone.
    old: Vec<HashSet<i64>>,
}

/// A run and its entries.
type Run = (i64, Vec<i64>);

impl Metastore {
    /// Merges runs until no level has [`AT_ONCE`].
    pub(super) fn merge_runs(&self) -> Result<()> {
        while let Some(merge) = self.next_merge()? {
            let fields: Vec<u32> = self.readers.read_blocking(|connection| {
                all(connection, "SELECT id FROM search_fields ORDER BY id", (), |row| Ok(row.get(0)?))
            })?;
            for field in fields {
                self.merge_field(&merge, field)?;
                // A merge can wait, and every search reads what is pending.
                if self.index.pending.load(Relaxed) >= SETTLE_AT {
                    self.settle_some()?;
                }
            }
            self.writer.change_blocking(|connection| {
                execute(connection, "DELETE FROM search_runs WHERE target = ?1", (merge.target,)).map(drop)
            })?;
        }
        Ok(())
    }

    /// The merge that was begun, or else the next that is due.
    pub(super) fn next_merge(&self) -> Result<Option<Merge>> {
        let begun = self.readers.read_blocking(|connection| {
            let sql = "SELECT target FROM search_runs WHERE target IS NOT NULL LIMIT 1";
            let Some(target) = optional(connection, sql, (), |row| Ok(row.get(0)?))? else { return Ok(None) };
            let sql = "SELECT id, entries FROM search_runs WHERE target = ?1 ORDER BY id";
            let runs = all(connection, sql, (target,), read_run)?;
            let gone = gone(connection, &runs)?;
            Ok(Some(Merge::new(target, runs, &gone)))
        })?;
        if begun.is_some() {
            return Ok(begun);
        }
        let due = self.readers.read_blocking(|connection| {
            let sql = "SELECT level FROM search_runs GROUP BY level HAVING COUNT(*) >= ?1 LIMIT 1";
            let level: Option<i64> = optional(connection, sql, (AT_ONCE as i64,), |row| Ok(row.get(0)?))?;
            let Some(level) = level else { return Ok(None) };
            // The oldest, so that of two runs of one level the later is also the newer.
            let sql = "SELECT id, entries FROM search_runs WHERE level = ?1 ORDER BY id LIMIT ?2";
            let runs = all(connection, sql, (level, AT_ONCE as i64), read_run)?;
            let gone = gone(connection, &runs)?;
            Ok(Some((level, runs, gone)))
        })?;
        let Some((level, runs, gone)) = due else { return Ok(None) };
        let mut entries: Vec<i64> = runs.iter().flat_map(|(_, entries)| entries).copied().collect();
        entries.sort_unstable();
        entries.dedup();
        entries.retain(|entry| !gone.contains(entry));
        let target = self.writer.change_blocking(|connection| {
            let target = new_run(connection, level + 1, &entries)?;
            for (run, _) in &runs {
                execute(connection, "UPDATE search_runs SET target = ?2 WHERE id = ?1", (run, target))?;
            }
            Ok(target)
        })?;
        Ok(Some(Merge::new(target, runs, &gone)))
    }

    pub(super) fn merge_field(&self, merge: &Merge, field: u32) -> Result<()> {
        // The blocks of these runs change by merges only, so they are read beside other writers.
        let blocks = self.readers.read_blocking(|connection| merge.blocks(connection, field))?;
        let Some(blocks) = blocks else { return Ok(()) };
        self.writer.change_blocking(|connection| {
            for run in &merge.runs {
                let sql = "DELETE FROM search_blocks WHERE field = ?1 AND run = ?2";
                execute(connection, sql, (field, run))?;
            }
            write_blocks(connection, merge.target, field, &blocks)
        })
    }
}

impl Merge {
    fn new(target: i64, runs: Vec<Run>, gone: &HashSet<i64>) -> Self {
        let mut newest: HashMap<i64, usize> = HashMap::new();
        let mut old: Vec<HashSet<i64>> = vec![HashSet::new(); runs.len()];
        for (at, (_, entries)) in runs.iter().enumerate() {
            for entry in entries {
                if let Some(before) = newest.insert(*entry, at) {
                    old[before].insert(*entry);
                }
                if gone.contains(entry) {
                    old[at].insert(*entry);
                }
            }
        }
        Self { target, runs: runs.into_iter().map(|(run, _)| run).collect(), old }
    }

    /// The terms of a field in all the runs, without those that are old; `None` when there are no blocks.
    fn blocks(&self, connection: &Connection, field: u32) -> Result<Option<Vec<Block>>> {
        let whole = Span { field, low: Term::Number(f64::NEG_INFINITY), high: Term::End, part: None };
        let mut terms = Ordered::new(connection, &self.runs, whole, Order::Ascending);
        let mut builder = Builder::default();
        let mut entries = Vec::new();
        let mut some = false;
        while let Some(value) = terms.next_value(&mut entries)? {
            some = true;
            entries.retain(|(at, entry)| !self.old[*at].contains(entry));
            entries.sort_unstable_by_key(|(_, entry)| *entry);
            entries.iter().for_each(|(_, entry)| builder.push(&value, *entry));
        }
        Ok(some.then(|| builder.finish()))
    }
}

fn read_run(row: &rusqlite::Row<'_>) -> Result<Run> {
    Ok((row.get(0)?, block::unpack(&row.get::<_, Vec<u8>>(1)?)?))
}

/// The entries of runs that are gone.
fn gone(connection: &Connection, runs: &[Run]) -> Result<HashSet<i64>> {
    let mut gone = HashSet::new();
    for entry in runs.iter().flat_map(|(_, entries)| entries) {
        let sql = "SELECT 1 FROM search_entries WHERE id = ?1";
        if optional(connection, sql, (entry,), |_| Ok(()))?.is_none() {
            gone.insert(*entry);
        }
    }
    Ok(gone)
}
