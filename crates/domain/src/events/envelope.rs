//! The CloudEvents 1.0 envelope, structured mode
//! (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md>).

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::Event;
use crate::ids::EventId;

/// Address of the descriptions of event types. The type is appended as the fragment.
const SCHEMA_BASE: &str = "https://github.com/zaplecze/zaplecze/blob/main/docs/reference/EVENTS.md#";

/// Maximum length of an event type in bytes: it is the routing key (AMQP 0-9-1 §4.2.5.3, short strings).
const MAX_TYPE_BYTES: usize = 255;
/// Maximum length of another attribute in bytes.
const MAX_ATTRIBUTE_BYTES: usize = 1024;

/// A published event: producer, subject, time and the data as the producer wrote them.
///
/// `data` remains raw, so that a relay, a store or a dispatcher passes on exactly the producer's bytes.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Envelope {
    /// Always `1.0`.
    pub specversion: String,
    /// Unique for each event. A consumer ignores an id that it has processed.
    pub id: EventId,
    /// The producer, for example `/allegro-backup`.
    pub source: String,
    /// The event type, for example `order.created`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The id of the affected object.
    pub subject: String,
    /// When it happened.
    #[serde(with = "crate::instant")]
    pub time: OffsetDateTime,
    /// Always `application/json`.
    pub datacontenttype: String,
    /// URL of the description of the data.
    pub dataschema: String,
    /// The ordering key: events with the same key are published in order.
    pub partitionkey: String,
    /// The version of the subject. A consumer that needs order compares it.
    pub sequence: i64,
    /// Identifies everything that was done for one request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlationid: Option<String>,
    /// W3C trace context of the producer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Vendor-specific trace state (W3C `tracestate`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
    /// The event's data.
    #[schema(value_type = Object)]
    pub data: Box<RawValue>,
}

/// The attributes of an event that its data does not determine.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// A new id.
    pub id: EventId,
    /// When it happened.
    pub time: OffsetDateTime,
    /// Identifies everything that was done for one request.
    pub correlation_id: Option<String>,
}

/// The reason why an envelope cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// Not JSON, or not the shape of an envelope or of its data.
    #[error("not a well-formed event: {0}")]
    Malformed(#[from] serde_json::Error),
    /// An unsupported CloudEvents version.
    #[error("specversion {0:?} is not 1.0")]
    SpecVersion(String),
    /// An attribute that no consumer can store.
    #[error("the event's {attribute} {rule}")]
    Attribute {
        /// The attribute's name.
        attribute: &'static str,
        /// The violated rule.
        rule: AttributeRule,
    },
    /// The data was requested as another type than it is.
    #[error("the event is {actual:?}, not {expected:?}")]
    OtherType {
        /// The requested type.
        expected: &'static str,
        /// The actual type.
        actual: String,
    },
}

/// A rule for text attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AttributeRule {
    /// CloudEvents 1.0.2, REQUIRED attributes, and `subject`.
    #[error("must not be empty")]
    NotEmpty,
    /// Maximum length in bytes of UTF-8.
    #[error("must be at most {0} bytes long")]
    AtMost(usize),
    /// CloudEvents 1.0.2, type system: no control characters. Only U+0000 is rejected, because Postgres cannot store
    /// it.
    #[error("must not contain the character U+0000")]
    NoNul,
}

impl Envelope {
    /// Wraps an event.
    ///
    /// # Errors
    /// The event cannot be serialized.
    pub fn wrap<E: Event>(event: &E, new: NewEvent) -> Result<Self, serde_json::Error> {
        Ok(Self {
            specversion: "1.0".to_owned(),
            id: new.id,
            source: E::SOURCE.to_owned(),
            kind: E::TYPE.to_owned(),
            subject: event.subject(),
            time: new.time,
            datacontenttype: "application/json".to_owned(),
            dataschema: format!("{SCHEMA_BASE}{}", E::TYPE.replace('.', "")),
            partitionkey: event.partition_key(),
            sequence: event.sequence(),
            correlationid: new.correlation_id,
            traceparent: None,
            tracestate: None,
            data: serde_json::value::to_raw_value(event)?,
        })
    }

    /// Parses an envelope in structured mode. The trace is not checked: an event with an invalid trace is accepted.
    ///
    /// # Errors
    /// The bytes are not a valid CloudEvents 1.0 envelope, or an attribute is empty, too long or contains U+0000.
    pub fn parse(body: &[u8]) -> Result<Self, EnvelopeError> {
        let envelope: Self = serde_json::from_slice(body)?;
        if envelope.specversion != "1.0" {
            return Err(EnvelopeError::SpecVersion(envelope.specversion));
        }
        envelope.check_attributes()?;
        Ok(envelope)
    }

    fn check_attributes(&self) -> Result<(), EnvelopeError> {
        let correlation_id = self.correlationid.iter().map(|id| ("correlationid", id, MAX_ATTRIBUTE_BYTES));
        let required = [
            ("type", &self.kind, MAX_TYPE_BYTES),
            ("source", &self.source, MAX_ATTRIBUTE_BYTES),
            ("subject", &self.subject, MAX_ATTRIBUTE_BYTES),
            ("partitionkey", &self.partitionkey, MAX_ATTRIBUTE_BYTES),
            ("datacontenttype", &self.datacontenttype, MAX_ATTRIBUTE_BYTES),
            ("dataschema", &self.dataschema, MAX_ATTRIBUTE_BYTES),
        ];
        for (attribute, text, limit) in required.into_iter().chain(correlation_id) {
            let rule = if text.is_empty() {
                AttributeRule::NotEmpty
            } else if text.len() > limit {
                AttributeRule::AtMost(limit)
            } else if text.contains('\0') {
                AttributeRule::NoNul
            } else {
                continue;
            };
            return Err(EnvelopeError::Attribute { attribute, rule });
        }
        Ok(())
    }

    /// Parses the data as an event of type `E`.
    ///
    /// # Errors
    /// The envelope has another type, or its data has another shape.
    pub fn open<E: Event>(&self) -> Result<E, EnvelopeError> {
        if self.kind != E::TYPE {
            return Err(EnvelopeError::OtherType { expected: E::TYPE, actual: self.kind.clone() });
        }
        Ok(serde_json::from_str(self.data.get())?)
    }
}
