//! One dead-lettered message.

use domain::Instant;
use domain::events::Envelope;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::headers::{self, ATTEMPT, REQUEUED};
use crate::inbox;
use crate::properties::{self, ORIGINAL};

/// Bytes of a hash that identifies a message without an id.
const SHORT_HASH: usize = 8;

/// A dead-lettered message with the reason.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// The event's id, or a hash of the content when the message has none.
    pub id: String,
    /// The event's type, if it can be read.
    pub kind: Option<String>,
    /// The event's subject, if it can be read.
    pub subject: Option<String>,
    /// The reason why it was dead-lettered.
    pub reason: String,
    /// Number of failed attempts.
    pub attempts: u32,
    /// When it was dead-lettered, in UTC.
    pub dead_lettered_at: Option<OffsetDateTime>,
    /// The queue that it was consumed from.
    pub from: String,
    /// How often it was requeued.
    pub requeued: u32,
    /// When the event was published, or, if that cannot be read, when it was dead-lettered.
    pub published_at: Option<OffsetDateTime>,
    /// The message as it was published.
    pub body: Vec<u8>,
    properties: BasicProperties,
}

/// Reason, source queue and time of a dead-lettering.
struct Cause {
    reason: String,
    from: String,
    at: Option<OffsetDateTime>,
}

impl DeadLetter {
    pub(super) fn of(message: Delivery) -> Self {
        let envelope = Envelope::parse(&message.data).ok();
        let properties = message.properties;
        let written = properties.headers().clone().unwrap_or_default();
        let known_as = properties.message_id().as_ref().map(|id| id.as_str().to_owned());
        let kind = properties.kind().as_ref().map(|kind| kind.as_str().to_owned());
        let cause = cause(&written);
        Self {
            id: known_as
                .or_else(|| Some(envelope.as_ref()?.id.to_string()))
                .unwrap_or_else(|| named_after(&message.data)),
            kind: kind.or_else(|| Some(envelope.as_ref()?.kind.clone())),
            published_at: envelope.as_ref().map(|envelope| envelope.time).or(cause.at),
            subject: envelope.map(|envelope| envelope.subject),
            reason: cause.reason,
            attempts: headers::number(&written, ATTEMPT),
            dead_lettered_at: cause.at,
            from: cause.from,
            requeued: headers::number(&written, REQUEUED),
            body: message.data,
            properties,
        }
    }

    /// Whether the inbox may have deleted the record of this event, so that a requeued copy could be applied a second
    /// time.
    pub(super) fn is_past_retention(&self, now: OffsetDateTime) -> bool {
        self.published_at.is_some_and(|at| now - at > inbox::CERTAIN)
    }

    /// The properties of the requeued message: the attempts are reset, the reason is kept. RabbitMQ's own history is
    /// removed: RabbitMQ would detect a cycle and drop the message.
    pub(super) fn requeued_properties(&self) -> BasicProperties {
        let (properties, mut written) = properties::of_copy(&self.properties);
        headers::set_cause(&mut written, &self.reason, &self.from, self.dead_lettered_at);
        headers::set_number(&mut written, REQUEUED, self.requeued.saturating_add(1));
        properties.with_headers(written)
    }

    /// All properties and the body, as JSON.
    pub fn to_json(&self) -> Value {
        let written = self.properties.headers().clone().unwrap_or_default();
        let shown = |value| properties::shown(value, usize::MAX);
        let headers = written.inner().iter().filter(|(name, _)| name.as_str() != ORIGINAL);
        let headers: Map<String, Value> =
            headers.map(|(name, value)| (name.to_string(), shown(value))).collect();
        let body = serde_json::from_slice::<Value>(&self.body)
            .unwrap_or_else(|_no_json| String::from_utf8_lossy(&self.body).into());
        json!({
            "id": self.id,
            "type": self.kind,
            "subject": self.subject,
            "reason": self.reason,
            "attempts": self.attempts,
            "dead_lettered_at": self.dead_lettered_at.and_then(|at| at.format(&Rfc3339).ok()),
            "from": self.from,
            "requeued": self.requeued,
            "original": properties::original(&self.properties),
            "headers": headers,
            "body": body,
        })
    }
}

/// The broker's reason if it moved the message itself, which is then its latest move; otherwise ours.
fn cause(written: &FieldTable) -> Cause {
    moved(written).unwrap_or_else(|| Cause {
        reason: headers::text(written, headers::REASON).unwrap_or_else(|| "not known".to_owned()),
        from: headers::text(written, headers::QUEUE).unwrap_or_else(|| "not known".to_owned()),
        at: headers::text(written, headers::AT).and_then(|at| at.parse::<Instant>().ok()).map(Into::into),
    })
}

/// The broker's latest move. Our copies carry no such header: a message that has one was moved after our copy.
fn moved(written: &FieldTable) -> Option<Cause> {
    let AMQPValue::FieldArray(deaths) = written.inner().get("x-death")? else { return None };
    let AMQPValue::FieldTable(latest) = deaths.as_slice().first()? else { return None };
    let reason = headers::text(latest, "reason")?;
    let at = match latest.inner().get("time") {
        Some(AMQPValue::Timestamp(seconds)) => {
            i64::try_from(*seconds).ok().and_then(|it| OffsetDateTime::from_unix_timestamp(it).ok())
        }
        _ => None,
    };
    let reason = match reason.as_str() {
        "delivery_limit" => "its consumer failed too often while handling it (delivery_limit)".to_owned(),
        "expired" => "its publisher's expiration passed before it was consumed (expired)".to_owned(),
        "rejected" => "RabbitMQ refused its copy; the consumer's log says why (rejected)".to_owned(),
        other => format!("dead-lettered by RabbitMQ ({other})"),
    };
    Some(Cause { reason, from: headers::text(latest, "queue").unwrap_or_default(), at })
}

fn named_after(body: &[u8]) -> String {
    let hash = Sha256::digest(body);
    format!("sha256-{}", hex::encode(hash.get(..SHORT_HASH).unwrap_or_default()))
}
