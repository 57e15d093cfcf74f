//! Deliveries as callers see them.

use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::deliveries::{Attempt, Delivery};

/// Pending, and waiting for an earlier one of its key.
const BLOCKED: &str = "blocked";

/// One event on its way to one subscription.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398a", "webhook_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f",
    "event_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398b", "event_type": "order.created", "status": "success",
    "trigger": "auto", "ordering_key": null, "attempts": 1, "next_attempt_at": null, "response_status": 200, "response_body": "ok", "error_message": null,
    "delivered_at": "2026-11-21T08:00:01Z", "created_at": "2026-11-21T08:00:00Z",
}))]
pub(crate) struct DeliveryView {
    id: Uuid,
    webhook_id: Uuid,
    /// The event's id, sent as `webhook-id`.
    event_id: Uuid,
    event_type: String,
    /// `pending`, `blocked` (it waits for an earlier one of its key), `delivering`, `success`, `failed`, `skipped` or
    /// `cancelled`.
    #[schema(example = "success")]
    status: String,
    /// Who set its present run of attempts going: `auto`, `manual`, `replay` or `test`.
    #[schema(example = "auto")]
    trigger: String,
    ordering_key: Option<String>,
    /// Attempts used. A throttled try (429, or 503 with `Retry-After`) uses none.
    attempts: i32,
    /// Time of the next request, after any pause that the endpoint asked for. Null while the delivery is blocked or its
    /// subscription is not active.
    #[serde(with = "time::serde::rfc3339::option")]
    next_attempt_at: Option<OffsetDateTime>,
    response_status: Option<i32>,
    response_body: Option<String>,
    error_message: Option<String>,
    #[serde(with = "time::serde::rfc3339::option")]
    delivered_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
}

/// One try.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "attempt": 1, "attempted_at": "2026-11-21T08:00:01Z", "duration_ms": 12, "trigger": "auto", "ip": "203.0.113.7",
    "response_status": 200, "response_headers": { "content-type": "text/plain", "set-cookie": ["a=1", "b=2"] }, "response_body": "ok", "error_class": null,
    "error_message": null,
}))]
pub(crate) struct AttemptView {
    /// Number of the attempt. A throttled try has the number of the attempt that it did not use.
    attempt: i32,
    #[serde(with = "time::serde::rfc3339")]
    attempted_at: OffsetDateTime,
    duration_ms: i32,
    /// As of the delivery, when it was made.
    trigger: String,
    /// The address that was connected to.
    ip: Option<String>,
    response_status: Option<i32>,
    /// By name; the values of a repeated header as an array.
    #[schema(value_type = Option<Object>)]
    response_headers: Option<Value>,
    response_body: Option<String>,
    /// `dns`, `address`, `connect`, `tls`, `network`, `incomplete`, `timeout`, `redirect`, `status`, `signature`, `payload`, or
    /// `internal` (an error of this service).
    error_class: Option<String>,
    error_message: Option<String>,
}

/// A delivery with its tries.
#[derive(Serialize, ToSchema)]
pub(crate) struct FullDeliveryView {
    #[serde(flatten)]
    pub(super) delivery: DeliveryView,
    pub(super) tries: Vec<AttemptView>,
}

/// A page of deliveries.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeliveryPage {
    items: Vec<DeliveryView>,
    next_cursor: Option<String>,
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.id,
            webhook_id: delivery.subscription_id,
            event_id: delivery.message_id,
            event_type: delivery.event_type,
            next_attempt_at: delivery.sent_next_at,
            status: if delivery.is_blocked { BLOCKED } else { delivery.status.as_str() }.to_owned(),
            trigger: delivery.trigger.as_str().to_owned(),
            ordering_key: delivery.ordering_key,
            attempts: delivery.attempts,
            response_status: delivery.response_status,
            response_body: delivery.response_body,
            error_message: delivery.error_message,
            delivered_at: delivery.delivered_at,
            created_at: delivery.created_at,
        }
    }
}

impl From<Attempt> for AttemptView {
    fn from(attempt: Attempt) -> Self {
        Self {
            attempt: attempt.attempt,
            attempted_at: attempt.attempted_at,
            duration_ms: attempt.duration_ms,
            trigger: attempt.trigger.as_str().to_owned(),
            ip: attempt.ip,
            response_headers: attempt.response_headers,
            response_status: attempt.response_status,
            response_body: attempt.response_body,
            error_class: attempt.error_class,
            error_message: attempt.error_message,
        }
    }
}
