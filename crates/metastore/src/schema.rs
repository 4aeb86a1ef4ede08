//! The tables, and the steps from one schema version to the next.

use rusqlite::Connection;

use crate::{MetastoreError, Result};

/// The steps so far; a file of version n has taken the first n.
const STEPS: &[&str] = &[
    FIRST,
    LOGS_AND_METRICS,
    QUEUED_INVOCATIONS,
    include_str!("search/tables.sql"),
    include_str!("link.sql"),
    include_str!("run_metric.sql"),
    include_str!("search/runs.sql"),
];

/// Log groups of their own, events by time, and metric points that stand for many values.
const LOGS_AND_METRICS: &str = "CREATE TABLE log_groups (
        region   TEXT NOT NULL,
        name     TEXT NOT NULL,
        created  INTEGER NOT NULL,
        PRIMARY KEY (region, name)
    ) WITHOUT ROWID;
    INSERT INTO log_groups (region, name, created)
        SELECT region, log_group, MIN(created) FROM log_streams GROUP BY region, log_group;
    ALTER TABLE log_streams ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX log_streams_last_event ON log_streams (region, log_group, COALESCE(last_event, created), stream);
    CREATE INDEX log_events_at ON log_events (stream_id, at);
    ALTER TABLE metric_points ADD COLUMN count REAL NOT NULL DEFAULT 1;
    ALTER TABLE metric_points ADD COLUMN minimum REAL;
    ALTER TABLE metric_points ADD COLUMN maximum REAL;
    ALTER TABLE metric_points ADD COLUMN samples TEXT;
    ALTER TABLE metric_points ADD COLUMN unit TEXT NOT NULL DEFAULT 'None';";

/// The queue of asynchronous invocations.
const QUEUED_INVOCATIONS: &str = "CREATE TABLE queued_invocations (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        region   TEXT NOT NULL,
        endpoint TEXT NOT NULL,
        document TEXT NOT NULL,
        body     BLOB
    );
    CREATE INDEX queued_invocations_endpoint ON queued_invocations (region, endpoint, sequence);";

const FIRST: &str = "CREATE TABLE records (
        kind     TEXT NOT NULL,
        region   TEXT NOT NULL,
        name     TEXT NOT NULL,
        arn      TEXT NOT NULL,
        status   TEXT NOT NULL,
        created  INTEGER NOT NULL,
        modified INTEGER NOT NULL,
        document TEXT NOT NULL,
        PRIMARY KEY (kind, region, name)
    ) WITHOUT ROWID;
    CREATE UNIQUE INDEX records_arn ON records (arn, created);
    CREATE INDEX records_created ON records (kind, region, created, name);
    CREATE INDEX records_status ON records (kind, region, status, created, name);
    CREATE TABLE tags (
        arn      TEXT NOT NULL,
        tag      TEXT NOT NULL,
        value    TEXT NOT NULL,
        PRIMARY KEY (arn, tag)
    ) WITHOUT ROWID;
    CREATE TABLE workflows (
        kind     TEXT NOT NULL,
        region   TEXT NOT NULL,
        name     TEXT NOT NULL,
        step     TEXT NOT NULL,
        PRIMARY KEY (kind, region, name)
    ) WITHOUT ROWID;
    CREATE TABLE log_streams (
        id       INTEGER PRIMARY KEY,
        region   TEXT NOT NULL,
        log_group  TEXT NOT NULL,
        stream   TEXT NOT NULL,
        created  INTEGER NOT NULL,
        lines    INTEGER NOT NULL DEFAULT 0,
        first_event INTEGER,
        last_event  INTEGER,
        last_ingested INTEGER,
        UNIQUE (region, log_group, stream)
    );
    CREATE TABLE log_events (
        stream_id INTEGER NOT NULL REFERENCES log_streams (id) ON DELETE CASCADE,
        sequence  INTEGER NOT NULL,
        at        INTEGER NOT NULL,
        ingested  INTEGER NOT NULL,
        message   TEXT NOT NULL,
        PRIMARY KEY (stream_id, sequence)
    ) WITHOUT ROWID;
    CREATE TABLE metric_series (
        id       INTEGER PRIMARY KEY,
        region   TEXT NOT NULL,
        namespace TEXT NOT NULL,
        metric   TEXT NOT NULL,
        dimensions TEXT NOT NULL,
        UNIQUE (region, namespace, metric, dimensions)
    );
    CREATE TABLE metric_points (
        series_id INTEGER NOT NULL REFERENCES metric_series (id) ON DELETE CASCADE,
        sequence  INTEGER NOT NULL,
        at        INTEGER NOT NULL,
        value     REAL NOT NULL,
        PRIMARY KEY (series_id, sequence)
    ) WITHOUT ROWID;
    CREATE INDEX metric_points_at ON metric_points (series_id, at);";

/// Takes the steps that the file has not taken yet, each in a transaction of its own.
pub fn migrate(connection: &Connection) -> Result<()> {
    let taken: i64 = connection.query_row("PRAGMA user_version", (), |row| row.get(0))?;
    let known = STEPS.len() as i64;
    if taken > known {
        return Err(MetastoreError::NewerSchema { found: taken, known });
    }
    for (step, version) in STEPS.iter().zip(1i64..).skip(taken as usize) {
        let transaction = connection.unchecked_transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}
