//! Directed connections between resources, by ARN: lineage, and what belongs to what. A connection
//! ends when a record at either end is deleted.

use serde_json::Value;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row, SqliteConnection};

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
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(relation)
            .bind(region)
            .bind(&filter.source)
            .bind(&filter.destination)
            .bind(&filter.label)
            .bind(filter.created_after)
            .bind(filter.created_before)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.reader)
            .await?;
        rows.iter().map(read).collect()
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
        let mut transaction = self.begin().await?;
        let removed = sqlx::query(
            "DELETE FROM links WHERE relation = $1 AND region = $2 AND source = $3 AND destination = $4",
        )
        .bind(relation)
        .bind(region)
        .bind(source)
        .bind(destination)
        .execute(transaction.connection())
        .await?;
        transaction.commit().await?;
        Ok(removed.rows_affected() > 0)
    }
}

/// Makes a connection; one that is there stays as it is and answers `false`.
pub(crate) async fn put(connection: &mut SqliteConnection, link: &Link) -> Result<bool> {
    let inserted = sqlx::query(
        "INSERT INTO links (relation, region, source, destination, label, created, document)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
    )
    .bind(&link.relation)
    .bind(&link.region)
    .bind(&link.source)
    .bind(&link.destination)
    .bind(&link.label)
    .bind(link.created)
    .bind(link.document.to_string())
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() > 0)
}

/// Ends every connection of an ARN.
pub(crate) async fn forget(connection: &mut SqliteConnection, arn: &str) -> Result<()> {
    for end in ["DELETE FROM links WHERE source = $1", "DELETE FROM links WHERE destination = $1"] {
        sqlx::query(end).bind(arn).execute(&mut *connection).await?;
    }
    Ok(())
}

fn read(row: &SqliteRow) -> Result<Link> {
    Ok(Link {
        relation: row.try_get("relation")?,
        region: row.try_get("region")?,
        source: row.try_get("source")?,
        destination: row.try_get("destination")?,
        label: row.try_get("label")?,
        created: row.try_get("created")?,
        document: serde_json::from_str(row.try_get::<&str, _>("document")?)?,
    })
}
