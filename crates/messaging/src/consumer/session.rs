//! One session of the consumer's channel: collects a batch, applies it, dead-letters failed messages, acknowledges.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use domain::events::Envelope;
use domain::topology::{RETRY_DELAYS, Role, Subscriber, queues};
use domain::{Chain, catch_panic_in};
use futures_util::{FutureExt, StreamExt};
use lapin::Channel;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions, ConfirmSelectOptions,
};
use lapin::types::FieldTable;
use time::OffsetDateTime;
use tokio::time::{interval, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::apply::apply;
use super::{Consumer, Failure, Handler};
use crate::{Broker, Error, broker, headers, properties, topology, trace};

/// Maximum attempts: after the three delays, the last one twice more, an event is dead-lettered.
const MAX_ATTEMPTS: u32 = 5;
/// How long a batch may fill under load.
const LINGER: Duration = Duration::from_millis(5);
/// A batch above 1/16 of its maximum size indicates load.
const LOAD_FRACTION: usize = 16;
/// Interval between measurements of the queues' depths.
const GAUGE_PERIOD: Duration = Duration::from_secs(15);

/// Destination of a failed message.
struct Destination {
    role: Role,
    attempt: u32,
    reason: String,
}

impl Consumer {
    pub(super) async fn session<H: Handler>(
        self,
        broker: &Broker,
        pool: &pg::Pool,
        handler: &H,
        stop: &CancellationToken,
        failures: &mut u32,
    ) -> Result<(), Error> {
        let service = self.subscriber.service;
        let channel = broker.channel().await?;
        topology::declare(&channel, self.subscriber).await?;
        // The next batch is prefetched while this one is applied.
        channel.basic_qos(self.batch.saturating_mul(2), BasicQosOptions::default()).await?;
        let mut deliveries = channel
            .basic_consume(
                Role::Main.queue_of(service).into(),
                service.into(),
                BasicConsumeOptions::default(),
                FieldTable::default(),
            )
            .await?;
        tracing::info!(queue = Role::Main.queue_of(service), "consuming");
        // Counters exist from the start, so that zero is reported.
        metrics::counter!("messaging_consumed_total", "consumer" => H::NAME).increment(0);
        metrics::counter!("messaging_dead_total").increment(0);
        metrics::counter!("messaging_retried_total").increment(0);
        let mut copies = Copies { broker, channel: None };
        let consumed = async {
            let mut is_under_load = false;
            loop {
                let most = usize::from(self.batch).min(handler.most()).max(1);
                let Some(batch) = Self::collect(&mut deliveries, most, is_under_load, stop).await? else {
                    return Ok(());
                };
                is_under_load = batch.len() > most / LOAD_FRACTION;
                if !self.settle(&mut copies, batch, pool, handler, stop).await? {
                    return Ok(());
                }
                // Not earlier: a session that receives messages and acknowledges none must retry ever more slowly.
                // Otherwise the broker's delivery limit would dead-letter messages that were never handled.
                *failures = 0;
            }
        };
        tokio::select! {
            ended = consumed => ended,
            never = gauge(broker, self.subscriber) => match never {},
        }
    }

    /// Waits for a first message and adds those that are already received. Under load, the batch gets a moment to fill:
    /// fewer and larger transactions process a backlog fastest.
    async fn collect(
        deliveries: &mut lapin::Consumer,
        most: usize,
        is_under_load: bool,
        stop: &CancellationToken,
    ) -> Result<Option<Vec<Delivery>>, Error> {
        let first = tokio::select! {
            () = stop.cancelled() => return Ok(None),
            first = deliveries.next() => first.ok_or(Error::ConsumerEnded)??,
        };
        let deadline = tokio::time::Instant::now() + LINGER;
        let mut batch = vec![first];
        while batch.len() < most {
            let next = match deliveries.next().now_or_never() {
                None if is_under_load => timeout_at(deadline, deliveries.next()).await.ok(),
                next => next,
            };
            let Some(next) = next else { break };
            batch.push(next.ok_or(Error::ConsumerEnded)??);
        }
        Ok(Some(batch))
    }

    /// Applies a batch, publishes copies of failed messages, and acknowledges. If the broker does not accept a copy,
    /// its original is not acknowledged. False when stopped before.
    async fn settle<H: Handler>(
        self,
        copies: &mut Copies<'_>,
        batch: Vec<Delivery>,
        pool: &pg::Pool,
        handler: &H,
        stop: &CancellationToken,
    ) -> Result<bool, Error> {
        let started = Instant::now();
        let (Some(last), total) = (batch.last().map(|last| last.acker.clone()), batch.len()) else {
            return Ok(true);
        };
        let mut events = Vec::with_capacity(total);
        let mut messages = Vec::with_capacity(total);
        let mut failed = Vec::new();
        let mut traces = Vec::with_capacity(total);
        for message in batch {
            match parse(&message.data) {
                Ok(mut event) => {
                    traces.extend(trace::of_message(message.properties.headers().as_ref(), &mut event));
                    events.push(event);
                    messages.push(message);
                }
                Err(reason) => failed.push((dead(attempts(&message), reason), message)),
            }
        }
        failpoint::hit("consumer.before_apply");
        let work = trace::Work::begin(&Role::Main.queue_of(self.subscriber.service), &traces, total);
        let applied = apply(pool, handler, &events, stop).instrument(work.span.clone()).await;
        drop(work);
        let Some(refusals) = applied else { return Ok(false) };
        let mut refused: Vec<Option<Failure>> = messages.iter().map(|_applied| None).collect();
        for refusal in refusals {
            if let Some(slot) = refused.get_mut(refusal.index) {
                *slot = Some(refusal.failure);
            }
        }
        let mut settled = Vec::with_capacity(total);
        for (message, failure) in messages.into_iter().zip(refused) {
            match failure {
                Some(failure) => failed.push((next_place(attempts(&message), &failure), message)),
                None => settled.push(message.acker),
            }
        }
        metrics::counter!("messaging_consumed_total", "consumer" => H::NAME)
            .increment(u64::try_from(settled.len()).unwrap_or_default());
        let (mut stuck, mut is_whole) = (None, true);
        for (place, message) in failed {
            match copies.publish_copy(self.subscriber.service, &place, &message).await {
                Ok(()) => settled.push(message.acker),
                // Another copy would be refused too, and would block later messages: the broker moves the message
                // itself to the dead queue.
                Err(error) if topology::is_refusal(&error) => {
                    let reason = place.reason;
                    tracing::error!(reason, error = %Chain(&error), "RabbitMQ refused the copy of a message; the original is dead-lettered");
                    metrics::counter!("messaging_dead_total").increment(1);
                    message.acker.reject(BasicRejectOptions { requeue: false }).await?;
                    is_whole = false;
                }
                Err(error) => {
                    stuck = Some(error);
                    break;
                }
            }
        }
        failpoint::hit("consumer.before_acknowledge");
        if is_whole && stuck.is_none() {
            last.ack(BasicAckOptions { multiple: true }).await?;
        } else {
            // Closing the channel returns only messages that have no copy: a full retry queue must not use up the
            // deliveries of events that were applied.
            for acker in settled {
                acker.ack(BasicAckOptions::default()).await?;
            }
        }
        if let Some(error) = stuck {
            return Err(error);
        }
        failpoint::hit("consumer.after_acknowledge");
        metrics::histogram!("messaging_batch_seconds", "consumer" => H::NAME).record(started.elapsed());
        Ok(true)
    }
}

/// Parses a message. The error is the reason why it cannot be read.
fn parse(body: &[u8]) -> Result<Envelope, String> {
    match catch_panic_in(|| Envelope::parse(body)) {
        Ok(parsed) => parsed.map_err(|error| error.to_string()),
        Err(panic) => Err(format!("reading the message {panic}")),
    }
}

/// Measures how many messages wait in each of the service's queues.
async fn gauge(broker: &Broker, subscriber: Subscriber) -> Infallible {
    let mut ticks = interval(GAUGE_PERIOD);
    // A channel of its own: the broker closes a channel when a passive declaration names a missing queue.
    let mut channel = None;
    loop {
        ticks.tick().await;
        for queue in queues(subscriber) {
            match depth(broker, &mut channel, &queue.name).await {
                Ok(depth) => {
                    metrics::gauge!("messaging_queue_messages", "queue" => queue.role.label()).set(depth);
                }
                Err(error) => {
                    tracing::debug!(%error, queue = queue.name, "queue depth could not be measured");
                }
            }
        }
    }
}

/// Number of ready messages in a queue. Uses the open channel, or a new one after an error.
async fn depth(broker: &Broker, channel: &mut Option<Channel>, queue: &str) -> Result<u32, Error> {
    let open = match channel.take() {
        Some(open) => open,
        None => broker.channel().await?,
    };
    let depth = topology::depth(&open, queue).await?;
    *channel = Some(open);
    Ok(depth)
}

fn next_place(failed_before: u32, failure: &Failure) -> Destination {
    let attempt = failed_before + 1;
    let reason = failure.to_string();
    if matches!(failure, Failure::Reject(_)) || attempt > MAX_ATTEMPTS {
        return dead(failed_before, reason);
    }
    let delay = usize::try_from(failed_before).ok().and_then(|index| RETRY_DELAYS.get(index));
    let role = delay.or(RETRY_DELAYS.last()).map_or(Role::Dead, |(name, _)| Role::Retry(name));
    Destination { role, attempt, reason }
}

fn dead(failed_before: u32, reason: String) -> Destination {
    Destination { role: Role::Dead, attempt: failed_before + 1, reason }
}

/// The attempts in the message's header. A foreign publisher's number affects only how soon its message is
/// dead-lettered.
fn attempts(message: &Delivery) -> u32 {
    let headers = message.properties.headers().as_ref();
    headers.map_or(0, |known| headers::number(known, headers::ATTEMPT)).min(MAX_ATTEMPTS)
}

/// Publishes copies of failed messages on its own channel. A copy that the broker refuses closes only this channel, so
/// that applied messages are still acknowledged.
struct Copies<'a> {
    broker: &'a Broker,
    /// `None` before the first copy and after an error.
    channel: Option<Channel>,
}

