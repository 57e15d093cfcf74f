//! Every fact becomes a message and a delivery for each subscription that wants it.

use domain::events::Envelope;
use messaging::{Failure, Handler};
use serde::Serialize;
use serde_json::value::RawValue;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::dispatch::{Dispatcher, Job, LEASE_MARGIN_SECONDS};
use crate::domain::pattern;
use crate::state::State;
use crate::store::fan_out::{self, Message, NewDelivery};

/// Takes facts in.
#[derive(Debug)]
pub(crate) struct FanOut {
    pub(crate) state: State,
    pub(crate) dispatcher: Dispatcher,
}

/// The body of Standard Webhooks 1.0: what happened, when, and the fact itself.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(with = "time::serde::rfc3339")]
    timestamp: OffsetDateTime,
    data: &'a RawValue,
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
            let wanted = interests
                .iter()
                .filter(|it| it.events.iter().any(|wanted| pattern::covers(wanted, &event.kind)));
            for interest in wanted {
                let id = self.state.ids.next_id();
                let lease = Duration::seconds((interest.timeout_seconds + LEASE_MARGIN_SECONDS).into());
                let slot = self.dispatcher.load().take(interest.id);
                let leased_until = slot.is_some().then(|| now + lease);
                if let (Some(slot), Some(leased_until)) = (slot, leased_until) {
                    jobs.push(Job {
                        delivery_id: id,
                        subscription_id: interest.id,
                        message_id: message.id,
                        body: message.body.clone().into(),
                        attempts: 0,
                        claim: 1,
                        leased_until,
                        slot,
                    });
                }
                deliveries.push(new_delivery(id, &message, interest.id, leased_until));
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
    let body = Body { kind: &event.kind, timestamp: event.time, data: &event.data };
    let body = serde_json::to_vec(&body).map_err(|error| Failure::Reject(error.to_string()))?;
    Ok(Message {
        id: event.id.as_uuid(),
        kind: event.kind.clone(),
        subject: event.subject.clone(),
        body,
        occurred_at: event.time,
    })
}

fn new_delivery(
    id: Uuid,
    message: &Message,
    subscription_id: Uuid,
    leased_until: Option<OffsetDateTime>,
) -> NewDelivery {
    NewDelivery { id, message_id: message.id, subscription_id, kind: message.kind.clone(), leased_until }
}
