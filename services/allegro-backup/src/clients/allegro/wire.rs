//! Allegro's answers, as far as they are read. Unknown fields are let pass: new ones may come at any time.

use allegro::JournalEvent;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::AllegroError;
use crate::domain::journal::{Event, NAMELESS};

/// The documentation shows numbers as text, live answers are numbers: both are read.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u32),
        Text(String),
    }
    match Either::deserialize(deserializer)? {
        Either::Number(number) => Ok(number),
        Either::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

/// An id that may be a number.
fn digits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Text(String),
        Number(serde_json::Number),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::Text(text) => text,
        Either::Number(number) => number.to_string(),
    })
}

/// A device flow that has begun.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct DeviceCode {
    /// What we poll with.
    pub(crate) device_code: SecretString,
    /// What a person types.
    pub(crate) user_code: String,
    /// Where they type it.
    pub(crate) verification_uri: String,
    /// The same with the code filled in.
    pub(crate) verification_uri_complete: String,
    /// Seconds the code lives.
    #[serde(deserialize_with = "number")]
    pub(crate) expires_in: u32,
    /// Seconds between two polls.
    #[serde(deserialize_with = "number")]
    pub(crate) interval: u32,
}

/// A pair of tokens.
#[derive(Debug, Deserialize)]
pub(crate) struct TokenPair {
    /// For calls.
    pub(crate) access_token: SecretString,
    /// For the next pair.
    pub(crate) refresh_token: SecretString,
    /// Seconds the access token lives.
    #[serde(deserialize_with = "number")]
    pub(crate) expires_in: u32,
    /// What was granted, separated by spaces.
    #[serde(default)]
    pub(crate) scope: String,
}

/// The account behind a token.
#[derive(Debug, Deserialize)]
pub(crate) struct Me {
    /// Allegro's id of the seller.
    pub(crate) id: String,
    /// The seller's login.
    pub(crate) login: String,
}

/// One page of the list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrderPage {
    /// The orders, as they were sent.
    pub(crate) checkout_forms: Vec<Box<RawValue>>,
    /// Orders in the whole window.
    pub(crate) total_count: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventStats {
    pub(super) latest_event: Option<LatestEvent>,
}

#[derive(Debug, Deserialize)]
pub(super) struct LatestEvent {
    /// Text; a number is read as its digits.
    #[serde(deserialize_with = "digits")]
    pub(super) id: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct EventPage {
    pub(super) events: Vec<Box<RawValue>>,
}

impl Event {
    /// Reads an event.
    ///
    /// # Errors
    /// It is not JSON.
    pub(super) fn read(raw: &RawValue) -> Result<Self, AllegroError> {
        let repaired = allegro::repair(raw.get());
        let content = serde_json::from_str(&repaired).map_err(|_malformed| AllegroError::malformed())?;
        let event = JournalEvent::read(&content);
        let mut content =
            serde_json::from_str(&repaired).unwrap_or_else(|_unreadable| json!({ "unreadable": raw.get() }));
        without_nul(&mut content);
        Ok(Self {
            id: event.id.unwrap_or_else(|| format!("{NAMELESS}{}", hex::encode(Sha256::digest(raw.get())))),
            kind: event.kind.unwrap_or_else(|| "UNKNOWN".to_owned()),
            occurred_at: event.occurred_at.unwrap_or(OffsetDateTime::UNIX_EPOCH),
            order_id: event.order_id,
            content,
        })
    }
}

/// Postgres's `text` and `jsonb` cannot hold U+0000.
fn without_nul(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('\0') => *text = text.replace('\0', "\u{fffd}"),
        Value::Array(items) => items.iter_mut().for_each(without_nul),
        Value::Object(fields) => {
            if fields.keys().any(|key| key.contains('\0')) {
                *fields = std::mem::take(fields)
                    .into_iter()
                    .map(|(key, field)| (key.replace('\0', "\u{fffd}"), field))
                    .collect();
            }
            fields.values_mut().for_each(without_nul);
        }
        _ => {}
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct OAuthError {
    pub(super) error: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct ApiErrors {
    pub(super) errors: Vec<ApiError>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ApiError {
    pub(super) code: String,
    pub(super) message: Option<String>,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::value::RawValue;

    use time::OffsetDateTime;

    use super::Event;

    fn event(json: &str) -> Option<Event> {
        Event::read(&RawValue::from_string(json.to_owned()).unwrap()).ok()
    }

    #[test]
    fn an_odd_event_is_read_as_far_as_it_goes() {
        for (json, kind, order_id) in [
            (r#"{"id":"1","type":"BOUGHT","order":{"checkoutForm":{"id":"a"}}}"#, "BOUGHT", Some("a")),
            (r#"{"id":"1","type":null,"occurredAt":"yesterday","order":null}"#, "UNKNOWN", None),
            (r#"{"id":"1","type":"BOUGHT","occurredAt":"9999-12-31T23:59:59-01:00"}"#, "BOUGHT", None),
            (r#"{"id":"1","type":"BOUGHT","order":{"checkoutForm":{"id":null}}}"#, "BOUGHT", None),
            (r#"{"id":"1","type":"BOUGHT","note":"\ud800"}"#, "BOUGHT", None),
            (
                r#"{"id":1763633020719000,"type":"BOUGHT","order":{"checkoutForm":{"id":"a"}}}"#,
                "BOUGHT",
                Some("a"),
            ),
            (r#"{"id":"1","type":"BO\u0000","note":["\u0000"]}"#, "BO\u{fffd}", None),
        ] {
            let read = event(json).unwrap();
            assert_eq!((read.kind.as_str(), read.order_id.as_deref()), (kind, order_id), "{json}");
            assert!(!read.content.to_string().contains("\\u0000"), "{json}");
            assert_eq!(read.occurred_at, OffsetDateTime::UNIX_EPOCH, "{json}");
        }
        let nameless = event(r#"{"type":"BOUGHT","order":{"checkoutForm":{"id":"a"}}}"#).unwrap();
        assert_eq!((nameless.is_named(), nameless.order_id.as_deref()), (false, Some("a")));
    }
}
