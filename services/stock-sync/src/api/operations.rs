//! Operations: how far each line of an order is.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use web::{Answer, ApiPath, ApiQuery, Caller, Idempotent, Limit, Problem};

use super::problems::{OPERATION_NOT_FOUND, OPERATION_STATE};
use crate::app::after_commit::AfterCommit;
use crate::app::ledger::Action;
use crate::app::operations::{self, ActionError, Filter, LogEntry, Shown};
use crate::domain::operation::Status;
use crate::state::State;

/// A line of an order on its way out of the warehouse, or back.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398a", "token_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f",
    "order_id": "29738e61-7f6a-11e8-ac45-09db60ede9d6", "allegro_order_id": "29738e61-7f6a-11e8-ac45-09db60ede9d6",
    "line_item_id": "62ae358b-8f65-4fc4-9c77-bedf604a2e2b", "operation_type": "deduction", "status": "completed",
    "sku": "AH-129834", "quantity": 2, "generation": 1, "warehouse": "Ирина", "retry_count": 0, "max_retries": 5, "next_retry_at": null,
    "deducted_at": "2026-11-21T08:00:00Z", "synced_at": "2026-11-21T08:00:01Z", "completed_at": "2026-11-21T08:00:01Z",
    "error_message": null, "created_at": "2026-11-21T08:00:00Z", "updated_at": "2026-11-21T08:00:01Z",
}))]
pub(crate) struct OperationView {
    id: Uuid,
    token_id: Option<Uuid>,
    order_id: String,
    /// The same; the seed's name.
    allegro_order_id: String,
    line_item_id: String,
    /// `deduction` or `refund`.
    #[schema(example = "deduction")]
    operation_type: String,
    /// `pending`, `processing`, `completed`, `failed` or `cancelled`.
    #[schema(example = "completed")]
    status: String,
    sku: Option<String>,
    /// Absent when the line has none that can be deducted.
    quantity: Option<i64>,
    /// The deduction of the line that it makes or reverts, counted from 1.
    #[schema(example = 1)]
    generation: i64,
    warehouse: String,
    retry_count: i32,
    max_retries: i32,
    #[serde(with = "time::serde::rfc3339::option")]
    next_retry_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    deducted_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    synced_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    completed_at: Option<OffsetDateTime>,
    error_message: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
}

impl From<Shown> for OperationView {
    fn from(shown: Shown) -> Self {
        Self {
            id: shown.id,
            token_id: shown.token_id,
            allegro_order_id: shown.order_id.clone(),
            order_id: shown.order_id,
            line_item_id: shown.line_item_id,
            operation_type: shown.operation_type,
            status: shown.status,
            sku: shown.sku,
            quantity: shown.quantity,
            generation: shown.generation,
            warehouse: shown.warehouse,
            retry_count: shown.retry_count,
            max_retries: shown.max_retries,
            next_retry_at: shown.next_retry_at,
            deducted_at: shown.deducted_at,
            synced_at: shown.synced_at,
            completed_at: shown.completed_at,
            error_message: shown.error_message,
            created_at: shown.created_at,
            updated_at: shown.updated_at,
        }
    }
}

/// What was done about an operation.
#[derive(Serialize, ToSchema)]
pub(crate) struct LogView {
    /// `created`, `deducted`, `sync_success`, `retry_failed`, `rolled_back` …
    #[schema(example = "deducted")]
    action: String,
    /// The operation's state then.
    #[schema(example = "pending")]
    status: String,
    details: Value,
    #[serde(with = "time::serde::rfc3339")]
    timestamp: OffsetDateTime,
    execution_time_ms: Option<i32>,
}

/// An operation and what was done about it.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398a", "token_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f",
    "order_id": "29738e61-7f6a-11e8-ac45-09db60ede9d6", "allegro_order_id": "29738e61-7f6a-11e8-ac45-09db60ede9d6",
    "line_item_id": "62ae358b-8f65-4fc4-9c77-bedf604a2e2b", "operation_type": "deduction", "status": "completed",
    "sku": "AH-129834", "quantity": 2, "generation": 1, "warehouse": "Ирина", "retry_count": 0, "max_retries": 5,
    "next_retry_at": null, "deducted_at": "2026-11-21T08:00:00Z", "synced_at": "2026-11-21T08:00:01Z",
    "completed_at": "2026-11-21T08:00:01Z", "error_message": null, "created_at": "2026-11-21T08:00:00Z",
    "updated_at": "2026-11-21T08:00:01Z",
    "log": [{ "action": "created", "status": "pending", "details": { "sku": "AH-129834", "quantity": 2 },
              "timestamp": "2026-11-21T08:00:00Z", "execution_time_ms": null }],
}))]
pub(crate) struct OperationWithLog {
    #[serde(flatten)]
    operation: OperationView,
    log: Vec<LogView>,
}

/// A page of operations.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "operations": [], "total": 0, "limit": 50, "offset": 0 }))]
pub(crate) struct OperationPage {
    operations: Vec<OperationView>,
    /// How many there are in all.
    total: i64,
    limit: i64,
    offset: i64,
}

/// Which operations.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// At most so many, 1 to 200.
    #[serde(default)]
    #[param(value_type = Option<u16>, default = 50, minimum = 1, maximum = 200)]
    limit: Limit,
    /// So many are passed over.
    #[serde(default)]
    #[param(default = 0, format = Int64, minimum = 0, maximum = 4_294_967_295_i64)]
    offset: u32,
    /// Only in this state.
    #[param(inline, example = "pending")]
    status: Option<Status>,
}

