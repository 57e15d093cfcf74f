//! Deliveries, their attempts, and the event types there are.

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::events::CATALOGUE;
use domain::{DeliveryId, SubscriptionId};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use web::{ApiPath, ApiQuery, Caller, Cursor, FieldErrors, Limit, Page, Problem};

use super::problems::DELIVERY_NOT_FOUND;
use super::webhooks::{is_visible, visible};
use crate::app::deliveries::{self, Attempt, Delivery, Filter};
use crate::state::State;

const STATUSES: [&str; 6] = ["pending", "delivering", "success", "failed", "skipped", "cancelled"];

/// Which deliveries.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Only with this status.
    #[param(example = "failed")]
    status: Option<String>,
    /// Only of this event type.
    #[param(example = "order.created")]
    event_type: Option<String>,
    /// At most so many, 1 to 200.
    #[serde(default)]
    #[param(value_type = Option<u16>, default = 50, minimum = 1, maximum = 200)]
    limit: Limit,
    /// Where the page before ended: its `next_cursor`.
    #[param(
        example = "eyJ2IjoxLCJ0IjoxNzk1MjQ4MDAwMDAwMDAwLCJpIjoiMDE5MGM1YTQtNmY3ZS03Y2MzLTk4YzQtZGMwYzBjMDczOThmIn0"
    )]
    cursor: Option<String>,
}

/// One event on its way to one subscription.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398a", "webhook_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f",
    "event_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398b", "event_type": "order.created", "status": "success",
    "attempts": 1, "next_attempt_at": null, "response_status": 200, "response_body": "ok", "error_message": null,
    "delivered_at": "2026-11-21T08:00:01Z", "created_at": "2026-11-21T08:00:00Z",
}))]
pub(crate) struct DeliveryView {
    id: Uuid,
    webhook_id: Uuid,
    /// The event's id, sent as `webhook-id`.
    event_id: Uuid,
    event_type: String,
    /// `pending`, `delivering`, `success`, `failed`, `skipped` or `cancelled`.
    #[schema(example = "success")]
    status: String,
    attempts: i32,
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
    "attempt": 1, "attempted_at": "2026-11-21T08:00:01Z", "duration_ms": 12, "response_status": 200,
    "response_body": "ok", "error_class": null, "error_message": null,
}))]
pub(crate) struct AttemptView {
    attempt: i32,
    #[serde(with = "time::serde::rfc3339")]
    attempted_at: OffsetDateTime,
    duration_ms: i32,
    response_status: Option<i32>,
    response_body: Option<String>,
    /// `address`, `timeout`, `connect`, `network`, `redirect`, `status` or `signature`.
    error_class: Option<String>,
    error_message: Option<String>,
}

/// A delivery with its tries.
#[derive(Serialize, ToSchema)]
pub(crate) struct FullDeliveryView {
    #[serde(flatten)]
    delivery: DeliveryView,
    tries: Vec<AttemptView>,
}

/// A page of deliveries.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeliveryPage {
    items: Vec<DeliveryView>,
    next_cursor: Option<String>,
}

/// An event type.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "type": "order.created", "source": "allegro-backup", "meaning": "An order was seen for the first time.",
}))]
pub(crate) struct EventTypeView {
    #[serde(rename = "type")]
    #[schema(example = "order.created")]
    name: &'static str,
    /// Who tells it.
    source: &'static str,
    meaning: &'static str,
}

/// The event types there are.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventTypeList {
    items: Vec<EventTypeView>,
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.id,
            webhook_id: delivery.subscription_id,
            event_id: delivery.message_id,
            event_type: delivery.event_type,
            // While it is delivered the moment is the lease's end, which says nothing to its owner.
            next_attempt_at: delivery.next_attempt_at.filter(|_| delivery.status == "pending"),
            status: delivery.status,
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
            response_status: attempt.response_status,
            response_body: attempt.response_body,
            error_class: attempt.error_class,
            error_message: attempt.error_message,
        }
    }
}

/// A subscription's deliveries, newest first.
#[utoipa::path(get, path = "/api/v1/webhooks/{id}/deliveries", tag = "deliveries", operation_id = "list_deliveries",
    params(("id" = SubscriptionId, Path, description = "The subscription's id", example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f"), Wanted),
    responses((status = 200, description = "A page", body = DeliveryPage),
              (status = 400, description = "invalid_content"), (status = 404, description = "webhook_not_found")))]
pub(crate) async fn list(
    state: Data<State>,
    caller: Caller,
    id: ApiPath<SubscriptionId>,
    ApiQuery(wanted): ApiQuery<Wanted>,
) -> Result<HttpResponse, Problem> {
    let after = wanted.cursor.as_deref().map(Cursor::decode).transpose()?;
    let mut errors = FieldErrors::default();
    let is_known = wanted.status.as_deref().is_none_or(|status| STATUSES.contains(&status));
    errors.check(is_known, "/status", "unknown_status", &format!("is one of {}", STATUSES.join(", ")));
    errors.finish()?;
    visible(&state, &caller, *id).await?;
    let filter = Filter {
        status: wanted.status,
        event_type: wanted.event_type,
        after: after.map(|cursor| (cursor.time, cursor.id)),
    };
    let found = deliveries::list(&state, *id, &filter, wanted.limit.with_probe()).await;
    let found = found.map_err(|error| Problem::database(&error))?;
    let page = Page::new(found, wanted.limit, |last| Cursor { time: last.created_at, id: last.id });
    Ok(HttpResponse::Ok().json(page.map(DeliveryView::from)))
}

/// One delivery with its tries.
#[utoipa::path(get, path = "/api/v1/deliveries/{id}", tag = "deliveries", operation_id = "get_delivery",
    params(("id" = DeliveryId, Path, description = "The delivery's id", example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398a")),
    responses((status = 200, description = "The delivery", body = FullDeliveryView),
              (status = 404, description = "delivery_not_found")))]
pub(crate) async fn get(
    state: Data<State>,
    caller: Caller,
    id: ApiPath<DeliveryId>,
) -> Result<HttpResponse, Problem> {
    let found = deliveries::find(&state, *id).await.map_err(|error| Problem::database(&error))?;
    let found = found.filter(|(_, _, subscription)| is_visible(&caller, subscription.owner.as_deref()));
    let (delivery, attempts, _) = found.ok_or_else(|| Problem::new(&DELIVERY_NOT_FOUND))?;
    let tries = attempts.into_iter().map(AttemptView::from).collect();
    Ok(HttpResponse::Ok().json(FullDeliveryView { delivery: delivery.into(), tries }))
}

/// The event types a subscription can name.
#[utoipa::path(get, path = "/api/v1/event-types", tag = "deliveries", operation_id = "list_event_types",
    responses((status = 200, description = "All of them", body = EventTypeList)))]
pub(crate) async fn event_types(_caller: Caller) -> HttpResponse {
    let items = CATALOGUE
        .iter()
        .map(|event| EventTypeView { name: event.name, source: event.source, meaning: event.meaning })
        .collect();
    HttpResponse::Ok().json(EventTypeList { items })
}
