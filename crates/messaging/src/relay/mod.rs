//! The relay: tells the broker what stands in the outbox, and deletes exactly what the broker confirmed.

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
use crate::broker::PATIENCE;
use crate::properties::PERSISTENT;
use crate::{Broker, Error, topology};

/// Rows per round: also how many publishes wait for their confirm at once.
const BATCH: i64 = 1000;
/// Looks without being woken: NOTIFY is not delivered to who was away.
const POLL: Duration = Duration::from_secs(1);
/// Confirms of one batch that take longer have failed.
const CONFIRM_PATIENCE: Duration = Duration::from_secs(20);
/// How often the depth is counted.
const GAUGE_PERIOD: Duration = Duration::from_secs(15);

/// Tells one service's events. Any number of replicas may run one; one at a time works, the others stand by.
#[derive(Debug)]
pub struct Relay {
    service: &'static str,
    database_url: SecretString,
    broker: Broker,
    subscribers: &'static [Subscriber],
}

impl Relay {
    /// A relay of the service's own schema, which tells [`SUBSCRIBERS`].
    pub const fn new(service: &'static str, database_url: SecretString, broker: Broker) -> Self {
        Self { service, database_url, broker, subscribers: SUBSCRIBERS }
    }

    /// Tells these subscribers instead.
    #[must_use]
    pub fn for_subscribers(self, subscribers: &'static [Subscriber]) -> Self {
        Self { subscribers, ..self }
    }

    /// Works until `stop`; heals by itself from whatever goes away meanwhile.
    pub async fn run(self, stop: CancellationToken) {
        let mut failures = 0_u32;
        while !stop.is_cancelled() {
            if let Err(error) = panic_as_error(self.lead(&mut failures, &stop)).await {
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
        let channel = self.prepare().await?;
        tracing::info!("the outbox relay is at work");
        let mut gauged = None::<Instant>;
        let mut complaints = Complaints::default();
        while !stop.is_cancelled() {
            if gauged.is_none_or(|at| at.elapsed() >= GAUGE_PERIOD) {
                session.gauge().await?;
                gauged = Some(Instant::now());
            }
            let rows = session.due().await?;
            *failures = 0;
            let is_full = i64::try_from(rows.len()).is_ok_and(|count| count == BATCH);
            if !rows.is_empty() {
                self.tell(&session, &channel, &mut complaints, rows).await?;
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

    /// Opens a channel, and declares what is published to: also the queues of subscribers that never ran, so that what
    /// is told before their first start waits for them.
    async fn prepare(&self) -> Result<Channel, Error> {
        let mut channel = self.broker.channel().await?;
        for subscriber in self.subscribers {
            match in_time(topology::declare(&channel, *subscriber)).await {
                // They stand with other arguments, or are not ours to declare: what all others are told does not wait for
                // whoever repairs that.
                Err(error) if topology::is_refusal(&error) => {
                    let subscriber = subscriber.service;
                    tracing::error!(subscriber, error = %Chain(&error), "a subscriber's queues could not be declared");
                    channel = self.broker.channel().await?;
                }
                declared => declared?,
            }
        }
        let prepared = async {
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            topology::declare_exchange(&channel).await
        };
        in_time(prepared).await?;
        Ok(channel)
    }

    /// Publishes a batch, pipelined, and settles each row by what the broker said about it.
    async fn tell(
        &self,
        session: &Session,
        channel: &Channel,
        complaints: &mut Complaints,
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
        let timed_out = || Error::Timeout(CONFIRM_PATIENCE);
        let confirms = timeout(CONFIRM_PATIENCE, published).await.map_err(|_elapsed| timed_out())??;
        failpoint::hit("relay.after_publish");
        let deadline = tokio::time::Instant::now() + CONFIRM_PATIENCE;
        let confirmed = join_all(confirms.into_iter().map(|confirm| timeout_at(deadline, confirm))).await;

        // A returned message comes before some confirm of the same batch, not necessarily its own: it is known
        // by its message id.
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
                // Its queue may be stuck: this row waits, the others do not wait for it.
                Err(_elapsed) => {
                    refused.insert(row.id.to_string(), "not confirmed in time");
                    answered.push(row);
                    broken = Some(timed_out());
                }
            }
        }
        let (kept, told): (Vec<&Row>, Vec<&Row>) =
            answered.into_iter().partition(|row| refused.contains_key(&row.id.to_string()));
        failpoint::hit("relay.after_confirm");
        session.settle(&told, &kept).await?;
        failpoint::hit("relay.after_delete");
        for row in &told {
            complaints.settled(&row.kind);
        }
        for row in &kept {
            let cause = refused.get(&row.id.to_string()).copied().unwrap_or_default();
            complaints.make(&row.kind, cause);
            metrics::counter!("messaging_unroutable_total").increment(1);
        }
        metrics::counter!("messaging_published_total").increment(count(told.len()));
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

/// What was complained of already: a type nobody is bound to is one line in the log, not one a row and try.
#[derive(Default)]
struct Complaints(HashSet<(String, &'static str)>);

impl Complaints {
    fn make(&mut self, kind: &str, cause: &'static str) {
        if self.0.insert((kind.to_owned(), cause)) {
            tracing::warn!(
                r#type = kind,
                cause,
                "RabbitMQ did not take an event: those of this type wait and are tried again"
            );
        }
    }

    fn settled(&mut self, kind: &str) {
        if !self.0.is_empty() {
            self.0.retain(|(known, _)| known != kind);
        }
    }
}

/// What the broker has not done by then has failed.
async fn in_time(asked: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    timeout(PATIENCE, asked).await.map_err(|_elapsed| Error::Timeout(PATIENCE))?
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}