/// What was done about an operation by hand.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "message": "Operation queued for retry", "operation_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398a",
}))]
pub(crate) struct Done {
    message: &'static str,
    operation_id: Uuid,
}

/// Operations, newest first; a caller bound to a user sees that user's.
#[utoipa::path(get, path = "/api/v1/stock-sync/pending", tag = "stock-sync", operation_id = "list_operations",
    params(Wanted), responses((status = 200, description = "A page", body = OperationPage)))]
pub(crate) async fn list(
    state: Data<State>,
    caller: Caller,
    ApiQuery(wanted): ApiQuery<Wanted>,
) -> Result<HttpResponse, Problem> {
    let (limit, offset) = (i64::from(wanted.limit.get()), i64::from(wanted.offset));
    let filter = Filter { user_id: caller.user_id, status: wanted.status.map(Status::word) };
    let page = operations::page(&state, &filter, limit, offset).await;
    let (shown, total) = page.map_err(|error| Problem::database(&error))?;
    let operations = shown.into_iter().map(OperationView::from).collect();
    Ok(HttpResponse::Ok().json(OperationPage { operations, total, limit, offset }))
}

/// One operation, and what was done about it.
#[utoipa::path(get, path = "/api/v1/stock-sync/operations/{id}", tag = "stock-sync", operation_id = "get_operation",
    params(("id" = Uuid, Path, description = "The operation's id", example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398a")),
    responses((status = 200, description = "The operation", body = OperationWithLog),
              (status = 404, description = "operation_not_found")))]
pub(crate) async fn get(
    state: Data<State>,
    caller: Caller,
    id: ApiPath<Uuid>,
) -> Result<HttpResponse, Problem> {
    let found = operations::find(&state, *id).await.map_err(|error| Problem::database(&error))?;
    let found = found.filter(|(operation, _)| caller.may_see(operation.user_id.as_deref()));
    let (operation, log) = found.ok_or_else(|| Problem::new(&OPERATION_NOT_FOUND))?;
    let log = log.into_iter().map(LogView::from).collect();
    Ok(HttpResponse::Ok().json(OperationWithLog { operation: operation.into(), log }))
}

/// Tries a pending or failed operation again, at once and with all its tries, after reading its order again. An order is taken
/// and marked as a whole, so its other lines go with it. A refund with the reason `shipped` is confirmed.
#[utoipa::path(post, path = "/api/v1/stock-sync/retry/{id}", tag = "stock-sync", operation_id = "retry_operation",
    params(("id" = Uuid, Path, description = "The operation's id", example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398a")),
    responses((status = 200, description = "It is tried again", body = Done),
              (status = 400, description = "operation_state"),
              (status = 404, description = "operation_not_found")))]
pub(crate) async fn retry(
    state: Data<State>,
    caller: Caller,
    idempotent: Idempotent,
    id: ApiPath<Uuid>,
) -> Result<HttpResponse, Problem> {
    let seen = operations::read_order(&state, *id).await.map_err(problem)?;
    let answered = idempotent.run_with_effects(async |conn| {
        let may_see = |user_id: Option<&str>| caller.may_see(user_id);
        let acting = operations::act(&state, conn, (*id, Action::Retry), seen.as_ref(), may_see);
        let after = acting.await.map_err(problem)?;
        Ok((Answer::ok(&Done { message: "Operation queued for retry", operation_id: *id })?, after))
    });
    let (answer, after) = answered.await?;
    after.into_iter().for_each(AfterCommit::report);
    state.to_mark.notify_one();
    Ok(answer)
}

/// Cancels an operation; units that left the warehouse come back, once, and the order's flag is removed. A refund with the
/// reason `shipped` is declined: its units stay out.
#[utoipa::path(delete, path = "/api/v1/stock-sync/cancel/{id}", tag = "stock-sync", operation_id = "cancel_operation",
    params(("id" = Uuid, Path, description = "The operation's id", example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398a")),
    responses((status = 200, description = "It is called off", body = Done),
              (status = 400, description = "operation_state"),
              (status = 404, description = "operation_not_found")))]
pub(crate) async fn cancel(
    state: Data<State>,
    caller: Caller,
    id: ApiPath<Uuid>,
) -> Result<HttpResponse, Problem> {
    // Called off twice is an error the second time, and moves nothing.
    let done = state
        .pool
        .transaction(async |conn| {
            let may_see = |user_id: Option<&str>| caller.may_see(user_id);
            operations::act(&state, conn, (*id, Action::CallOff), None, may_see).await
        })
        .await;
    done.map_err(problem)?.report();
    state.to_mark.notify_one();
    Ok(HttpResponse::Ok().json(Done { message: "Operation cancelled", operation_id: *id }))
}

fn problem(error: ActionError) -> Problem {
    match error {
        ActionError::NotFound => Problem::new(&OPERATION_NOT_FOUND),
        ActionError::State(_) | ActionError::Refund => {
            Problem::new(&OPERATION_STATE).detail(error.to_string())
        }
        ActionError::Database(error) => Problem::database(&error),
    }
}

impl From<LogEntry> for LogView {
    fn from(entry: LogEntry) -> Self {
        Self {
            action: entry.action,
            status: entry.status,
            details: entry.details,
            timestamp: entry.timestamp,
            execution_time_ms: entry.execution_time_ms,
        }
    }
}
