//! Events that do not come from our own services.

use domain::events::CATALOGUE;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use telemetry::TraceContext;
use time::OffsetDateTime;
use uuid::Uuid;

use super::fan_out::{Audience, Event};
use crate::domain::delivery::Trigger;
use crate::domain::{pattern, payload};
use crate::state::State;
use crate::store::fan_out::{self, Message, NewDelivery};
use crate::store::subscriptions::Subscription;

/// The type of an event that only tests a receiver.
pub(crate) const TEST: &str = "webhook.test";

/// The number of deliveries of an ingested event, by what becomes of them.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) id: Uuid,
    pub(crate) deliveries: usize,
    pub(crate) skipped: usize,
    pub(crate) filtered: usize,
}

/// An event of an outside producer.
#[derive(Debug)]
pub(crate) struct OutsideEvent<'a> {
    pub(crate) kind: &'a str,
    pub(crate) subject: Option<&'a str>,
    pub(crate) time: Option<OffsetDateTime>,
    pub(crate) data: &'a RawValue,
    /// The user it belongs to: that of a user-scoped credential.
    pub(crate) user: Option<&'a str>,
}

/// Why an event could not be ingested.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    #[error(transparent)]
    Database(#[from] pg::Error),
    #[error("the event cannot be written as a body")]
    Body(#[from] serde_json::Error),
}

/// Whether outside producers may publish this type: it matches a configured pattern and is none of the catalogue.
pub(crate) fn may_come_from_outside(state: &State, kind: &str) -> bool {
    let is_ours = CATALOGUE.iter().any(|event| event.name == kind);
    !is_ours && state.outside_types.iter().any(|allowed| pattern::covers(allowed, kind))
}

/// Ingests an event: message and deliveries, in the caller's transaction.
///
/// # Errors
/// The database's.
pub(crate) async fn publish(
    conn: &mut pg::Connection,
    state: &State,
    event: &OutsideEvent<'_>,
) -> Result<Published, PublishError> {
    let now = state.now();
    let id = state.ids.next_id();
    let subject = event.subject.map_or_else(|| id.to_string(), str::to_owned);
    let ingested = Event {
        id,
        kind: event.kind,
        subject: &subject,
        time: event.time.unwrap_or(now),
        data: event.data,
        traceparent: None,
        tracestate: None,
        user: event.user,
    };
    let trace = TraceContext::current();
    let plan = Audience::read(conn).await?.plan(state, &ingested.traced(trace.as_ref()))?;
    let skipped = plan.deliveries.iter().filter(|it| it.skipped.is_some()).count();
    let published =
        Published { id, deliveries: plan.deliveries.len() - skipped, skipped, filtered: plan.filtered.len() };
    fan_out::insert(conn, &[plan], now).await?;
    Ok(published)
}

/// Sends an event that tests a receiver, to that subscription only. Returns the delivery's id.
///
/// # Errors
/// The database's.
pub(crate) async fn test(
    conn: &mut pg::Connection,
    state: &State,
    subscription: &Subscription,
) -> Result<Uuid, PublishError> {
    let now = state.now();
    let (message_id, id) = (state.ids.next_id(), state.ids.next_id());
    let subscription_id = subscription.id();
    let trace = TraceContext::current();
    let data = json!({ "webhook_id": subscription_id, "message": "This event tests your receiver." });
    let message = Message {
        id: message_id,
        kind: TEST.to_owned(),
        subject: subscription_id.to_string(),
        body: payload::standard(TEST, now, &to_raw_value(&data)?)?.into(),
        traceparent: trace.as_ref().map(|it| it.traceparent().to_owned()),
        tracestate: trace.as_ref().and_then(|it| it.tracestate().map(str::to_owned)),
        occurred_at: now,
    };
    let delivery = NewDelivery {
        id,
        message_id,
        subscription_id: subscription_id.as_uuid(),
        kind: TEST.to_owned(),
        timeout_seconds: subscription.timeout_seconds,
        is_limited: true,
        ordering_key: None,
        trigger: Trigger::Test,
        leased_until: None,
        skipped: None,
    };
    let plan = super::fan_out::Plan { message, deliveries: vec![delivery], filtered: Vec::new() };
    fan_out::insert(conn, &[plan], now).await?;
    Ok(id)
}
