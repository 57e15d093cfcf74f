//! Plans the deliveries of an event: the one place that decides which subscriptions get it.

use std::cell::OnceCell;

use domain::events::Envelope;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use telemetry::TraceContext;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::delivery::Trigger;
use crate::domain::filter::Filter;
use crate::domain::json::{Json, Names, Unreadable};
use crate::domain::{pattern, payload, settings};
use crate::state::State;
pub(crate) use crate::store::fan_out::Plan;
use crate::store::fan_out::{self, Interest, Message, NewDelivery};

/// The longest ordering key. Longer keys are replaced by their hash, because they are indexed, and so are keys with U+0000,
/// which Postgres cannot store.
const MAX_KEY: usize = 200;
/// Types of events about subscriptions begin so. Their data name the subscription.
const ABOUT_US: &str = "webhook.";

/// An event to deliver.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    pub(crate) id: Uuid,
    pub(crate) kind: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) time: OffsetDateTime,
    pub(crate) data: &'a RawValue,
    pub(crate) traceparent: Option<&'a str>,
    pub(crate) tracestate: Option<&'a str>,
    /// The user it belongs to, if that is known without the data.
    pub(crate) user: Option<&'a str>,
}

/// All subscriptions with their filters.
#[derive(Debug)]
pub(crate) struct Audience {
    interests: Vec<(Interest, Option<Result<Filter, pg::Error>>)>,
}

impl<'a> From<&'a Envelope> for Event<'a> {
    fn from(event: &'a Envelope) -> Self {
        Self {
            id: event.id.as_uuid(),
            kind: &event.kind,
            subject: &event.subject,
            time: event.time,
            data: &event.data,
            traceparent: event.traceparent.as_deref(),
            tracestate: event.tracestate.as_deref(),
            user: None,
        }
    }
}

impl<'a> Event<'a> {
    /// Adds the trace if the event has none.
    pub(crate) fn traced(self, trace: Option<&'a TraceContext>) -> Self {
        match trace {
            Some(trace) if self.traceparent.is_none() => {
                Self { traceparent: Some(trace.traceparent()), tracestate: trace.tracestate(), ..self }
            }
            _ => self,
        }
    }
}

impl Audience {
    /// Reads all subscriptions.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn read(conn: &mut pg::Connection) -> Result<Self, pg::Error> {
        let interests = fan_out::interests(conn).await?;
        Ok(Self { interests: interests.into_iter().map(with_filter).collect() })
    }

    /// Plans the deliveries of an event. None of them is leased yet.
    ///
    /// # Errors
    /// When the event cannot be written as a body.
    pub(crate) fn plan(&self, state: &State, event: &Event<'_>) -> Result<Plan, serde_json::Error> {
        let (names, data) = (Names::read(event.data), Data::new(event.data));
        let (mut deliveries, mut filtered) = (Vec::new(), Vec::new());
        for (interest, filter) in self.interests.iter().filter(|(interest, _)| wants(interest, event, &names))
        {
            let verdict = match filter {
                Some(Ok(filter)) => data
                    .read()
                    .map(|data| filter.admits(data))
                    .map_err(|unreadable| format!("the filter cannot read the event's data: {unreadable}")),
                Some(Err(_reported)) => Err("the subscription's filter cannot be read".to_owned()),
                None => Ok(true),
            };
            if verdict == Ok(false) {
                filtered.push(interest.id);
                continue;
            }
            let skipped = if interest.is_active {
                verdict.err()
            } else {
                let reason = interest.disabled_reason.as_deref();
                Some(reason.unwrap_or("the subscription is paused").to_owned())
            };
            deliveries.push(NewDelivery {
                id: state.ids.next_id(),
                message_id: event.id,
                subscription_id: interest.id,
                kind: event.kind.to_owned(),
                timeout_seconds: interest.timeout_seconds,
                is_limited: interest.is_limited(),
                ordering_key: interest.ordered.then(|| key_of(interest, &data, event.subject)),
                trigger: Trigger::Auto,
                leased_until: None,
                skipped,
            });
        }
        let message = Message {
            id: event.id,
            kind: event.kind.to_owned(),
            subject: event.subject.to_owned(),
            body: payload::standard(event.kind, event.time, event.data)?.into(),
            traceparent: event.traceparent.map(str::to_owned),
            tracestate: event.tracestate.map(str::to_owned),
            occurred_at: event.time,
        };
        Ok(Plan { message, deliveries, filtered })
    }
}

/// Parses a subscription's filter. Deliveries of a subscription whose filter cannot be read are skipped with that reason and
/// can be recovered when the filter is repaired.
fn with_filter(mut interest: Interest) -> (Interest, Option<Result<Filter, pg::Error>>) {
    let filter = interest.filter.take().map(|filter| {
        Filter::read(&filter.0)
            .map_err(|_mistake| pg::Error::corrupt("webhook_subscriptions", interest.id, "filter"))
    });
    (interest, filter)
}

/// An event's data, parsed when the first filter or ordering key needs them.
struct Data<'a> {
    text: &'a RawValue,
    read: OnceCell<Result<Json, Unreadable>>,
}

impl<'a> Data<'a> {
    const fn new(text: &'a RawValue) -> Self {
        Self { text, read: OnceCell::new() }
    }

    fn read(&self) -> Result<&Json, Unreadable> {
        self.read.get_or_init(|| Json::read(self.text)).as_ref().map_err(|unreadable| *unreadable)
    }
}

/// A subscription of a user gets that user's events only, one of a service credential gets all events, and none gets events
/// about itself.
fn wants(interest: &Interest, event: &Event<'_>, names: &Names) -> bool {
    let user = event.user.or(names.user_id.as_deref());
    let is_theirs = interest.owner.is_none() || interest.owner.as_deref() == user;
    let about = names.subscription_id.as_deref().filter(|_| event.kind.starts_with(ABOUT_US));
    let is_itself = about.is_some_and(|id| id.parse() == Ok(interest.id));
    is_theirs && !is_itself && interest.events.iter().any(|wanted| pattern::covers(wanted, event.kind))
}

/// The ordering key of an event, or its hash if an index or a text column cannot hold the key.
fn key_of(interest: &Interest, data: &Data<'_>, subject: &str) -> String {
    let pointer = interest.ordering_key.as_deref();
    let data = pointer.and_then(|_| data.read().ok());
    let key = settings::ordering_key(pointer, data, subject);
    if key.len() > MAX_KEY || key.contains('\0') { hex::encode(Sha256::digest(key.as_bytes())) } else { key }
}
