//! Allegro's answers, as far as they are read. Unknown fields are let pass: new ones may come at any time.

use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use time::OffsetDateTime;

use super::AllegroError;

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

/// A device flow that has begun.
#[derive(Debug, Deserialize)]
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
    pub(super) id: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct EventPage {
    pub(super) events: Vec<Box<RawValue>>,
}

/// One line of the journal.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// Allegro's id of the event.
    pub(crate) id: String,
    /// What happened.
    pub(crate) kind: String,
    /// When it happened.
    pub(crate) occurred_at: OffsetDateTime,
    /// The order it happened to, where the event names it: Allegro's document does not promise that.
    pub(crate) order_id: Option<String>,
    /// As it was sent.
    pub(crate) raw: Box<RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventFields {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(with = "time::serde::rfc3339")]
    occurred_at: OffsetDateTime,
    order: EventOrder,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventOrder {
    checkout_form: Option<EventForm>,
}

#[derive(Deserialize)]
struct EventForm {
    id: String,
}

impl Event {
    pub(super) fn read(raw: Box<RawValue>) -> Result<Self, AllegroError> {
        let fields: EventFields =
            serde_json::from_str(raw.get()).map_err(|_not_as_documented| AllegroError::Malformed)?;
        let EventFields { id, kind, occurred_at, order } = fields;
        Ok(Self { id, kind, occurred_at, order_id: order.checkout_form.map(|form| form.id), raw })
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
