//! The queue of asynchronous invocations: what was accepted for an endpoint and not yet answered, in
//! the order of acceptance.

use serde_json::Value;

use crate::database::{Verdict, all, execute, text};
use crate::{Metastore, Result};

/// An invocation to be queued.
#[derive(Debug, Clone, PartialEq)]
pub struct NewInvocation {
    /// Region of the endpoint.
    pub region: String,
    /// Name of the endpoint.
    pub endpoint: String,
    /// What is asked and where the answer goes.
    pub document: Value,
    /// The payload, when it came with the request.
    pub body: Option<Vec<u8>>,
}

/// An invocation that waits for its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct QueuedInvocation {
    /// Its place in the queue; never used again.
    pub sequence: i64,
    /// What is asked and where the answer goes.
    pub document: Value,
    /// The payload, when it came with the request.
    pub body: Option<Vec<u8>>,
}

impl Metastore {
    /// Queues an invocation; `false` when `limit` of the endpoint wait already.
    ///
    /// # Errors
    /// `Database`.
    pub async fn queue_invocation(&self, new: &NewInvocation, limit: usize) -> Result<bool> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let queued = self.writer.change(|connection| {
            execute(
                connection,
                "INSERT INTO queued_invocations (region, endpoint, document, body)
                 SELECT ?1, ?2, ?3, ?4
                 WHERE (SELECT COUNT(*) FROM queued_invocations WHERE region = ?1 AND endpoint = ?2) < ?5",
                (&new.region, &new.endpoint, new.document.to_string(), &new.body, limit),
            )
            .map(Verdict::Keep)
        });
        Ok(queued.await? > 0)
    }

    /// At most `limit` invocations of an endpoint that wait, those after place `after`, the oldest
    /// first.
    ///
    /// # Errors
    /// `Database` or `Document`.
    pub async fn queued_invocations(
        &self,
        region: &str,
        endpoint: &str,
        after: i64,
        limit: usize,
    ) -> Result<Vec<QueuedInvocation>> {
        let (region, endpoint) = (region.to_owned(), endpoint.to_owned());
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let waiting = self.readers.read(move |connection| {
            all(
                connection,
                "SELECT sequence, document, body FROM queued_invocations
                 WHERE region = ?1 AND endpoint = ?2 AND sequence > ?3 ORDER BY sequence LIMIT ?4",
                (region, endpoint, after, limit),
                |row| {
                    Ok(QueuedInvocation {
                        sequence: row.get("sequence")?,
                        document: serde_json::from_str(text(row, "document")?)?,
                        body: row.get("body")?,
                    })
                },
            )
        });
        waiting.await
    }

    /// The endpoints that invocations wait for: region and name.
    ///
    /// # Errors
    /// `Database`.
    pub async fn endpoints_with_invocations(&self) -> Result<Vec<(String, String)>> {
        let sql = "SELECT DISTINCT region, endpoint FROM queued_invocations";
        let found = self.readers.read(|connection| {
            all(connection, sql, (), |row| Ok((row.get("region")?, row.get("endpoint")?)))
        });
        found.await
    }

    /// Takes an invocation off the queue: it was answered.
    ///
    /// # Errors
    /// `Database`.
    pub async fn remove_invocation(&self, sequence: i64) -> Result<()> {
        let sql = "DELETE FROM queued_invocations WHERE sequence = ?1";
        let removed =
            self.writer.change(|connection| execute(connection, sql, (sequence,)).map(Verdict::Keep));
        removed.await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sagebrush_env::Clock;
    use serde_json::json;

    fn invocation(endpoint: &str, number: u8) -> NewInvocation {
        NewInvocation {
            region: "us-east-1".into(),
            endpoint: endpoint.into(),
            document: json!({"number": number}),
            body: (number == 1).then(|| vec![0, 255]),
        }
    }

    #[tokio::test]
    async fn the_queue_is_bounded_ordered_and_survives() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("metadata.sqlite");
        let store = Metastore::open(&path, Clock::system()).await?;
        for number in [1, 2] {
            assert!(store.queue_invocation(&invocation("a", number), 2).await?);
        }
        assert!(!store.queue_invocation(&invocation("a", 3), 2).await?);
        assert!(store.queue_invocation(&invocation("b", 4), 2).await?);
        store.close().await;
        let store = Metastore::open(&path, Clock::system()).await?;
        let waiting = store.queued_invocations("us-east-1", "a", 0, 10).await?;
        let numbers: Vec<_> = waiting.iter().map(|queued| queued.document["number"].as_u64()).collect();
        assert_eq!(numbers, [Some(1), Some(2)]);
        assert_eq!(waiting[0].body.as_deref(), Some(&[0, 255][..]));
        assert_eq!(store.queued_invocations("us-east-1", "a", waiting[0].sequence, 10).await?, waiting[1..]);
        store.remove_invocation(waiting[1].sequence).await?;
        assert_eq!(store.endpoints_with_invocations().await?.len(), 2);
        // A place is never used again, so a reader that stands behind it misses nothing.
        assert!(store.queue_invocation(&invocation("a", 5), 2).await?);
        let newest = store.queued_invocations("us-east-1", "a", waiting[1].sequence, 10).await?;
        assert_eq!(newest.len(), 1);
        Ok(())
    }
}
