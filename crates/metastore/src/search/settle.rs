//! Writing the terms of pending entries, many at a time, as a run. [`SETTLE_AT`] bounds what a search reads
//! of pending entries, [`PENDING`] makes writers wait for the terms when they are too far ahead.
//!
//! A run is made from a snapshot, beside other writers, and written at once. An entry whose facts changed
//! in between stays pending.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use rusqlite::Connection;
use sagebrush_types::Resource;

use super::block::{self, Block, Builder};
use super::facts::{self, Term};
use super::index::{Index, Made};
use crate::database::{all, execute, one, text};
use crate::{Metastore, MetastoreError, Result, record};

/// Pending entries from which their terms are written. A search reads pending entries one by one, at
/// about two microseconds each.
pub const SETTLE_AT: usize = 1_000;
/// Pending entries at which a writer waits until terms are written.
pub const PENDING: usize = 8_000;
/// Entries of a run that is written at once: it takes some 10 ms of the only writer's time.
const RUN: usize = 4_000;
/// Records indexed in one transaction when the index is made anew.
const REBUILT_AT_ONCE: i64 = 1_000;

/// A pending entry: what names its row, and its facts.
struct Pending {
    kind: String,
    region: String,
    entry: i64,
    change: i64,
    facts: Vec<u8>,
}

/// The right to write terms. Who waits for terms is told when it ends, however it does.
struct Turn(Arc<Index>);

