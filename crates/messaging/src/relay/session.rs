//! The relay's own connection to Postgres.

use pg::Listener;
use secrecy::SecretString;
use serde_json::Value;
use time::OffsetDateTime;
use tokio_postgres::Statement;
use uuid::Uuid;

use super::{BATCH, POLL};
use crate::Error;

/// Key of the advisory lock of the working relay. All replicas use the same one; the number is arbitrary.
const LOCK: i32 = 0x7265_6c61;

const SELECT_DUE: &str = "SELECT seq, id, type, body, headers, created_at FROM outbox \
     WHERE next_attempt_at <= now() ORDER BY next_attempt_at, seq LIMIT $1";
const DELETE: &str = "DELETE FROM outbox WHERE seq = ANY($1)";
const BACK_OFF: &str = "UPDATE outbox SET attempts = attempts + 1, \
     next_attempt_at = now() + least(power(2, least(attempts, 6)), 60) * interval '1 second' WHERE seq = ANY($1)";

/// An event that waits to be published.
pub(super) struct Row {
    pub(super) seq: i64,
    pub(super) id: Uuid,
    pub(super) kind: String,
    pub(super) body: Vec<u8>,
    pub(super) headers: Value,
    pub(super) created_at: OffsetDateTime,
}

/// The connection that holds the lock. Rows are read and deleted through it, so that a relay that lost the lock
/// (because its connection broke) can do neither.
pub(super) struct Session {
    pub(super) listener: Listener,
    select_due: Statement,
    delete: Statement,
    back_off: Statement,
}

impl Session {
    pub(super) async fn open(url: &SecretString) -> Result<Self, Error> {
        let listener = Listener::open(url, "outbox-relay", "outbox").await?;
        let client = &listener.client;
        // Only confirmed rows are deleted here. A crash of the database that loses a delete publishes the event again.
        client.batch_execute("SET synchronous_commit = off").await?;
        Ok(Self {
            select_due: client.prepare(SELECT_DUE).await?,
            delete: client.prepare(DELETE).await?,
            back_off: client.prepare(BACK_OFF).await?,
            listener,
        })
    }

    pub(super) async fn wait_for_lock(&self) -> Result<(), Error> {
        loop {
            let row = self
                .listener
                .client
                .query_one("SELECT pg_try_advisory_lock(hashtext(current_schema()), $1)", &[&LOCK])
                .await?;
            if row.try_get(0)? {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Due rows, new rows first, each group in `seq` order. A row that commits late with a smaller `seq` is found too,
    /// because the query has no lower bound.
    pub(super) async fn due(&self) -> Result<Vec<Row>, Error> {
        let rows = self.listener.client.query(&self.select_due, &[&BATCH]).await?;
        rows.iter()
            .map(|row| {
                Ok(Row {
                    seq: row.try_get(0)?,
                    id: row.try_get(1)?,
                    kind: row.try_get(2)?,
                    body: row.try_get(3)?,
                    headers: row.try_get(4)?,
                    created_at: row.try_get(5)?,
                })
            })
            .collect()
    }

    pub(super) async fn settle(&self, published: &[&Row], rejected: &[&Row]) -> Result<(), Error> {
        for (statement, rows) in [(&self.delete, published), (&self.back_off, rejected)] {
            if !rows.is_empty() {
                let seqs: Vec<i64> = rows.iter().map(|row| row.seq).collect();
                self.listener.client.execute(statement, &[&seqs]).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn gauge(&self) -> Result<(), Error> {
        let row = self
            .listener
            .client
            .query_one(
                "SELECT count(*)::float8, coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8, \
                 count(*) FILTER (WHERE attempts > 0)::float8 FROM outbox",
                &[],
            )
            .await?;
        // The metric exists from the start, so that zero is reported.
        metrics::counter!("messaging_published_total").increment(0);
        metrics::counter!("messaging_unroutable_total").increment(0);
        metrics::gauge!("outbox_depth").set(row.try_get::<_, f64>(0)?);
        metrics::gauge!("outbox_oldest_age_seconds").set(row.try_get::<_, f64>(1)?);
        metrics::gauge!("outbox_refused").set(row.try_get::<_, f64>(2)?);
        Ok(())
    }
}
