//! Every fact becomes a message and a delivery for each subscription that wants it.

use bytes::Bytes;
use domain::events::Envelope;
use messaging::{Failure, Handler};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use telemetry::TraceContext;
use time::Duration;

use crate::dispatch::{Dispatcher, Job, LEASE_MARGIN_SECONDS};
use crate::domain::{pattern, payload, settings};
use crate::state::State;
use crate::store::fan_out::{self, Interest, Message, NewDelivery};

/// Keys of order that are longer are told by their hash.
const MAX_KEY: usize = 200;

/// Takes facts in.
#[derive(Debug)]
pub(crate) struct FanOut {
    pub(crate) state: State,
    pub(crate) dispatcher: Dispatcher,
}

impl Handler for FanOut {
    const NAME: &'static str = "webhooks";
    type Effect = Vec<Job>;

    async fn handle(&self, conn: &mut pg::Connection, events: &[&Envelope]) -> Result<Vec<Job>, Failure> {
        let interests = fan_out::interests(conn).await?;
        let now = self.state.now();
        let (mut messages, mut deliveries, mut jobs) = (Vec::new(), Vec::new(), Vec::new());
        for event in events {
            let message = message(event)?;
            let body = Bytes::from(message.body.clone());
            let trace = TraceContext::read(message.traceparent.as_deref(), message.tracestate.as_deref());
            let user = user_of(event);
            for interest in interests.iter().filter(|it| wants(it, event, user.as_deref())) {
                let id = self.state.ids.next_id();
                let skipped = (!interest.is_active).then(|| {
                    interest
                        .disabled_reason
                        .clone()
                        .unwrap_or_else(|| "the subscription is paused".to_owned())
                });
                let ordering_key = interest.ordered.then(|| key_of(interest, event));
                // Whether an earlier one of its key is under way only the scanner sees.
                let is_free = skipped.is_none() && ordering_key.is_none();
                let slot = if is_free { self.dispatcher.load().take(interest.id) } else { None };
                let lease = Duration::seconds((interest.timeout_seconds + LEASE_MARGIN_SECONDS).into());
                let leased_until = slot.is_some().then(|| now + lease);
                if let (Some(slot), Some(leased_until)) = (slot, leased_until) {
                    jobs.push(Job {
                        delivery_id: id,
                        subscription_id: interest.id,
                        message_id: message.id,
                        body: body.clone(),
                        trace: trace.clone(),
                        attempts: 0,
                        attempts_before: 0,
                        claim: 1,
                        leased_until,
                        slot,
                    });
                }
                deliveries.push(NewDelivery {
                    id,
                    message_id: message.id,
                    subscription_id: interest.id,
                    kind: message.kind.clone(),
                    ordering_key,
                    leased_until,
                    skipped,
                });
            }
            messages.push(message);
        }
        fan_out::insert(conn, &messages, &deliveries, now).await?;
        Ok(jobs)
    }

    async fn committed(&self, jobs: Vec<Job>) {
        for job in jobs {
            self.dispatcher.hand_over(job);
        }
    }
}

fn message(event: &Envelope) -> Result<Message, Failure> {
    let body = payload::standard(&event.kind, event.time, &event.data);
    let body = body.map_err(|error| Failure::Reject(error.to_string()))?;
    Ok(Message {
        id: event.id.as_uuid(),
        kind: event.kind.clone(),
        subject: event.subject.clone(),
        body,
        traceparent: event.traceparent.clone(),
        tracestate: event.tracestate.clone(),
        occurred_at: event.time,
    })
}

fn key_of(interest: &Interest, event: &Envelope) -> String {
    let data = serde_json::from_str(event.data.get()).unwrap_or_default();
    let key = settings::ordering_key(interest.ordering_key.as_deref(), &data, &event.subject);
    // An index holds it.
    if key.len() > MAX_KEY { hex::encode(Sha256::digest(key.as_bytes())) } else { key }
}

/// Whose thing the event speaks of, where it says so.
fn user_of(event: &Envelope) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        user_id: Option<String>,
    }
    serde_json::from_str::<Named>(event.data.get()).ok()?.user_id
}

/// A subscription of a user is told of that user's things only; one of a service's credential of everything.
fn wants(interest: &Interest, event: &Envelope, user: Option<&str>) -> bool {
    let is_theirs = interest.owner.is_none() || interest.owner.as_deref() == user;
    is_theirs && interest.events.iter().any(|wanted| pattern::covers(wanted, &event.kind))
}
