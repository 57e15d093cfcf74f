//! The relay: tells the broker what stands in the outbox, and deletes exactly what the broker confirmed.

use std::collections::HashSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::{Chain, backoff};
use futures_util::future::join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{BasicProperties, Channel, Confirmation};
use secrecy::SecretString;
use serde_json::Value;
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio::time::{timeout, timeout_at};
use tokio_postgres::{AsyncMessage, Client, Statement};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::broker::PATIENCE;
use crate::{Broker, Error, topology};

/// Rows per round: also how many publishes wait for their confirm at once.
const BATCH: i64 = 1000;
/// Looks without being woken: NOTIFY is not delivered to who was away.
const POLL: Duration = Duration::from_secs(1);
/// Confirms of one batch that take longer have failed.
const CONFIRM_PATIENCE: Duration = Duration::from_secs(20);
/// How often the depth is counted.
const GAUGE_PERIOD: Duration = Duration::from_secs(15);
/// The advisory lock of the one relay that works; any number, as long as all take the same.
const LOCK: i32 = 0x7265_6c61;
/// Persistent (AMQP 0-9-1 §1.8, basic properties).
const PERSISTENT: u8 = 2;

const SELECT_DUE: &str = "SELECT seq, id, type, body, headers, created_at FROM outbox \
     WHERE next_attempt_at <= now() ORDER BY next_attempt_at, seq LIMIT $1";
const DELETE: &str = "DELETE FROM outbox WHERE seq = ANY($1)";
const BACK_OFF: &str = "UPDATE outbox SET attempts = attempts + 1, \
     next_attempt_at = now() + least(power(2, least(attempts, 6)), 60) * interval '1 second' WHERE seq = ANY($1)";

/// Tells one service's facts. Any number of replicas may run one; one at a time works, the others stand by.
#[derive(Debug)]
pub struct Relay {
    service: &'static str,
    database_url: SecretString,
    broker: Broker,
}

struct Row {
    seq: i64,
    id: Uuid,
    kind: String,
    body: Vec<u8>,
    headers: Value,
    created_at: OffsetDateTime,
}

/// The connection that holds the lock: reading and deleting go through it, so that a relay that lost the lock
/// (because its connection broke) can do neither.
struct Session {
    client: Client,
    select_due: Statement,
    delete: Statement,
    back_off: Statement,
    woken: Arc<Notify>,
    _driver: AbortOnDropHandle<()>,
}

impl Relay {
    /// A relay of the service's own schema.
    pub const fn new(service: &'static str, database_url: SecretString, broker: Broker) -> Self {
        Self { service, database_url, broker }
    }

    /// Works until `stop`; heals by itself from whatever goes away meanwhile.
    pub async fn run(self, stop: CancellationToken) {
        let mut failures = 0_u32;
        while !stop.is_cancelled() {
            if let Err(error) = self.lead(&mut failures, &stop).await {
                failures += 1;
                tracing::warn!(error = %Chain(&error), "the outbox relay was interrupted; what it has not told waits");
            }
            let pause =
                backoff::exponential(Duration::from_millis(200), failures.max(1), Duration::from_secs(10));
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Waits for the lock, then relays until something breaks. A stop is heard between batches only: what was
    /// published and not yet deleted would be told twice.
    async fn lead(&self, failures: &mut u32, stop: &CancellationToken) -> Result<(), Error> {
        let session = Session::open(&self.database_url).await?;
        if stop.run_until_cancelled(session.wait_for_lock()).await.transpose()?.is_none() {
            return Ok(());
        }
        let channel = self.broker.channel().await?;
        let prepared = async {
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            topology::declare_exchange(&channel).await
        };
        timeout(PATIENCE, prepared).await.map_err(|_elapsed| Error::Timeout(PATIENCE))??;
        tracing::info!("the outbox relay is at work");
        let mut gauged = None::<Instant>;
        while !stop.is_cancelled() {
            if gauged.is_none_or(|at| at.elapsed() >= GAUGE_PERIOD) {
                session.gauge().await?;
                gauged = Some(Instant::now());
            }
            let rows = session.due().await?;
            *failures = 0;
            let is_full = i64::try_from(rows.len()).is_ok_and(|count| count == BATCH);
            if !rows.is_empty() {
                self.tell(&session, &channel, rows).await?;
            }
            if !is_full {
                tokio::select! {
                    () = session.woken.notified() => {}
                    () = tokio::time::sleep(POLL) => {}
                    () = stop.cancelled() => {}
                }
            }
        }
        Ok(())
    }

    /// Publishes a batch, pipelined, and settles each row by what the broker said about it.
    async fn tell(&self, session: &Session, channel: &Channel, rows: Vec<Row>) -> Result<(), Error> {
        let published = async {
            let mut confirms = Vec::with_capacity(rows.len());
            for row in &rows {
                let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
                let properties = self.properties(row);
                confirms.push(
                    channel
                        .basic_publish(
                            topology::EXCHANGE.into(),
                            row.kind.as_str().into(),
                            options,
                            &row.body,
                            properties,
                        )
                        .await?,
                );
            }
            Ok::<_, Error>(confirms)
        };
        let timed_out = || Error::Timeout(CONFIRM_PATIENCE);
        let confirms = timeout(CONFIRM_PATIENCE, published).await.map_err(|_elapsed| timed_out())??;
        let deadline = tokio::time::Instant::now() + CONFIRM_PATIENCE;
        let confirmed = join_all(confirms.into_iter().map(|confirm| timeout_at(deadline, confirm))).await;

        // A returned message comes before some confirm of the same batch, not necessarily its own: it is known
        // by its message id.
        let mut refused = HashSet::new();
        let mut broken = None::<Error>;
        let mut answered = Vec::with_capacity(rows.len());
        for (row, confirmation) in rows.iter().zip(confirmed) {
            match confirmation {
                Ok(Ok(confirmation)) => {
                    if confirmation.is_nack() {
                        refused.insert(row.id.to_string());
                    }
                    answered.push(row);
                    if let Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned)) =
                        confirmation
                        && let Some(id) = returned.properties.message_id()
                    {
                        refused.insert(id.as_str().to_owned());
                    }
                }
                Ok(Err(error)) => broken = Some(error.into()),
                // Its queue may be stuck: this row waits, the others do not wait for it.
                Err(_elapsed) => {
                    refused.insert(row.id.to_string());
                    answered.push(row);
                    broken = Some(timed_out());
                }
            }
        }
        let (kept, told): (Vec<&Row>, Vec<&Row>) =
            answered.into_iter().partition(|row| refused.contains(&row.id.to_string()));
        session.settle(&told, &kept).await?;
        if !kept.is_empty() {
            metrics::counter!("messaging_unroutable_total").increment(count(kept.len()));
            tracing::debug!(rows = kept.len(), "RabbitMQ has no queue for these facts yet, or refused them");
        }
        metrics::counter!("messaging_published_total").increment(count(told.len()));
        broken.map_or(Ok(()), Err)
    }

