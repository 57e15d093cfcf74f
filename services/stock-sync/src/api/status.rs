//! Whether stock follows sales.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use web::{Caller, Problem};

use crate::app::watch;
use crate::state::State;

/// From so many operations under way on, something is slow.
const MANY: i64 = 100;

/// How it goes.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "status": "healthy", "statistics": { "pending_operations": 3, "failed_operations": 0, "completed_today": 412,
        "stale_operations": 0, "oldest_pending_seconds": 1.7, "first_try_rate": 0.998, "mean_retry_seconds": 74.2 },
    "last_updated": "2026-11-21T08:00:00Z",
}))]
pub(crate) struct Health {
    /// `healthy`, or `warning` when a hundred operations are under way, one is stuck, or messages are dead-lettered.
    status: &'static str,
    statistics: StatisticsView,
    #[serde(with = "time::serde::rfc3339")]
    last_updated: OffsetDateTime,
}

/// Operations counted; today is the shop's.
#[derive(Serialize, ToSchema)]
pub(crate) struct StatisticsView {
    pending_operations: i64,
    failed_operations: i64,
    completed_today: i64,
    stale_operations: i64,
    /// Null when none is under way.
    oldest_pending_seconds: Option<f64>,
    /// Of what was completed today, 0 to 1; null when nothing was.
    first_try_rate: Option<f64>,
    /// Of what was completed today, but not at the first try.
    mean_retry_seconds: Option<f64>,
}

/// Whether stock follows sales; to a caller bound to a user, that user's.
#[utoipa::path(get, path = "/api/v1/stock-sync/status", tag = "stock-sync", operation_id = "get_status",
    responses((status = 200, description = "How it goes", body = Health)))]
pub(crate) async fn get(state: Data<State>, caller: Caller) -> Result<HttpResponse, Problem> {
    let counted = watch::today(&state, caller.user_id.as_deref()).await;
    let counted = counted.map_err(|error| Problem::database(&error))?;
    let is_dead = watch::has_dead_letters(&state).await.map_err(|error| Problem::database(&error))?;
    let is_healthy = counted.pending < MANY && counted.stale == 0 && !is_dead;
    Ok(HttpResponse::Ok().json(Health {
        status: if is_healthy { "healthy" } else { "warning" },
        statistics: StatisticsView {
            pending_operations: counted.pending,
            failed_operations: counted.failed,
            completed_today: counted.completed,
            stale_operations: counted.stale,
            oldest_pending_seconds: counted.oldest_pending_seconds,
            first_try_rate: counted.first_try_rate,
            mean_retry_seconds: counted.mean_retry_seconds,
        },
        last_updated: state.now(),
    }))
}
