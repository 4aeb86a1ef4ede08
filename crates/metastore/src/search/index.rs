//! The write side of the index. A record's facts are written in the transaction of the record, so
//! the index is never wrong about what is stored.
//!
//! Its terms, which only make searches fast, are written later and many at a time (`settle`): an entry is
//! pending from a change of its facts until then, and a search reads all pending entries.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering::Relaxed};
use std::sync::{PoisonError, RwLock};

use rusqlite::Connection;
use sagebrush_types::Resource;
use serde_json::Value;

use super::facts::{self, Fact, FactValue};
use super::{COSTS, Costs, IndexRules};
use crate::database::{execute, one, optional};
use crate::{Key, Metastore, MetastoreError, Record, Result, Tag};

/// Fields whose numbers are kept in memory; those of further fields are read from the database.
const FIELDS_IN_MEMORY: usize = 200_000;

/// A field's number and whether some record has it in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its number.
    pub id: u32,
    /// Some record has several values of it.
    pub many: bool,
}

/// The fields of one kind of resource in one region, by path.
type Fields = HashMap<String, Field>;

/// What the index keeps in memory.
#[derive(Debug)]
pub struct Index {
    pub(super) rules: &'static IndexRules,
    pub(super) costs: Costs,
    fields: RwLock<HashMap<(Resource, String), Fields>>,
    /// Entries that are pending, about.
    pub(super) pending: AtomicUsize,
    /// The number of the next change.
    pub(super) change: AtomicI64,
    /// Somebody writes terms.
    pub(super) settling: AtomicBool,
    /// Rings when a run was written, and when somebody stops writing them.
    pub(super) settled: tokio::sync::Notify,
}

/// What a transaction did to the index: known to others once it is committed.
#[derive(Debug, Default)]
pub struct Made {
    fields: Vec<(Resource, String, String, Field)>,
    pub(super) pending: usize,
}

impl Index {
    /// An index with these rules.
    pub fn new(rules: &'static IndexRules) -> Self {
        Self {
            rules,
            costs: COSTS,
            fields: RwLock::default(),
            pending: AtomicUsize::new(0),
            change: AtomicI64::new(0),
            settling: AtomicBool::new(false),
            settled: tokio::sync::Notify::new(),
        }
    }

    /// What a committed transaction made becomes known.
    pub(super) fn remember(&self, made: Made) {
        self.pending.fetch_add(made.pending, Relaxed);
        if made.fields.is_empty() {
            return;
        }
        let mut fields = self.fields.write().unwrap_or_else(PoisonError::into_inner);
        let mut size: usize = fields.values().map(HashMap::len).sum();
        for (kind, region, path, field) in made.fields {
            if size < FIELDS_IN_MEMORY {
                fields.entry((kind, region)).or_default().insert(path, field);
                size += 1;
            }
        }
    }

    /// The facts of a document and, when they are given, of tags. New fields get a number.
    fn facts(
        &self,
        connection: &Connection,
        key: &Key,
        document: &Value,
        tags: Option<&[Tag]>,
        made: &mut Made,
    ) -> Result<Read> {
        let mut read = Read { facts: Vec::with_capacity(128), modified: None };
        // Facts of fields that are not known, or not known to have several values.
        let mut others: Vec<(String, u32, bool, FactValue)> = Vec::new();
        {
            let fields = self.fields.read().unwrap_or_else(PoisonError::into_inner);
            let fields = fields.get(&(key.kind, key.region.clone()));
            let mut found = |path: &str, item: u32, label: bool, value: FactValue| {
                if path == self.rules.modified
                    && let FactValue::Number(seconds) = value
                {
                    read.modified = Some((seconds * 1000.0).round() as i64);
                }
                match fields.and_then(|fields| fields.get(path)).filter(|field| field.many || item == 0) {
                    Some(field) => read.facts.push(Fact { field: field.id, item, label, value }),
                    None => others.push((path.to_owned(), item, label, value)),
                }
            };
            facts::of_document(document, self.rules, &mut |path, item, value| {
                found(path, item, false, value)
            });
            for tag in tags.into_iter().flatten() {
                found(&facts::label_path(tag, self.rules), 0, true, FactValue::Text(tag.value.clone()));
            }
        }
        for (path, item, label, value) in others {
            let field = field_of(connection, key, &path, item > 0)?;
            made.fields.push((key.kind, key.region.clone(), path, field));
            read.facts.push(Fact { field: field.id, item, label, value });
        }
        Ok(read)
    }
}

/// The facts of a record, and the time of change among them.
struct Read {
    facts: Vec<Fact>,
    /// Milliseconds since the Unix epoch.
    modified: Option<i64>,
}

impl Metastore {
    /// Indexes a record that was just stored, in its transaction. `times` are its creation and last
    /// change.
    pub(crate) fn index_new(
        &self,
        connection: &Connection,
        key: &Key,
        (created, modified): (i64, i64),
        document: &Value,
        tags: &[Tag],
        made: &mut Made,
    ) -> Result<()> {
        if !self.index.rules.enabled {
            return Ok(());
        }
        let read = self.index.facts(connection, key, document, Some(tags), made)?;
        let modified = read.modified.unwrap_or(modified);
        execute(
            connection,
            "INSERT INTO search_entries (kind, region, name, created, modified, facts)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            (key.kind.arn_segment(), &key.region, &key.name, created, modified, facts::encode(&read.facts)),
        )?;
        self.pend(connection, key, connection.last_insert_rowid(), made)
    }

