//! The event types there are, and events of outside producers.

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::events::CATALOGUE;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;
use web::{Answer, ApiJson, Caller, FieldErrors, Idempotent, Problem};

use super::problems;
use crate::app::events::{self, OutsideEvent};
use crate::domain::{catalogue, pattern};
use crate::state::State;

/// Bytes of an event's data, as JSON.
const MAX_DATA: usize = 256 * 1024;
const MAX_SUBJECT: usize = 200;

/// An event type.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "type": "order.cancelled", "source": "/allegro-backup", "meaning": "An order was cancelled.",
    "schema": { "type": "object" }, "example": { "order_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f" },
}))]
pub(crate) struct EventTypeView {
    #[serde(rename = "type")]
    #[schema(example = "order.created")]
    name: &'static str,
    /// Who tells it.
    source: &'static str,
    meaning: &'static str,
    /// The JSON Schema of its data.
    #[schema(value_type = Object)]
    schema: Value,
    /// Data such as the schema describes.
    #[schema(value_type = Object)]
    example: Value,
}

/// The event types there are.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventTypeList {
    items: Vec<EventTypeView>,
    /// Further types that may be told from outside: names, or `<noun>.*`.
    #[schema(example = json!(["custom.*"]))]
    outside: Vec<String>,
}

/// An event of an outside producer.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({ "type": "custom.parcel_weighed", "subject": "parcel-7", "data": { "grams": 420 } }))]
#[serde(deny_unknown_fields)]
pub(crate) struct NewEvent {
    /// One of the types that may be told from outside, see `GET /api/v1/event-types`.
    #[serde(rename = "type")]
    #[schema(max_length = 100, pattern = r"^[a-z0-9_]+(\.[a-z0-9_]+)+$")]
    kind: String,
    /// What it is about, at most 200 characters; the event's own id when absent.
    #[schema(max_length = 200)]
    subject: Option<String>,
    /// When it happened; now when absent.
    #[serde(default, with = "domain::instant::option")]
    timestamp: Option<OffsetDateTime>,
    /// An object of at most 256 KiB, delivered byte for byte. Its field `user_id` names the user that the event concerns,
    /// unless the caller is bound to a user.
    #[schema(value_type = Object)]
    data: Box<RawValue>,
}

/// What came of an event.
#[derive(Serialize, ToSchema)]
pub(crate) struct PublishedEvent {
    /// Its id, sent as `webhook-id`.
    #[schema(example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398b")]
    id: Uuid,
    /// Subscriptions it is on its way to.
    #[schema(example = 2)]
    deliveries: usize,
    /// Matching subscriptions that are not active, or whose filter cannot read the event.
    #[schema(example = 0)]
    skipped: usize,
    /// Subscriptions whose filter leaves it out.
    #[schema(example = 1)]
    filtered: usize,
}

/// The event types a subscription can name, each with the schema of its data and an example.
#[utoipa::path(get, path = "/api/v1/event-types", tag = "events", operation_id = "list_event_types",
    responses((status = 200, description = "All of them", body = EventTypeList)))]
pub(crate) async fn types(state: Data<State>, _caller: Caller) -> Result<HttpResponse, Problem> {
    let view = |event: &domain::events::EventType| {
        let schema = catalogue::schema(event).map_err(|error| Problem::internal(&error))?;
        let example = catalogue::example(&schema);
        Ok(EventTypeView { name: event.name, source: event.source, meaning: event.meaning, schema, example })
    };
    let items: Result<Vec<_>, Problem> = CATALOGUE.iter().map(view).collect();
    Ok(HttpResponse::Ok().json(EventTypeList { items: items?, outside: state.outside_types.to_vec() }))
}

/// Takes an event in: from then on every subscription that wants it gets it at least once. Sent again under the same
/// `Idempotency-Key` it is the same event.
#[utoipa::path(post, path = "/api/v1/events", tag = "events", operation_id = "publish_event",
    request_body = NewEvent, responses((status = 202, description = "Taken in", body = PublishedEvent)))]
pub(crate) async fn publish(
    state: Data<State>,
    caller: Caller,
    idempotent: Idempotent,
    ApiJson(event): ApiJson<NewEvent>,
) -> Result<HttpResponse, Problem> {
    let mut errors = FieldErrors::default();
    if !pattern::is_type(&event.kind) {
        let message = "is words of small letters, digits and underscores, joined by full stops";
        errors.push("/type", "malformed", message);
    } else if !events::may_come_from_outside(&state, &event.kind) {
        errors.push(
            "/type",
            "type_not_allowed",
            "is not told from outside; GET /api/v1/event-types says what is",
        );
    }
    let is_short = event.subject.as_ref().is_none_or(|it| it.chars().count() <= MAX_SUBJECT);
    errors.check(is_short, "/subject", "too_long", "is at most 200 characters long");
    errors.check(event.data.get().starts_with('{'), "/data", "wrong_type", "is an object");
    errors.check(event.data.get().len() <= MAX_DATA, "/data", "too_long", "is at most 256 KiB of JSON");
    errors.finish()?;
    let answer = idempotent
        .run(async |conn| {
            let event = OutsideEvent {
                kind: &event.kind,
                subject: event.subject.as_deref(),
                time: event.timestamp,
                data: &event.data,
                user: caller.user_id.as_deref(),
            };
            let published = events::publish(conn, &state, &event).await;
            let published = published.map_err(|error| problems::publish(&error))?;
            Answer::accepted(&PublishedEvent {
                id: published.id,
                deliveries: published.deliveries,
                skipped: published.skipped,
                filtered: published.filtered,
            })
        })
        .await;
    state.load.nudge();
    answer
}