impl Turn {
    fn take(index: &Arc<Index>) -> Option<Self> {
        let free = !index.settling.swap(true, Acquire);
        free.then(|| Self(Arc::clone(index)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.settling.store(false, Release);
        self.0.settled.notify_waiters();
    }
}

impl Metastore {
    /// What a committed transaction made becomes known; terms are written when enough are pending.
    pub(crate) async fn indexed(&self, made: Made) -> Result<()> {
        let more = made.pending > 0;
        self.index.remember(made);
        let pending = || self.index.pending.load(Relaxed);
        if more && (SETTLE_AT..PENDING).contains(&pending()) {
            let store = self.clone();
            // What is not written stays pending and is found all the same; the next writer over the mark
            // tries again.
            tokio::spawn(async move { drop(store.settle_in_turn().await) });
        }
        while more && pending() >= PENDING {
            // Made before the look at the turn, so that no end of a run is missed.
            let settled = self.index.settled.notified();
            if !self.settle_in_turn().await? {
                settled.await;
            }
        }
        Ok(())
    }

    /// Settles on a thread for blocking work; false when somebody else does.
    async fn settle_in_turn(&self) -> Result<bool> {
        let Some(turn) = Turn::take(&self.index) else { return Ok(false) };
        let store = self.clone();
        // The turn goes with the work, which goes on when nobody waits for it any more.
        let settled = tokio::task::spawn_blocking(move || {
            let settled = store.settle(SETTLE_AT);
            drop(turn);
            settled
        });
        settled.await.map_err(|cut_short| MetastoreError::CutShort(cut_short.to_string()))??;
        Ok(true)
    }

    /// Writes the terms of pending entries until fewer than `below` are left, then merges runs. Only one
    /// may do this at a time.
    pub(crate) fn settle(&self, below: usize) -> Result<()> {
        while self.settle_some()? >= below.max(1) {}
        self.merge_runs()
    }

    /// Writes a run; how many entries are pending after that.
    pub(super) fn settle_some(&self) -> Result<usize> {
        let pending = self.readers.read_blocking(pending)?;
        let fields = in_blocks(&pending)?;
        let left = self.writer.change_blocking(|connection| {
            if !pending.is_empty() {
                let mut entries: Vec<i64> = pending.iter().map(|pending| pending.entry).collect();
                entries.sort_unstable();
                let run = new_run(connection, 0, &entries)?;
                for (field, blocks) in &fields {
                    write_blocks(connection, run, *field, blocks)?;
                }
                for Pending { kind, region, entry, change, .. } in &pending {
                    let sql = "DELETE FROM search_pending
                         WHERE kind = ?1 AND region = ?2 AND entry = ?3 AND change = ?4";
                    execute(connection, sql, (kind, region, entry, change))?;
                }
            }
            one(connection, "SELECT COUNT(*) FROM search_pending", (), |row| row.get::<_, i64>(0))
        })?;
        let left = usize::try_from(left).unwrap_or_default();
        self.index.pending.store(left, Relaxed);
        self.index.settled.notify_waiters();
        Ok(left)
    }

    /// Makes the index anew when other rules made it, and counts what is pending.
    pub(crate) fn prepare_index(&self) -> Result<()> {
        let (rules, change, pending) = self.readers.read_blocking(|connection| {
            let number = |sql| one(connection, sql, (), |row| row.get::<_, i64>(0));
            Ok((
                number("SELECT rules FROM search_state")?,
                number("SELECT COALESCE(MAX(change), 0) + 1 FROM search_pending")?,
                number("SELECT COUNT(*) FROM search_pending")?,
            ))
        })?;
        self.index.change.store(change, Relaxed);
        if rules != self.index.rules.version {
            return self.rebuild_index();
        }
        self.index.pending.store(usize::try_from(pending).unwrap_or_default(), Relaxed);
        if pending >= SETTLE_AT as i64 {
            self.settle(SETTLE_AT)?;
        }
        Ok(())
    }

    fn rebuild_index(&self) -> Result<()> {
        self.writer.change_blocking(|connection| {
            // Cut short, this is done again from here: the rules' version is written last.
            for table in ["blocks", "runs", "pending", "entries", "fields"] {
                execute(connection, &format!("DELETE FROM search_{table}"), ())?;
            }
            Ok(())
        })?;
        let mut after = (String::new(), String::new(), String::new());
        loop {
            let mut made = Made::default();
            let last = self.writer.change_blocking(|connection| {
                let rows = all(
                    connection,
                    "SELECT kind, region, name, arn, status, created, modified, document FROM records
                     WHERE (kind, region, name) > (?1, ?2, ?3) ORDER BY kind, region, name LIMIT ?4",
                    (&after.0, &after.1, &after.2, REBUILT_AT_ONCE),
                    |row| {
                        let kind = text(row, "kind")?.to_owned();
                        let place = (kind, row.get("region")?, row.get("name")?);
                        let known = Resource::from_segment(&place.0);
                        Ok((place, known.map(|known| record::read(row, known)).transpose()?))
                    },
                )?;
                for found in rows.iter().filter_map(|(_, found)| found.as_ref()) {
                    let tags = crate::tag::of(connection, &found.arn)?;
                    let times = (found.created, found.modified);
                    self.index_new(connection, &found.key, times, &found.document, &tags, &mut made)?;
                }
                Ok(rows.into_iter().next_back().map(|(place, _)| place))
            })?;
            self.index.remember(made);
            let Some(last) = last else { break };
            after = last;
            if self.index.pending.load(Relaxed) >= SETTLE_AT {
                self.settle(SETTLE_AT)?;
            }
        }
        self.writer.change_blocking(|connection| {
            execute(connection, "UPDATE search_state SET rules = ?1", (self.index.rules.version,)).map(drop)
        })
    }
}

fn pending(connection: &Connection) -> Result<Vec<Pending>> {
    all(
        connection,
        "SELECT p.kind, p.region, p.entry, p.change, e.facts
         FROM search_pending p JOIN search_entries e ON e.id = p.entry LIMIT ?1",
        (RUN as i64,),
        |row| {
            Ok(Pending {
                kind: row.get(0)?,
                region: row.get(1)?,
                entry: row.get(2)?,
                change: row.get(3)?,
                facts: row.get(4)?,
            })
        },
    )
}

/// The terms of entries in blocks, by field.
fn in_blocks(pending: &[Pending]) -> Result<Vec<(u32, Vec<Block>)>> {
    let mut fields: BTreeMap<u32, Vec<(Term, i64)>> = BTreeMap::new();
    let mut facts = Vec::with_capacity(128);
    for Pending { entry, facts: bytes, .. } in pending {
        facts::read_into(bytes, &mut facts).ok_or(MetastoreError::BrokenIndex)?;
        for (field, _, value) in &facts {
            fields.entry(*field).or_default().push((value.term(), *entry));
        }
    }
    let blocks = fields.into_iter().map(|(field, mut terms)| {
        terms.sort_unstable_by(|left, right| left.partial_cmp(right).unwrap_or(Ordering::Equal));
        let mut builder = Builder::default();
        terms.iter().for_each(|(value, entry)| builder.push(value, *entry));
        (field, builder.finish())
    });
    Ok(blocks.collect())
}

/// Notes a run of those entries, which are sorted.
pub(super) fn new_run(connection: &Connection, level: i64, entries: &[i64]) -> Result<i64> {
    let sql = "INSERT INTO search_runs (level, entries) VALUES (?1, ?2)";
    execute(connection, sql, (level, block::pack(entries)))?;
    Ok(connection.last_insert_rowid())
}

/// Writes blocks of a field to a run.
pub(super) fn write_blocks(connection: &Connection, run: i64, field: u32, blocks: &[Block]) -> Result<()> {
    for Block { first, last, terms, data } in blocks {
        let sql = "INSERT INTO search_blocks (run, field, first, last, terms, data)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        execute(connection, sql, (run, field, first, last, terms, data))?;
    }
    Ok(())
}