    /// Indexes a record that was just changed, in its transaction. `tags` are its tags when they
    /// changed too.
    pub(crate) fn index_again(
        &self,
        connection: &Connection,
        record: &Record,
        tags: Option<&[Tag]>,
        made: &mut Made,
    ) -> Result<()> {
        if !self.index.rules.enabled {
            return Ok(());
        }
        let key = &record.key;
        let sql = "SELECT id, facts FROM search_entries WHERE kind = ?1 AND region = ?2 AND name = ?3";
        let known: Option<(i64, Vec<u8>)> =
            optional(connection, sql, (key.kind.arn_segment(), &key.region, &key.name), |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        let Some((id, old)) = known else {
            let times = (record.created, record.modified);
            return self.index_new(connection, key, times, &record.document, tags.unwrap_or_default(), made);
        };
        let mut read = self.index.facts(connection, key, &record.document, tags, made)?;
        if tags.is_none() {
            let old = facts::decode(&old).ok_or(MetastoreError::BrokenIndex)?;
            read.facts.extend(old.into_iter().filter(|fact| fact.label));
        }
        let sql = "UPDATE search_entries SET modified = ?2, facts = ?3 WHERE id = ?1";
        let modified = read.modified.unwrap_or(record.modified);
        execute(connection, sql, (id, modified, facts::encode(&read.facts)))?;
        self.pend(connection, key, id, made)
    }

    /// Notes that an entry's facts are newer than its terms.
    fn pend(&self, connection: &Connection, key: &Key, entry: i64, made: &mut Made) -> Result<()> {
        let (kind, region) = (key.kind.arn_segment(), &key.region);
        let change = self.index.change.fetch_add(1, Relaxed);
        let sql = "UPDATE search_pending SET change = ?4 WHERE kind = ?1 AND region = ?2 AND entry = ?3";
        if execute(connection, sql, (kind, region, entry, change))? == 0 {
            let sql = "INSERT INTO search_pending (kind, region, entry, change) VALUES (?1, ?2, ?3, ?4)";
            execute(connection, sql, (kind, region, entry, change))?;
            made.pending += 1;
        }
        Ok(())
    }

    /// Forgets a record, in the transaction that removes it. Terms that are left name an entry that is
    /// gone.
    pub(crate) fn index_removed(&self, connection: &Connection, key: &Key) -> Result<()> {
        let (kind, region) = (key.kind.arn_segment(), &key.region);
        let sql = "DELETE FROM search_entries WHERE kind = ?1 AND region = ?2 AND name = ?3 RETURNING id";
        let entry: Option<i64> = optional(connection, sql, (kind, region, &key.name), |row| Ok(row.get(0)?))?;
        if let Some(entry) = entry {
            let sql = "DELETE FROM search_pending WHERE kind = ?1 AND region = ?2 AND entry = ?3";
            execute(connection, sql, (kind, region, entry))?;
        }
        Ok(())
    }
}

fn field_of(connection: &Connection, key: &Key, path: &str, many: bool) -> Result<Field> {
    one(
        connection,
        "INSERT INTO search_fields (kind, region, path, many) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (kind, region, path) DO UPDATE SET many = MAX(many, excluded.many)
         RETURNING id, many",
        (key.kind.arn_segment(), &key.region, path, many),
        |row| Ok(Field { id: row.get(0)?, many: row.get(1)? }),
    )
}

/// The field of a path, when some record has had it. A path that is not there as it is written is
/// also found when only the case of its letters differs.
pub fn field(connection: &Connection, kind: Resource, region: &str, path: &str) -> Result<Option<Field>> {
    // Whether a field has several values may have changed since it was remembered.
    for sql in [
        "SELECT id, many FROM search_fields WHERE kind = ?1 AND region = ?2 AND path = ?3",
        "SELECT id, many FROM search_fields
         WHERE kind = ?1 AND region = ?2 AND path = ?3 COLLATE NOCASE ORDER BY path LIMIT 1",
    ] {
        let found = optional(connection, sql, (kind.arn_segment(), region, path), |row| {
            Ok(Field { id: row.get(0)?, many: row.get(1)? })
        })?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The numbers of a kind's fields below a list.
pub fn fields_below(
    connection: &Connection,
    kind: Resource,
    region: &str,
    list: &str,
) -> Result<BTreeSet<u32>> {
    let sql = "SELECT id FROM search_fields WHERE kind = ?1 AND region = ?2
         AND (path = ?3 OR (path >= ?3 || '.' AND path < ?3 || '/'))";
    let found =
        crate::database::all(connection, sql, (kind.arn_segment(), region, list), |row| Ok(row.get(0)?))?;
    Ok(found.into_iter().collect())
}
