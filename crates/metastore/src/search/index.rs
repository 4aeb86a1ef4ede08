//! The write side of the index. A record's facts are written in the transaction of the record, so
//! the index is never wrong about what is stored.
//!
//! Its terms, which only make searches fast, are written later and many at a time: a new entry is
//! pending until then, and a search reads all pending entries. [`SETTLE_AT`] bounds what it reads,
//! [`PENDING`] makes writers wait for the terms when they are too far ahead.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use sagebrush_types::Resource;
use sqlx::{AssertSqlSafe, Row, SqliteConnection};

use super::facts::{self, Fact, Term};
use super::{COSTS, Costs, IndexRules};
use crate::{Metastore, MetastoreError, Record, Result, Tag};

/// Pending entries from which their terms are written. A search reads pending entries one by one, at
/// about two microseconds each.
pub const SETTLE_AT: usize = 2_000;
/// Pending entries at which a writer waits until their terms are written.
pub const PENDING: usize = 10_000;
/// Entries whose terms are written in one transaction: as long as it takes, no other change is made.
const SETTLED_AT_ONCE: i64 = 500;
/// Fields whose numbers are kept in memory; those of further fields are read from the database.
const FIELDS_IN_MEMORY: usize = 200_000;
/// Records indexed in one transaction when the index is made anew.
const REBUILT_AT_ONCE: i64 = 1_000;

/// A field's number and whether some record has it in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its number.
    pub id: u32,
    /// Some record has several values of it.
    pub many: bool,
}

type FieldMap = HashMap<(Resource, String), HashMap<String, Field>>;

/// What the index keeps in memory.
#[derive(Debug)]
pub struct Index {
    pub(super) rules: &'static IndexRules,
    pub(super) costs: Costs,
    fields: Mutex<FieldMap>,
    pending: AtomicUsize,
    settling: AtomicBool,
}

/// Fields that a transaction made: known to others once it is committed.
#[derive(Debug, Default)]
pub struct Made {
    fields: Vec<(Resource, String, String, Field)>,
    pending: usize,
}

impl Index {
    /// An index with these rules.
    pub fn new(rules: &'static IndexRules) -> Self {
        Self {
            rules,
            costs: COSTS,
            fields: Mutex::default(),
            pending: AtomicUsize::new(0),
            settling: AtomicBool::new(false),
        }
    }

    fn known(&self, kind: Resource, region: &str, path: &str) -> Option<Field> {
        let fields = self.fields.lock().unwrap_or_else(PoisonError::into_inner);
        fields.get(&(kind, region.to_owned()))?.get(path).copied()
    }

    fn remember(&self, made: Vec<(Resource, String, String, Field)>) {
        if made.is_empty() {
            return;
        }
        let mut fields = self.fields.lock().unwrap_or_else(PoisonError::into_inner);
        let mut size: usize = fields.values().map(HashMap::len).sum();
        for (kind, region, path, field) in made {
            if size < FIELDS_IN_MEMORY {
                fields.entry((kind, region)).or_default().insert(path, field);
                size += 1;
            }
        }
    }
}

impl Metastore {
    /// What a committed transaction made becomes known; terms are written when enough are pending.
    pub(crate) async fn indexed(&self, made: Made) -> Result<()> {
        self.index.remember(made.fields);
        let pending = self.index.pending.fetch_add(made.pending, Relaxed) + made.pending;
        if pending >= PENDING {
            self.settle().await?;
        } else if pending >= SETTLE_AT && !self.index.settling.swap(true, Relaxed) {
            let store = self.clone();
            tokio::spawn(async move {
                // What was not written stays pending and is found all the same; the next writer
                // over the mark tries again.
                drop(store.settle().await);
                store.index.settling.store(false, Relaxed);
            });
        }
        Ok(())
    }

    /// Writes the terms of every pending entry.
    pub(crate) async fn settle(&self) -> Result<()> {
        while self.settle_some().await? > 0 {}
        Ok(())
    }

