//! One life of the consumer's channel: collect a batch, apply it, set aside what failed, acknowledge.

use std::time::Instant;

use domain::events::Envelope;
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{BasicProperties, Channel};
use tokio::time::{timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::apply::apply;
use super::{Consumer, Failure, Handler};
use crate::topology::{Queues, RETRY_DELAYS};
use crate::{Broker, Error, broker};

/// How often a fact has failed so far.
const ATTEMPT_HEADER: &str = "x-zaplecze-attempt";
/// Why it was sent on.
const REASON_HEADER: &str = "x-zaplecze-reason";
/// After the three delays, the longest once and again; then a fact is set aside.
const MAX_ATTEMPTS: usize = 5;

/// Where a message that failed goes.
struct SentOn {
    queue: String,
    is_dead: bool,
    attempt: usize,
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
        let queues = Queues::of(self.service);
        let channel = broker.channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        queues.declare(&channel, self.bindings).await?;
        // The next batch is on its way while this one is applied.
        channel.basic_qos(self.batch.saturating_mul(2), BasicQosOptions::default()).await?;
        let mut deliveries = channel
            .basic_consume(
                queues.main.as_str().into(),
                self.service.into(),
                BasicConsumeOptions::default(),
                FieldTable::default(),
            )
            .await?;
        *failures = 0;
        tracing::info!(queue = queues.main, "consuming");
        loop {
            let Some(batch) = self.collect(&mut deliveries, stop).await? else { return Ok(()) };
            if !self.settle(&channel, &queues, batch, pool, handler, stop).await? {
                return Ok(());
            }
        }
    }

    /// Waits for a first message, then for more until the batch is full or the linger is over.
    async fn collect(
        self,
        deliveries: &mut lapin::Consumer,
        stop: &CancellationToken,
    ) -> Result<Option<Vec<Delivery>>, Error> {
        let first = tokio::select! {
            () = stop.cancelled() => return Ok(None),
            first = deliveries.next() => first.ok_or(Error::ConsumerEnded)??,
        };
        let deadline = tokio::time::Instant::now() + self.linger;
        let mut batch = vec![first];
        while batch.len() < usize::from(self.batch) {
            match timeout_at(deadline, deliveries.next()).await {
                Ok(next) => batch.push(next.ok_or(Error::ConsumerEnded)??),
                Err(_elapsed) => break,
            }
        }
        Ok(Some(batch))
    }

    /// Applies a batch, sends on what failed, and acknowledges it as a whole. False when told to stop before.
    async fn settle<H: Handler>(
        self,
        channel: &Channel,
        queues: &Queues,
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
        for message in batch {
            match Envelope::parse(&message.data) {
                Ok(event) => {
                    events.push(event);
                    messages.push(message);
                }
                Err(error) => {
                    failed.push((dead(queues, attempts(&message), error.to_string()), message));
                }
            }
        }
        let Some(refusals) = apply(pool, handler, &events, stop).await else { return Ok(false) };
        let mut refused: Vec<Option<Failure>> = messages.iter().map(|_applied| None).collect();
        for refusal in refusals {
            if let Some(slot) = refused.get_mut(refusal.index) {
                *slot = Some(refusal.failure);
            }
        }
        for (message, failure) in messages.into_iter().zip(refused) {
            if let Some(failure) = failure {
                failed.push((next_place(queues, attempts(&message), &failure), message));
            }
        }
        let applied = total - failed.len();
        for (place, message) in failed {
            send_on(channel, &place, &message).await?;
        }
        last.ack(BasicAckOptions { multiple: true }).await?;
        metrics::counter!("messaging_consumed_total", "consumer" => H::NAME)
            .increment(u64::try_from(applied).unwrap_or_default());
        metrics::histogram!("messaging_batch_seconds", "consumer" => H::NAME).record(started.elapsed());
        Ok(true)
    }
}

fn next_place(queues: &Queues, failed_before: usize, failure: &Failure) -> SentOn {
    let attempt = failed_before + 1;
    let reason = failure.to_string();
    if matches!(failure, Failure::Reject(_)) || attempt > MAX_ATTEMPTS {
        return dead(queues, failed_before, reason);
    }
    let delay = RETRY_DELAYS.get(attempt - 1).or(RETRY_DELAYS.last()).map_or("10m", |(name, _)| name);
    SentOn { queue: queues.retry(delay), is_dead: false, attempt, reason }
}

fn dead(queues: &Queues, failed_before: usize, reason: String) -> SentOn {
    SentOn { queue: queues.dead.clone(), is_dead: true, attempt: failed_before + 1, reason }
}

fn attempts(message: &Delivery) -> usize {
    let headers = message.properties.headers().as_ref();
    match headers.and_then(|headers| headers.inner().get(ATTEMPT_HEADER)) {
        Some(AMQPValue::LongInt(attempt)) => usize::try_from(*attempt).unwrap_or_default(),
        Some(AMQPValue::LongLongInt(attempt)) => usize::try_from(*attempt).unwrap_or_default(),
        _ => 0,
    }
}

/// Publishes a copy where it waits or rests, and returns when the broker has it: only then may the original be
/// acknowledged. Dying in between leaves both, and the inbox makes that harmless.
async fn send_on(channel: &Channel, place: &SentOn, message: &Delivery) -> Result<(), Error> {
    let mut headers = message.properties.headers().clone().unwrap_or_default();
    let attempt = i32::try_from(place.attempt).unwrap_or(i32::MAX);
    headers.insert(ATTEMPT_HEADER.into(), AMQPValue::LongInt(attempt));
    headers.insert(REASON_HEADER.into(), AMQPValue::LongString(LongString::from(place.reason.as_bytes())));
    let properties: BasicProperties = message.properties.clone().with_headers(headers);
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let published = channel
        .basic_publish("".into(), place.queue.as_str().into(), options, &message.data, properties)
        .await?;
    let confirmation =
        timeout(broker::PATIENCE, published).await.map_err(|_elapsed| Error::Timeout(broker::PATIENCE))??;
    if !confirmation.is_ack() || confirmation.take_message().is_some() {
        return Err(Error::NotTaken(place.queue.clone()));
    }
    if place.is_dead {
        tracing::error!(
            queue = place.queue,
            reason = place.reason,
            "a fact cannot be applied and was set aside"
        );
        metrics::counter!("messaging_dead_total").increment(1);
    } else {
        tracing::warn!(queue = place.queue, reason = place.reason, attempt, "a fact failed and comes again");
        metrics::counter!("messaging_retried_total").increment(1);
    }
    Ok(())
}