    fn properties(&self, row: &Row) -> BasicProperties {
        let mut headers = FieldTable::default();
        for (name, value) in row.headers.as_object().into_iter().flatten() {
            if let Some(value) = value.as_str() {
                headers
                    .insert(name.as_str().into(), AMQPValue::LongString(LongString::from(value.as_bytes())));
            }
        }
        BasicProperties::default()
            .with_content_type("application/cloudevents+json; charset=UTF-8".into())
            .with_delivery_mode(PERSISTENT)
            .with_message_id(row.id.to_string().into())
            .with_type(row.kind.as_str().into())
            .with_timestamp(u64::try_from(row.created_at.unix_timestamp()).unwrap_or_default())
            .with_app_id(self.service.into())
            .with_headers(headers)
    }
}

impl Session {
    async fn open(url: &SecretString) -> Result<Self, Error> {
        let (client, mut connection) = pg::connect(url, "outbox-relay").await?;
        let woken = Arc::new(Notify::new());
        let notified = Arc::clone(&woken);
        let driver = tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if matches!(message, AsyncMessage::Notification(_)) {
                    notified.notify_one();
                }
            }
        });
        let driver = AbortOnDropHandle::new(driver);
        let schema: String = client.query_one("SELECT current_schema()::text", &[]).await?.try_get(0)?;
        client.batch_execute(&format!("LISTEN \"outbox_{schema}\"")).await?;
        Ok(Self {
            select_due: client.prepare(SELECT_DUE).await?,
            delete: client.prepare(DELETE).await?,
            back_off: client.prepare(BACK_OFF).await?,
            client,
            woken,
            _driver: driver,
        })
    }

    async fn wait_for_lock(&self) -> Result<(), Error> {
        loop {
            let row = self
                .client
                .query_one("SELECT pg_try_advisory_lock(hashtext(current_schema()), $1)", &[&LOCK])
                .await?;
            if row.try_get(0)? {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// What is due, fresh rows first, each group in `seq` order. A row that committed late with a smaller `seq`
    /// is found like any other: by being there.
    async fn due(&self) -> Result<Vec<Row>, Error> {
        let rows = self.client.query(&self.select_due, &[&BATCH]).await?;
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

    async fn settle(&self, told: &[&Row], kept: &[&Row]) -> Result<(), Error> {
        for (statement, rows) in [(&self.delete, told), (&self.back_off, kept)] {
            if !rows.is_empty() {
                let seqs: Vec<i64> = rows.iter().map(|row| row.seq).collect();
                self.client.execute(statement, &[&seqs]).await?;
            }
        }
        Ok(())
    }

    async fn gauge(&self) -> Result<(), Error> {
        let row = self
            .client
            .query_one(
                "SELECT count(*)::float8, coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 FROM outbox",
                &[],
            )
            .await?;
        metrics::gauge!("outbox_depth").set(row.try_get::<_, f64>(0)?);
        metrics::gauge!("outbox_oldest_age_seconds").set(row.try_get::<_, f64>(1)?);
        Ok(())
    }
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}
