//! What the owner of a subscription decides about it.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::json;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Array, ArrayBuilder, Object, ObjectBuilder, SchemaType, Type};

use super::health::Health;
use super::json::Json;
use super::signature::Scheme;

/// The version of the interface there is.
const API_VERSION: &str = "v1";
const TIMEOUT_SECONDS: i32 = 10;

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PayloadStyle {
    /// Standard Webhooks: `{"type","timestamp","data"}`.
    #[default]
    Standard,
    /// As before there was a standard: `{"event","data","timestamp"}`, with `batch_created` for `batch.created`.
    Legacy,
}

impl PayloadStyle {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Legacy => "legacy",
        }
    }

    /// Reads the word in the table.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Standard, Self::Legacy].into_iter().find(|style| style.as_str() == word)
    }
}

/// A wish to be told of events. What is `null` or absent has its default.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "name": "Magazyn", "url": "https://shop.example/hooks", "events": ["order.created", "order.cancelled"],
    "rate_limit_per_second": 20, "headers": { "X-Tenant": "zielony" },
}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// What people call it; at most 100 characters.
    #[schema(max_length = 100)]
    pub(crate) name: Option<String>,
    /// At most 1000 characters.
    #[schema(max_length = 1000)]
    pub(crate) description: Option<String>,
    /// The receiver's absolute URL of at most 2048 bytes, without user name, password, fragment and control characters. It is
    /// stored, shown and used in normalised form (WHATWG URL): a host name in ASCII (`xn--…`), spaces as `%20`.
    #[schema(example = "https://shop.example/hooks", max_length = 2048, pattern = "^https?://")]
    pub(crate) url: String,
    /// Event types, `<noun>.*`, or `*`.
    #[schema(example = json!(["order.created", "order.cancelled"]), min_items = 1, max_items = 100)]
    pub(crate) events: Vec<String>,
    /// A condition on an event's data, for example `{"path": "/status", "eq": "READY"}`. docs/guides/receive-webhooks.md
    /// lists the operators. `GET /api/v1/webhooks/{id}/stats` counts the events that it excludes.
    #[schema(value_type = Option<Object>)]
    pub(crate) filter: Option<Box<RawValue>>,
    /// The version of the interface its bodies are written in: `v1`.
    #[serde(default = "api_version", deserialize_with = "api_version_or_null")]
    #[schema(value_type = Option<String>, default = "v1", pattern = "^v1$")]
    pub(crate) api_version: String,
    /// Retries after the first attempt; all of the schedule when absent.
    #[schema(minimum = 0, maximum = 20)]
    pub(crate) retry_count: Option<i32>,
    /// Seconds to wait before each retry, 1 to 20 of them, each 1 to 604800 (a week); the usual schedule when absent.
    #[schema(schema_with = retry_schedule_schema)]
    pub(crate) retry_schedule: Option<Vec<i32>>,
    /// How long an attempt may take, 1 to 30. `timeout` is understood too.
    #[serde(default = "timeout_seconds", deserialize_with = "timeout_or_null", alias = "timeout")]
    #[schema(value_type = Option<i32>, default = 10, minimum = 1, maximum = 30)]
    pub(crate) timeout_seconds: i32,
    /// False pauses it: what it misses is seen among its deliveries as `skipped`.
    #[serde(default = "yes", deserialize_with = "yes_or_null")]
    #[schema(value_type = Option<bool>, default = true)]
    pub(crate) is_active: bool,
    /// Attempts in one second, 1 to 10000; not limited when absent.
    #[schema(minimum = 1, maximum = 10000)]
    pub(crate) rate_limit_per_second: Option<i32>,
    /// Attempts at once, 1 to 64; chosen for you when absent.
    #[schema(minimum = 1, maximum = 64)]
    pub(crate) max_concurrency: Option<i32>,
    /// Events of one key go out one after another: while one is retried, the later ones of its key wait.
    #[serde(default, deserialize_with = "or_default")]
    #[schema(value_type = Option<bool>, default = false)]
    pub(crate) ordered: bool,
    /// Where in the event's data that key is (RFC 6901); the event's subject when absent.
    #[schema(example = "/order_id", max_length = 200, pattern = "^(/([^~/]|~[01])*)*$")]
    pub(crate) ordering_key: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    #[schema(value_type = Option<PayloadStyle>)]
    pub(crate) payload_style: PayloadStyle,
    /// Also `X-Webhook-Signature: sha256=<hex of HMAC-SHA256 over the body>`; with a key of `v1` only.
    #[serde(default, deserialize_with = "or_default")]
    #[schema(value_type = Option<bool>, default = false)]
    pub(crate) seed_signature: bool,
    /// PEM: trusted authorities for the receiver's certificate, beside the public ones, or the receiver's own self-signed
    /// certificate.
    pub(crate) custom_ca: Option<String>,
    /// Sent along, at most 20; shown never again. They may not be those every request has by itself.
    #[serde(default, serialize_with = "hidden")]
    #[schema(schema_with = headers_schema)]
    pub(crate) headers: Option<BTreeMap<String, SecretString>>,
    /// PEM: a certificate chain and its key, shown to the receiver; never shown again.
    #[serde(default, serialize_with = "hidden")]
    #[schema(write_only, value_type = Option<String>)]
    pub(crate) client_certificate: Option<SecretString>,
    /// `whsec_` and base64 of 24 to 64 bytes, or `whsk_` and base64 of an ed25519 key and its public key, 32 bytes each; made for
    /// you when absent. Changed by `rotate-secret` only.
    #[serde(default, serialize_with = "hidden")]
    #[schema(write_only, value_type = Option<String>)]
    pub(crate) secret: Option<SecretString>,
    /// The same as `secret`.
    #[serde(default, serialize_with = "hidden")]
    #[schema(write_only, value_type = Option<String>)]
    pub(crate) secret_key: Option<SecretString>,
    /// How the secret that is made for you signs, `v1` when absent; one you give says so itself. Changed by `rotate-secret` only.
    #[serde(default, serialize_with = "hidden")]
    #[schema(write_only)]
    pub(crate) signature: Option<Scheme>,
}