impl Copies<'_> {
    /// Publishes a copy to the retry or dead queue and returns when the broker has confirmed it. Only then may the original
    /// be acknowledged. A crash in between leaves both, and the inbox ignores the second one.
    async fn publish_copy(
        &mut self,
        service: &str,
        place: &Destination,
        message: &Delivery,
    ) -> Result<(), Error> {
        let (queue, attempt) = (place.role.queue_of(service), place.attempt);
        let (properties, mut written) = properties::of_copy(&message.properties);
        headers::set_number(&mut written, headers::ATTEMPT, attempt);
        let from = Role::Main.queue_of(service);
        headers::set_cause(&mut written, &place.reason, &from, Some(OffsetDateTime::now_utc()));
        let channel = match self.channel.take() {
            Some(open) => open,
            None => self.open().await?,
        };
        failpoint::hit("consumer.before_send_on");
        let published =
            broker::publish(&channel, &queue, &message.data, properties.with_headers(written)).await?;
        broker::confirmed(published, &queue).await?;
        self.channel = Some(channel);
        failpoint::hit("consumer.after_send_on");
        if place.role == Role::Dead {
            tracing::error!(queue, reason = place.reason, "message failed and was dead-lettered");
            metrics::counter!("messaging_dead_total").increment(1);
        } else {
            tracing::warn!(queue, reason = place.reason, attempt, "message failed; will retry");
            metrics::counter!("messaging_retried_total").increment(1);
        }
        Ok(())
    }

    async fn open(&self) -> Result<Channel, Error> {
        let channel = self.broker.channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(channel)
    }
}