    async fn settle_some(&self) -> Result<usize> {
        // No sync of its own: terms that a crash takes away are pending again.
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let rows = sqlx::query("SELECT id, facts FROM search_entries WHERE pending = 1 LIMIT $1")
            .bind(SETTLED_AT_ONCE)
            .fetch_all(&mut *transaction)
            .await?;
        let mut terms = Vec::with_capacity(rows.len() * 64);
        let mut ids = Vec::with_capacity(rows.len());
        for row in &rows {
            let id: i64 = row.try_get("id")?;
            let facts = facts::decode(row.try_get("facts")?).ok_or_else(broken)?;
            terms.extend(facts.iter().map(|fact| (fact.field, fact.value.term(), id)));
            ids.push(id);
        }
        insert_terms(&mut transaction, terms).await?;
        let listed = serde_json::to_string(&ids)?;
        sqlx::query("UPDATE search_entries SET pending = 0 WHERE id IN (SELECT value FROM json_each($1))")
            .bind(listed)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        let pending = self.index.pending.load(Relaxed);
        self.index.pending.store(pending.saturating_sub(ids.len()), Relaxed);
        Ok(ids.len())
    }

    /// Makes the index anew when other rules made it, and counts what is pending.
    pub(crate) async fn prepare_index(&self) -> Result<()> {
        let rules: i64 = sqlx::query_scalar("SELECT rules FROM search_state").fetch_one(&self.writer).await?;
        if rules != self.index.rules.version {
            self.rebuild_index().await?;
        }
        let pending: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM search_entries WHERE pending = 1")
            .fetch_one(&self.writer)
            .await?;
        self.index.pending.store(usize::try_from(pending).unwrap_or_default(), Relaxed);
        if pending >= SETTLE_AT as i64 {
            self.settle().await?;
        }
        Ok(())
    }

