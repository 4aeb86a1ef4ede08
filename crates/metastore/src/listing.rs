//! Pages of records of one kind, filtered, sorted, and continued after a cursor.

use sagebrush_types::Resource;

use crate::database::all;
use crate::{Metastore, Record, Result, record};

/// What a listing is sorted by. The name breaks ties, so every order is total.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortBy {
    /// Name, by bytes.
    Name,
    /// Creation time.
    Created,
    /// Time of the last change.
    Modified,
    /// Status, by bytes.
    Status,
}

/// Direction of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Smallest first.
    Ascending,
    /// Largest first.
    Descending,
}

/// Where the next page starts: behind this sort value and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Sort value of the last record shown: a name or status, or a time in milliseconds.
    pub value: String,
    /// Name of the last record shown.
    pub name: String,
}

/// A listing: which records, in which order, from where.
#[derive(Debug, Clone)]
pub struct Listing {
    /// Kind of resource.
    pub kind: Resource,
    /// Region.
    pub region: String,
    /// Text that the name contains, case-sensitive.
    pub name_contains: Option<String>,
    /// Status that the record has.
    pub status: Option<String>,
    /// Created strictly after this time, milliseconds.
    pub created_after: Option<i64>,
    /// Created strictly before this time, milliseconds.
    pub created_before: Option<i64>,
    /// Changed strictly after this time, milliseconds.
    pub modified_after: Option<i64>,
    /// Changed strictly before this time, milliseconds.
    pub modified_before: Option<i64>,
    /// Sort key.
    pub sort_by: SortBy,
    /// Sort direction.
    pub order: Order,
    /// Records a page.
    pub limit: usize,
    /// Start behind this place.
    pub after: Option<Cursor>,
}

/// One page.
#[derive(Debug, Clone)]
pub struct Page {
    /// The records.
    pub records: Vec<Record>,
    /// Where the next page starts, when there is one.
    pub next: Option<Cursor>,
}

impl Metastore {
    /// One page of a listing.
    ///
    /// # Errors
    /// `Database` or `Document`.
    pub async fn list(&self, listing: &Listing) -> Result<Page> {
        let (column, numeric) = match listing.sort_by {
            SortBy::Name => ("name", false),
            SortBy::Created => ("created", true),
            SortBy::Modified => ("modified", true),
            SortBy::Status => ("status", false),
        };
        let (direction, beyond) = match listing.order {
            Order::Ascending => ("ASC", ">"),
            Order::Descending => ("DESC", "<"),
        };
        let cursor = if numeric { "CAST(?9 AS INTEGER)" } else { "?9" };
        // Only the constants above enter the text; every value is bound.
        let sql = format!(
            "SELECT region, name, arn, status, created, modified, document FROM records
             WHERE kind = ?1 AND region = ?2
               AND (?3 IS NULL OR instr(name, ?3) > 0)
               AND (?4 IS NULL OR status = ?4)
               AND (?5 IS NULL OR created > ?5) AND (?6 IS NULL OR created < ?6)
               AND (?7 IS NULL OR modified > ?7) AND (?8 IS NULL OR modified < ?8)
               AND (?9 IS NULL OR ({column}, name) {beyond} ({cursor}, ?10))
             ORDER BY {column} {direction}, name {direction} LIMIT ?11"
        );
        let limit = i64::try_from(listing.limit).unwrap_or(i64::MAX - 1);
        let wanted = listing.clone();
        let found = self.readers.read(move |connection| {
            let Listing { name_contains, status, after, .. } = &wanted;
            let parameters = (
                wanted.kind.arn_segment(),
                &wanted.region,
                name_contains,
                status,
                wanted.created_after,
                wanted.created_before,
                wanted.modified_after,
                wanted.modified_before,
                after.as_ref().map(|cursor| &cursor.value),
                after.as_ref().map(|cursor| &cursor.name),
                limit + 1,
            );
            all(connection, &sql, parameters, |row| record::read(row, wanted.kind))
        });
        let mut records = found.await?;
        let more = records.len() > listing.limit;
        records.truncate(listing.limit);
        let next = records.last().filter(|_| more).map(|last| Cursor {
            value: match listing.sort_by {
                SortBy::Name => last.key.name.clone(),
                SortBy::Created => last.created.to_string(),
                SortBy::Modified => last.modified.to_string(),
                SortBy::Status => last.status.clone(),
            },
            name: last.key.name.clone(),
        });
        Ok(Page { records, next })
    }
}
