//! Sets of deliveries sent again, and a test.

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::instant::are_in_order;
use domain::{SubscriptionId, TaskId};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaType, Type};
use uuid::Uuid;
use web::{Answer, ApiJson, ApiPath, Caller, FieldErrors, Idempotent, Problem};

use super::problems::{self, WEBHOOK_INACTIVE};
use super::webhooks::visible;
use crate::app::deliveries::Status;
use crate::app::events;
use crate::app::replays::{self, Filter, ReplayDeliveries};
use crate::app::subscriptions::Subscription;
use crate::state::State;

/// From when to when.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({ "since": "2026-11-21T06:00:00Z", "until": "2026-11-21T08:00:00Z" }))]
#[serde(deny_unknown_fields)]
pub(crate) struct Recover {
    /// Deliveries made at this moment or later.
    #[serde(with = "domain::instant")]
    since: OffsetDateTime,
    /// And before this moment; now when absent.
    #[serde(default, with = "domain::instant::option")]
    until: Option<OffsetDateTime>,
}

/// Which deliveries to send again.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({ "filter": { "status": "failed", "type": "order.created" } }))]
#[serde(deny_unknown_fields)]
pub(crate) struct Replay {
    filter: ReplayFilter,
}

/// Deliveries that ended; `{}` is all of them.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplayFilter {
    /// `success`, `failed`, `skipped` or `cancelled`.
    #[schema(schema_with = ended_schema)]
    status: Option<Status>,
    /// Of this event type.
    #[serde(rename = "type")]
    event_type: Option<String>,
    /// Made at this moment or later.
    #[serde(default, with = "domain::instant::option")]
    from: Option<OffsetDateTime>,
    /// Made before this moment.
    #[serde(default, with = "domain::instant::option")]
    to: Option<OffsetDateTime>,
    /// Of this event.
    message: Option<Uuid>,
}

/// The statuses in which a delivery has ended.
fn ended_schema() -> Object {
    let ended = [Status::Success, Status::Failed, Status::Skipped, Status::Cancelled].map(Status::as_str);
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .enum_values(Some(ended.map(Some).into_iter().chain([None])))
        .description(Some("`success`, `failed`, `skipped` or `cancelled`."))
        .build()
}

/// The task that does it.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "task_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398d" }))]
pub(crate) struct Started {
    /// `GET /api/v1/tasks/{task_id}` tells how far it is, `POST /api/v1/tasks/{task_id}/cancel` calls it off.
    task_id: TaskId,
}

/// A test on its way.
#[derive(Serialize, ToSchema)]
pub(crate) struct TestSent {
    /// `GET /api/v1/deliveries/{id}` tells how it went.
    #[schema(example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398a")]
    delivery_id: Uuid,
}

/// Sends everything again that was made in a span of time and did not arrive: what failed, was skipped or called off.
#[utoipa::path(post, path = "/api/v1/webhooks/{id}/recover", tag = "deliveries", operation_id = "recover_webhook",
    params(("id" = SubscriptionId, Path, description = "The subscription's id", example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f")),
    request_body = Recover,
    responses((status = 202, description = "Started", body = Started),
              (status = 404, description = "webhook_not_found"), (status = 409, description = "webhook_inactive")))]
pub(crate) async fn recover(
    state: Data<State>,
    caller: Caller,
    idempotent: Idempotent,
    id: ApiPath<SubscriptionId>,
    ApiJson(wish): ApiJson<Recover>,
) -> Result<HttpResponse, Problem> {
    let until = wish.until.unwrap_or_else(|| state.now());
    let mut errors = FieldErrors::default();
    errors.check(wish.since < until, "/since", "invalid_range", "is before until");
    errors.finish()?;
    let subscription = active(&state, &caller, *id).await?;
    let of = |status| Filter {
        status: Some(status),
        from: Some(wish.since),
        to: Some(until),
        ..Filter::default()
    };
    let filters = [Status::Failed, Status::Skipped, Status::Cancelled].map(of).to_vec();
    start(&state, &caller, idempotent, subscription, filters).await
}

/// Sends deliveries again that ended, those that arrived too: whichever the filter names.
#[utoipa::path(post, path = "/api/v1/webhooks/{id}/replay", tag = "deliveries", operation_id = "replay_webhook",
    params(("id" = SubscriptionId, Path, description = "The subscription's id", example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f")),
    request_body = Replay,
    responses((status = 202, description = "Started", body = Started),
              (status = 404, description = "webhook_not_found"), (status = 409, description = "webhook_inactive")))]
pub(crate) async fn replay(
    state: Data<State>,
    caller: Caller,
    idempotent: Idempotent,
    id: ApiPath<SubscriptionId>,
    ApiJson(Replay { filter }): ApiJson<Replay>,
) -> Result<HttpResponse, Problem> {
    let mut errors = FieldErrors::default();
    let has_ended = !matches!(filter.status, Some(Status::Pending | Status::Delivering));
    errors.check(has_ended, "/filter/status", "not_allowed", "is success, failed, skipped or cancelled");
    errors.check(are_in_order(filter.from, filter.to), "/filter/from", "invalid_range", "is before to");
    errors.finish()?;
    let subscription = active(&state, &caller, *id).await?;
    let filter = Filter {
        status: filter.status,
        event_type: filter.event_type,
        from: filter.from,
        to: filter.to,
        message: filter.message,
    };
    start(&state, &caller, idempotent, subscription, vec![filter]).await
}

/// Sends an event of type `webhook.test` to this subscription, whatever its event types and its filter are.
#[utoipa::path(post, path = "/api/v1/webhooks/{id}/test", tag = "webhooks", operation_id = "test_webhook",
    params(("id" = SubscriptionId, Path, description = "The subscription's id", example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f")),
    responses((status = 202, description = "It is on its way", body = TestSent),
              (status = 404, description = "webhook_not_found"), (status = 409, description = "webhook_inactive")))]
pub(crate) async fn test(
    state: Data<State>,
    caller: Caller,
    idempotent: Idempotent,
    id: ApiPath<SubscriptionId>,
) -> Result<HttpResponse, Problem> {
    let subscription = active(&state, &caller, *id).await?;
    let answer = idempotent
        .run(async |conn| {
            let sent = events::test(conn, &state, &subscription).await;
            Answer::accepted(&TestSent { delivery_id: sent.map_err(|error| problems::publish(&error))? })
        })
        .await;
    state.load.nudge();
    answer
}

async fn active(state: &State, caller: &Caller, id: SubscriptionId) -> Result<Subscription, Problem> {
    let found = visible(state, caller, id).await?;
    if found.is_active { Ok(found) } else { Err(Problem::new(&WEBHOOK_INACTIVE)) }
}

async fn start(
    state: &State,
    caller: &Caller,
    idempotent: Idempotent,
    subscription: Subscription,
    filters: Vec<Filter>,
) -> Result<HttpResponse, Problem> {
    let replay = ReplayDeliveries { webhook_id: subscription.id(), filters };
    idempotent
        .run(async |conn| {
            let owner = subscription.owner.clone();
            let asked = replays::ask(conn, state, owner, &caller.subject, &replay).await;
            let task_id = asked.map_err(|error| Problem::database(&error))?;
            Answer::accepted(&Started { task_id })
        })
        .await
}
