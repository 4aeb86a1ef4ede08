//! Directed connections between resources, by ARN: lineage, and what belongs to what. A connection
//! ends when a record at either end is deleted.

use rusqlite::{Connection, Row};
use serde_json::Value;

use crate::database::{Verdict, all, execute, text};
use crate::{Metastore, Result};

/// A connection. Relation, region and both ends name it.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// What the connection is about.
    pub relation: String,
    /// Region.
    pub region: String,
    /// ARN it comes from.
    pub source: String,
    /// ARN it goes to.
    pub destination: String,
    /// Its type within the relation; possibly empty.
    pub label: String,
    /// Creation, milliseconds since the Unix epoch.
    pub created: i64,
    /// What else is known of it.
    pub document: Value,
}

/// Which connections of a relation.
#[derive(Debug, Clone, Default)]
pub struct LinkFilter {
    /// From this ARN.
    pub source: Option<String>,
    /// To this ARN.
    pub destination: Option<String>,
    /// Of this type.
    pub label: Option<String>,
    /// Created strictly after, milliseconds.
    pub created_after: Option<i64>,
    /// Created strictly before, milliseconds.
    pub created_before: Option<i64>,
}

impl Metastore {
    /// Connections of a relation by creation and ends, oldest first, at most `limit`.
    ///
    /// # Errors
    /// `Database` or `Document`.
    pub async fn links(
        &self,
        relation: &str,
        region: &str,
        filter: &LinkFilter,
        limit: usize,
    ) -> Result<Vec<Link>> {
        // A condition that is not asked stays out of the text, so that the planner sees the index.
        let mut sql = String::from("SELECT * FROM links WHERE relation = ?1 AND region = ?2");
        let conditions = [
            (filter.source.is_some(), " AND source = ?3"),
            (filter.destination.is_some(), " AND destination = ?4"),
            (filter.label.is_some(), " AND label = ?5"),
            (filter.created_after.is_some(), " AND created > ?6"),
            (filter.created_before.is_some(), " AND created < ?7"),
        ];
        for (_, condition) in conditions.iter().filter(|(asked, _)| *asked) {
            sql.push_str(condition);
        }
        sql.push_str(" ORDER BY created, source, destination LIMIT ?8");
        let (relation, region, filter) = (relation.to_owned(), region.to_owned(), filter.clone());
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let found = self.readers.read(move |connection| {
            let LinkFilter { source, destination, label, created_after, created_before } = &filter;
            let parameters =
                (&relation, &region, source, destination, label, created_after, created_before, limit);
            all(connection, &sql, parameters, read)
        });
        found.await
    }

    /// Removes a connection; `false` when it is not there.
    ///
    /// # Errors
    /// `Database`.
    pub async fn unlink(
        &self,
        relation: &str,
        region: &str,
        source: &str,
        destination: &str,
    ) -> Result<bool> {
        let sql =
            "DELETE FROM links WHERE relation = ?1 AND region = ?2 AND source = ?3 AND destination = ?4";
        let removed = self.writer.change(|connection| {
            execute(connection, sql, (relation, region, source, destination)).map(Verdict::Keep)
        });
        Ok(removed.await? > 0)
    }
}

/// Makes a connection; one that is there stays as it is.
pub(crate) fn put(connection: &Connection, link: &Link) -> Result<()> {
    let Link { relation, region, source, destination, label, created, document } = link;
    execute(
        connection,
        "INSERT INTO links (relation, region, source, destination, label, created, document)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
        (relation, region, source, destination, label, created, document.to_string()),
    )?;
    Ok(())
}

/// Ends every connection of an ARN.
pub(crate) fn forget(connection: &Connection, arn: &str) -> Result<()> {
    for end in ["DELETE FROM links WHERE source = ?1", "DELETE FROM links WHERE destination = ?1"] {
        execute(connection, end, (arn,))?;
    }
    Ok(())
}

fn read(row: &Row<'_>) -> Result<Link> {
    Ok(Link {
        relation: row.get("relation")?,
        region: row.get("region")?,
        source: row.get("source")?,
        destination: row.get("destination")?,
        label: row.get("label")?,
        created: row.get("created")?,
        document: serde_json::from_str(text(row, "document")?)?,
    })
}