/// The rules for `retry_schedule`, which hold for its items too.
fn retry_schedule_schema() -> Array {
    let wait = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(604_800));
    ArrayBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Array, Type::Null]))
        .items(wait)
        .min_items(Some(1))
        .max_items(Some(20))
        .description(Some(
            "Seconds to wait before each retry, 1 to 20 of them, each 1 to 604800 (a week); the usual schedule when absent.",
        ))
        .examples([json!([5, 60, 600])])
        .build()
}

/// The rules for `headers`: names are tokens (RFC 9110 §5.6.2), values printable ASCII.
fn headers_schema() -> Object {
    let name = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"));
    let value =
        ObjectBuilder::new().schema_type(Type::String).max_length(Some(4096)).pattern(Some("^[ -~]*$"));
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Object, Type::Null]))
        .property_names(Some(name.build()))
        .additional_properties(Some(value))
        .max_properties(Some(20))
        .write_only(true)
        .description(Some(
            "Sent along, at most 20; never shown again. Headers that the dispatcher sets or that belong to the connection are refused.",
        ))
        .build()
}

impl Settings {
    pub(crate) fn knows_version(&self) -> bool {
        self.api_version == API_VERSION
    }
}

/// How a receiver has been lately.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "consecutive_failures": 0, "last_success_at": "2026-11-21T08:00:01Z", "first_failure_at": null,
    "circuit_state": "closed", "circuit_until": null,
}))]
pub(crate) struct ReceiverHealth {
    pub(crate) consecutive_failures: i32,
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) last_success_at: Option<OffsetDateTime>,
    /// The first failure since the last success.
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) first_failure_at: Option<OffsetDateTime>,
    /// `closed`: it is sent to; `open`: not before `circuit_until`; `half_open`: it is tried.
    #[schema(example = "closed")]
    pub(crate) circuit_state: String,
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) circuit_until: Option<OffsetDateTime>,
}

impl From<&Health> for ReceiverHealth {
    fn from(health: &Health) -> Self {
        Self {
            consecutive_failures: health.consecutive_failures,
            last_success_at: health.last_success_at,
            first_failure_at: health.first_failure_at,
            circuit_state: health.circuit.state().as_str().to_owned(),
            circuit_until: health.circuit.until(),
        }
    }
}

/// The ordering key of an event: the value at `pointer` in the data, or the subject if there is none or the data are
/// unreadable.
pub(crate) fn ordering_key(pointer: Option<&str>, data: Option<&Json>, subject: &str) -> String {
    let found = pointer.and_then(|pointer| data?.pointer(pointer));
    match found {
        None | Some(Json::Null) => subject.to_owned(),
        Some(Json::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    }
}

/// RFC 6901: empty, or tokens that each begin with a slash, with `~` only as `~0` and `~1`.
pub(crate) fn is_pointer(text: &str) -> bool {
    let is_begun = text.is_empty() || text.starts_with('/');
    is_begun && text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']))
}

/// What is secret is written nowhere but sealed.
fn hidden<T, S: Serializer>(_secret: &T, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_none()
}

fn api_version() -> String {
    API_VERSION.to_owned()
}

const fn timeout_seconds() -> i32 {
    TIMEOUT_SECONDS
}

const fn yes() -> bool {
    true
}

fn or_default<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

fn api_version_or_null<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_else(api_version))
}

fn timeout_or_null<'de, D: Deserializer<'de>>(from: D) -> Result<i32, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(TIMEOUT_SECONDS))
}

fn yes_or_null<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(true))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::value::to_raw_value;

    use super::{Json, is_pointer, json, ordering_key};

    #[test]
    fn the_key_is_found_by_pointer_or_is_the_subject() {
        let data = json!({ "order": { "a/b": "7" }, "n": 5, "none": null });
        let data = Json::read(&to_raw_value(&data).unwrap()).unwrap();
        for (pointer, expected) in [
            (None, "s"),
            (Some("/order/a~1b"), "7"),
            (Some("/n"), "5"),
            (Some("/none"), "s"),
            (Some("/absent"), "s"),
        ] {
            assert_eq!(ordering_key(pointer, Some(&data), "s"), expected, "{pointer:?}");
        }
        assert_eq!(ordering_key(Some("/n"), None, "s"), "s");
    }

    #[test]
    fn pointers_are_rfc_6901() {
        for (text, expected) in
            [("", true), ("/a~0b/~1", true), ("/", true), ("a", false), ("/a~", false), ("/~2", false)]
        {
            assert_eq!(is_pointer(text), expected, "{text}");
        }
    }
}