    async fn rebuild_index(&self) -> Result<()> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        // Cut short, this is done again from here: the rules' version is written last.
        for table in ["search_terms", "search_entries", "search_fields"] {
            sqlx::query(AssertSqlSafe(format!("DELETE FROM {table}"))).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        let mut after = (String::new(), String::new(), String::new());
        loop {
            let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
            let rows = sqlx::query(
                "SELECT kind, region, name, arn, status, created, modified, document FROM records
                 WHERE (kind, region, name) > ($1, $2, $3) ORDER BY kind, region, name LIMIT $4",
            )
            .bind(&after.0)
            .bind(&after.1)
            .bind(&after.2)
            .bind(REBUILT_AT_ONCE)
            .fetch_all(&mut *transaction)
            .await?;
            let Some(last) = rows.last() else { break };
            after = (last.try_get("kind")?, last.try_get("region")?, last.try_get("name")?);
            let mut made = Made::default();
            for row in &rows {
                if let Some(kind) = Resource::from_segment(row.try_get("kind")?) {
                    let record = crate::record::read(row, kind)?;
                    let tags = crate::tag::of(&mut transaction, &record.arn).await?;
                    self.index_new(&mut transaction, &record, &tags, &mut made).await?;
                }
            }
            transaction.commit().await?;
            self.index.remember(made.fields);
        }
        sqlx::query("UPDATE search_state SET rules = $1")
            .bind(self.index.rules.version)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Indexes a record that was just stored, in its transaction.
    pub(crate) async fn index_new(
        &self,
        connection: &mut SqliteConnection,
        record: &Record,
        tags: &[Tag],
        made: &mut Made,
    ) -> Result<()> {
        let rules = self.index.rules;
        if !rules.enabled {
            return Ok(());
        }
        let mut read = facts::of_document(&record.document, rules);
        read.extend(facts::of_tags(tags, rules));
        let modified = time_in(&read, rules.modified).unwrap_or(record.modified);
        let numbered = self.numbered(connection, record, read, made).await?;
        sqlx::query(
            "INSERT INTO search_entries (kind, region, name, created, modified, pending, facts)
             VALUES ($1, $2, $3, $4, $5, 1, $6)",
        )
        .bind(record.key.kind.arn_segment())
        .bind(&record.key.region)
        .bind(&record.key.name)
        .bind(record.created)
        .bind(modified)
        .bind(facts::encode(&numbered))
        .execute(connection)
        .await?;
        made.pending += 1;
        Ok(())
    }

    /// Indexes a record that was just changed, in its transaction. `tags` are its tags when they
    /// changed too.
    pub(crate) async fn index_again(
        &self,
        connection: &mut SqliteConnection,
        record: &Record,
        tags: Option<&[Tag]>,
        made: &mut Made,
    ) -> Result<()> {
        if !self.index.rules.enabled {
            return Ok(());
        }
        let row = sqlx::query(
            "SELECT id, pending, facts FROM search_entries WHERE kind = $1 AND region = $2 AND name = $3",
        )
        .bind(record.key.kind.arn_segment())
        .bind(&record.key.region)
        .bind(&record.key.name)
        .fetch_optional(&mut *connection)
        .await?;
        let Some(row) = row else {
            return self.index_new(connection, record, tags.unwrap_or_default(), made).await;
        };
        let id: i64 = row.try_get("id")?;
        let old = facts::decode(row.try_get("facts")?).ok_or_else(broken)?;
        let rules = self.index.rules;
        let mut read = facts::of_document(&record.document, rules);
        read.extend(facts::of_tags(tags.unwrap_or_default(), rules));
        let modified = time_in(&read, rules.modified).unwrap_or(record.modified);
        let mut new = self.numbered(connection, record, read, made).await?;
        if tags.is_none() {
            new.extend(old.iter().filter(|fact| fact.label).cloned());
        }
        if row.try_get::<i64, _>("pending")? == 0 {
            change_terms(connection, id, &old, &new).await?;
        }
        sqlx::query("UPDATE search_entries SET modified = $2, facts = $3 WHERE id = $1")
            .bind(id)
            .bind(modified)
            .bind(facts::encode(&new))
            .execute(connection)
            .await?;
        Ok(())
    }

    /// Forgets a record, in the transaction that removes it.
    pub(crate) async fn index_removed(
        &self,
        connection: &mut SqliteConnection,
        record: &Record,
    ) -> Result<()> {
        let row = sqlx::query(
            "DELETE FROM search_entries WHERE kind = $1 AND region = $2 AND name = $3
             RETURNING id, pending, facts",
        )
        .bind(record.key.kind.arn_segment())
        .bind(&record.key.region)
        .bind(&record.key.name)
        .fetch_optional(&mut *connection)
        .await?;
        let Some(row) = row else { return Ok(()) };
        if row.try_get::<i64, _>("pending")? == 0 {
            let old = facts::decode(row.try_get("facts")?).ok_or_else(broken)?;
            change_terms(connection, row.try_get("id")?, &old, &[]).await?;
        }
        Ok(())
    }

    /// Facts with the numbers of their fields; new fields get one.
    async fn numbered(
        &self,
        connection: &mut SqliteConnection,
        record: &Record,
        facts: Vec<Fact<String>>,
        made: &mut Made,
    ) -> Result<Vec<Fact<u32>>> {
        let (kind, region) = (record.key.kind, record.key.region.as_str());
        let mut numbered = Vec::with_capacity(facts.len());
        for Fact { field: path, item, label, value } in facts {
            let many = item > 0;
            let known = self.index.known(kind, region, &path).filter(|field| field.many || !many);
            let field = match known {
                Some(field) => field,
                None => {
                    let field = field_of(connection, kind, region, &path, many).await?;
                    made.fields.push((kind, region.to_owned(), path, field));
                    field
                }
            };
            numbered.push(Fact { field: field.id, item, label, value });
        }
        Ok(numbered)
    }

    /// The field of a path, when some record has had it. A path that is not there as it is written is
    /// also found when only the case of its letters differs.
    pub(super) async fn field(
        &self,
        connection: &mut SqliteConnection,
        kind: Resource,
        region: &str,
        path: &str,
    ) -> Result<Option<Field>> {
        for collation in ["", "COLLATE NOCASE"] {
            let sql = format!(
                "SELECT id, many FROM search_fields
                 WHERE kind = $1 AND region = $2 AND path = $3 {collation} ORDER BY path LIMIT 1"
            );
            // Whether a field has several values may have changed since it was remembered.
            let row = sqlx::query(AssertSqlSafe(sql))
                .bind(kind.arn_segment())
                .bind(region)
                .bind(path)
                .fetch_optional(&mut *connection)
                .await?;
            if let Some(row) = row {
                let many = row.try_get::<i64, _>("many")? != 0;
                return Ok(Some(Field { id: row.try_get("id")?, many }));
            }
        }
        Ok(None)
    }
}

/// A time of a document, given in seconds, in milliseconds.
fn time_in(facts: &[Fact<String>], path: &str) -> Option<i64> {
    let fact = facts.iter().find(|fact| fact.field == path)?;
    match fact.value {
        facts::FactValue::Number(seconds) => Some((seconds * 1000.0).round() as i64),
        _ => None,
    }
}

async fn field_of(
    connection: &mut SqliteConnection,
    kind: Resource,
    region: &str,
    path: &str,
    many: bool,
) -> Result<Field> {
    let row = sqlx::query(
        "INSERT INTO search_fields (kind, region, path, many) VALUES ($1, $2, $3, $4)
         ON CONFLICT (kind, region, path) DO UPDATE SET many = MAX(many, excluded.many)
         RETURNING id, many",
    )
    .bind(kind.arn_segment())
    .bind(region)
    .bind(path)
    .bind(i64::from(many))
    .fetch_one(connection)
    .await?;
    Ok(Field { id: row.try_get("id")?, many: row.try_get::<i64, _>("many")? != 0 })
}

/// Writes the difference between two sets of facts of a settled entry.
async fn change_terms(
    connection: &mut SqliteConnection,
    id: i64,
    old: &[Fact<u32>],
    new: &[Fact<u32>],
) -> Result<()> {
    let terms = |facts: &[Fact<u32>]| -> Vec<(u32, Term)> {
        facts.iter().map(|fact| (fact.field, fact.value.term())).collect()
    };
    let (old, new) = (terms(old), terms(new));
    for (field, value) in old.iter().filter(|term| !new.contains(term)) {
        let query = sqlx::query("DELETE FROM search_terms WHERE field = $1 AND value = $2 AND entry = $3")
            .bind(field);
        bind_term(query, value).bind(id).execute(&mut *connection).await?;
    }
    let added = new.into_iter().filter(|term| !old.contains(term));
    insert_terms(connection, added.map(|(field, value)| (field, value, id)).collect()).await
}

/// Writes terms in the order of the index, many a statement; a term that is there is left.
async fn insert_terms(connection: &mut SqliteConnection, mut terms: Vec<(u32, Term, i64)>) -> Result<()> {
    terms.sort_by(|left, right| left.partial_cmp(right).unwrap_or(std::cmp::Ordering::Equal));
    terms.dedup();
    let mut rest = terms.as_slice();
    // Few sizes of statement, so that each stays prepared.
    for size in [256, 16, 1] {
        let sql = format!(
            "INSERT OR IGNORE INTO search_terms (field, value, entry) VALUES {}",
            vec!["(?, ?, ?)"; size].join(", ")
        );
        while let Some((some, after)) = rest.split_at_checked(size) {
            rest = after;
            let mut query = sqlx::query(AssertSqlSafe(sql.clone()));
            for (field, value, entry) in some {
                query = bind_term(query.bind(field), value).bind(entry);
            }
            query.execute(&mut *connection).await?;
        }
    }
    Ok(())
}

type Bound<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

/// Binds a term as the type that it sorts by.
pub(super) fn bind_term<'q>(query: Bound<'q>, term: &Term) -> Bound<'q> {
    match term {
        Term::Number(number) => query.bind(*number),
        Term::Text(text) => query.bind(text.clone()),
        // A blob sorts behind every text.
        Term::End => query.bind(Vec::<u8>::new()),
    }
}

/// The failure of an index that cannot be read.
pub(super) fn broken() -> MetastoreError {
    MetastoreError::Database(sqlx::Error::Decode("the search index has an entry that is none".into()))
}

/// The numbers of a kind's fields below a list.
pub(super) async fn fields_below(
    connection: &mut SqliteConnection,
    kind: Resource,
    region: &str,
    list: &str,
) -> Result<BTreeSet<u32>> {
    let rows: Vec<u32> = sqlx::query_scalar(
        "SELECT id FROM search_fields WHERE kind = $1 AND region = $2
         AND (path = $3 OR (path >= $3 || '.' AND path < $3 || '/'))",
    )
    .bind(kind.arn_segment())
    .bind(region)
    .bind(list)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().collect())
}
