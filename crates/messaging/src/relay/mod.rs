//! The relay: publishes outbox rows, and deletes exactly the rows that the broker confirmed.

mod session;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use domain::topology::{EXCHANGE, SUBSCRIBERS, Subscriber};
use domain::{Chain, backoff, panic_as_error};
use futures_util::future::join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{BasicProperties, Channel, Confirmation};
use secrecy::SecretString;
use tokio::time::{timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use self::session::{Row, Session};
use crate::broker::TIMEOUT;
use crate::properties::PERSISTENT;
use crate::{Broker, Error, topology};

/// Rows per batch, and maximum number of unconfirmed publishes.
const BATCH: i64 = 1000;
/// Poll interval: a NOTIFY is lost while the listener is disconnected.
const POLL: Duration = Duration::from_secs(1);
/// Time limit of the confirms of one batch.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(20);
/// Interval between measurements of the outbox.
const GAUGE_PERIOD: Duration = Duration::from_secs(15);

/// Publishes the events of one service. Any number of replicas may run a relay: one works, the others wait for its
/// lock.
#[derive(Debug)]
pub struct Relay {
    service: &'static str,
    database_url: SecretString,
    broker: Broker,
    subscribers: &'static [Subscriber],
}

impl Relay {
    /// A relay of the service's own schema. It declares the queues of [`SUBSCRIBERS`].
    pub const fn new(service: &'static str, database_url: SecretString, broker: Broker) -> Self {
        Self { service, database_url, broker, subscribers: SUBSCRIBERS }
    }

    /// Replaces the subscribers.
    #[must_use]
    pub fn for_subscribers(self, subscribers: &'static [Subscriber]) -> Self {
        Self { subscribers, ..self }
    }

    /// Relays until `stop`. It reconnects after any failure.
    pub async fn run(self, stop: CancellationToken) {
        let mut failures = 0_u32;
        while !stop.is_cancelled() {
            if let Err(error) = panic_as_error(self.lead_once(&mut failures, &stop)).await {
                failures += 1;
                tracing::warn!(error = %Chain(&error), "outbox relay failed; will reconnect");
            }
            let pause =
                backoff::exponential(Duration::from_millis(200), failures.max(1), Duration::from_secs(10));
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Waits for the lock, then relays until an operation fails. It checks for a stop between batches only: a stop in
    /// between would publish events twice.
    async fn lead_once(&self, failures: &mut u32, stop: &CancellationToken) -> Result<(), Error> {
        let session = Session::open(&self.database_url).await?;
        if stop.run_until_cancelled(session.wait_for_lock()).await.transpose()?.is_none() {
            return Ok(());
        }
        let channel = self.prepare().await?;
        tracing::info!("outbox relay started");
        let mut gauged = None::<Instant>;
        let mut warnings = Warnings::default();
        while !stop.is_cancelled() {
            if gauged.is_none_or(|at| at.elapsed() >= GAUGE_PERIOD) {
                session.gauge().await?;
                gauged = Some(Instant::now());
            }
            let rows = session.due().await?;
            *failures = 0;
            let is_full = i64::try_from(rows.len()).is_ok_and(|count| count == BATCH);
            if !rows.is_empty() {
                self.publish(&session, &channel, &mut warnings, rows).await?;
            }
            if !is_full {
                tokio::select! {
                    () = session.listener.woken.notified() => {}
                    () = tokio::time::sleep(POLL) => {}
                    () = stop.cancelled() => {}
                }
            }
        }
        Ok(())
    }

    /// Opens a channel, and declares the exchange and the queues of all subscribers. Events that are published before a
    /// subscriber's first start wait in its queue.
    async fn prepare(&self) -> Result<Channel, Error> {
        let mut channel = self.broker.channel().await?;
        for subscriber in self.subscribers {
            match within_timeout(topology::declare(&channel, *subscriber)).await {
                // The queues exist with other arguments, or this role may not declare them. Events for other
                // subscribers do not wait for the repair.
                Err(error) if topology::is_refusal(&error) => {
                    let subscriber = subscriber.service;
                    tracing::error!(subscriber, error = %Chain(&error), "queues of a subscriber could not be declared");
                    channel = self.broker.channel().await?;
                }
                declared => declared?,
            }
        }
        let prepared = async {
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            topology::declare_exchange(&channel).await
        };
        within_timeout(prepared).await?;
        Ok(channel)
    }

    /// Publishes a batch, pipelined, and settles each row by the broker's answer.
    async fn publish(
        &self,
        session: &Session,
        channel: &Channel,
        warnings: &mut Warnings,
        rows: Vec<Row>,
    ) -> Result<(), Error> {
        failpoint::hit("relay.before_publish");
        let mut properties = Vec::with_capacity(rows.len());
        let (mut readable, mut unreadable) = (Vec::with_capacity(rows.len()), Vec::new());
        for row in &rows {
            match self.properties(row) {
                Ok(read) => {
                    properties.push(read);
                    readable.push(row);
                }
                Err(_reported) => unreadable.push(row),
            }
        }
        let published = async {
            let mut confirms = Vec::with_capacity(readable.len());
            for (row, properties) in readable.iter().zip(properties) {
                let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
                confirms.push(
                    channel
                        .basic_publish(
                            EXCHANGE.into(),
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
        let timed_out = || Error::Timeout(CONFIRM_TIMEOUT);
        let confirms = timeout(CONFIRM_TIMEOUT, published).await.map_err(|_elapsed| timed_out())??;
        failpoint::hit("relay.after_publish");
        let deadline = tokio::time::Instant::now() + CONFIRM_TIMEOUT;
        let confirmed = join_all(confirms.into_iter().map(|confirm| timeout_at(deadline, confirm))).await;

        // A returned message precedes some confirm of the same batch, not necessarily its own. It is identified by its
        // message id.
        let mut refused = HashMap::new();
        let mut broken = None::<Error>;
        let mut answered = Vec::with_capacity(rows.len());
        for row in unreadable {
            refused.insert(row.id.to_string(), "its stored headers cannot be read");
            answered.push(row);
        }
        for (row, confirmation) in readable.into_iter().zip(confirmed) {
            match confirmation {
                Ok(Ok(confirmation)) => {
                    if confirmation.is_nack() {
                        refused.insert(row.id.to_string(), "refused");
                    }
                    answered.push(row);
                    if let Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned)) =
                        confirmation
                        && let Some(id) = returned.properties.message_id()
                    {
                        refused.insert(id.as_str().to_owned(), "no queue is bound to its type");
                    }
                }
                Ok(Err(error)) => broken = Some(error.into()),
                // Its queue may be blocked. This row is retried, and the others do not wait for it.
                Err(_elapsed) => {
                    refused.insert(row.id.to_string(), "not confirmed in time");
                    answered.push(row);
                    broken = Some(timed_out());
                }
            }
        }
        let (rejected, published): (Vec<&Row>, Vec<&Row>) =
            answered.into_iter().partition(|row| refused.contains_key(&row.id.to_string()));
        failpoint::hit("relay.after_confirm");
        session.settle(&published, &rejected).await?;
        failpoint::hit("relay.after_delete");
        for row in &published {
            warnings.settled(&row.kind);
        }
        for row in &rejected {
            let cause = refused.get(&row.id.to_string()).copied().unwrap_or_default();
            warnings.log_once(&row.kind, cause);
            metrics::counter!("messaging_unroutable_total").increment(1);
        }
        metrics::counter!("messaging_published_total").increment(count(published.len()));
        broken.map_or(Ok(()), Err)
    }

    /// # Errors
    /// [`pg::Error::Corrupt`].
    fn properties(&self, row: &Row) -> Result<BasicProperties, pg::Error> {
        let corrupt = || pg::Error::corrupt("outbox", row.id, "headers");
        let mut headers = FieldTable::default();
        for (name, value) in row.headers.as_object().ok_or_else(corrupt)? {
            let value = value.as_str().ok_or_else(corrupt)?;
            headers.insert(name.as_str().into(), AMQPValue::LongString(LongString::from(value.as_bytes())));
        }
        Ok(BasicProperties::default()
            .with_content_type("application/cloudevents+json; charset=UTF-8".into())
            .with_delivery_mode(PERSISTENT)
            .with_message_id(row.id.to_string().into())
            .with_type(row.kind.as_str().into())
            .with_timestamp(u64::try_from(row.created_at.unix_timestamp()).unwrap_or_default())
            .with_app_id(self.service.into())
            .with_headers(headers))
    }
}

/// The warnings that are already logged: one line per type and cause, not one per row and attempt.
#[derive(Default)]
struct Warnings(HashSet<(String, &'static str)>);

impl Warnings {
    fn log_once(&mut self, kind: &str, cause: &'static str) {
        if self.0.insert((kind.to_owned(), cause)) {
            tracing::warn!(
                r#type = kind,
                cause,
                "RabbitMQ did not accept an event; events of this type will be retried"
            );
        }
    }

    fn settled(&mut self, kind: &str) {
        if !self.0.is_empty() {
            self.0.retain(|(known, _)| known != kind);
        }
    }
}

/// Limits the time of an operation of the broker.
async fn within_timeout(asked: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    timeout(TIMEOUT, asked).await.map_err(|_elapsed| Error::Timeout(TIMEOUT))?
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}
