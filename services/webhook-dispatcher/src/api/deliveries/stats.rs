//! How a subscription's deliveries have fared.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::SubscriptionId;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use utoipa::{IntoParams, ToSchema};
use web::{ApiPath, ApiQuery, Caller, Problem};

use super::super::webhooks::visible;
use crate::app::deliveries;
use crate::domain::settings::ReceiverHealth;
use crate::state::State;

/// Since when.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Since {
    /// From when on deliveries count as made lately; a day ago when absent.
    #[serde(default, with = "domain::instant::option")]
    #[param(example = "2026-11-21T08:00:00Z")]
    since: Option<OffsetDateTime>,
}

/// Deliveries by how they ended or stand, and events its filter left out.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "since": "2026-11-20T08:00:00Z", "ever": { "success": 120_000, "failed": 4, "filtered": 31 },
    "lately": { "success": 3_100, "pending": 2 }, "oldest_pending_at": "2026-11-21T07:59:58Z",
    "latency_p50_ms": 8, "latency_p99_ms": 61, "health": {
        "consecutive_failures": 0, "last_success_at": "2026-11-21T08:00:01Z", "first_failure_at": null,
        "circuit_state": "closed", "circuit_until": null,
    },
}))]
pub(crate) struct StatsView {
    #[serde(with = "time::serde::rfc3339")]
    since: OffsetDateTime,
    /// Since the subscription was made; what is kept no longer too.
    ever: BTreeMap<String, i64>,
    /// Of deliveries made since then.
    lately: BTreeMap<String, i64>,
    /// When the oldest was made that has not ended.
    #[serde(with = "time::serde::rfc3339::option")]
    oldest_pending_at: Option<OffsetDateTime>,
    /// From the event to the answer, of what arrived lately.
    latency_p50_ms: Option<i64>,
    latency_p99_ms: Option<i64>,
    health: ReceiverHealth,
}

/// How many deliveries ended how, and how long they took.
#[utoipa::path(get, path = "/api/v1/webhooks/{id}/stats", tag = "deliveries", operation_id = "get_webhook_stats",
    params(("id" = SubscriptionId, Path, description = "The subscription's id", example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f"), Since),
    responses((status = 200, description = "The numbers", body = StatsView),
              (status = 404, description = "webhook_not_found")))]
pub(crate) async fn get(
    state: Data<State>,
    caller: Caller,
    id: ApiPath<SubscriptionId>,
    ApiQuery(wanted): ApiQuery<Since>,
) -> Result<HttpResponse, Problem> {
    let subscription = visible(&state, &caller, *id).await?;
    let since = wanted.since.unwrap_or_else(|| state.now() - Duration::DAY);
    let found = deliveries::stats(&state, *id, since).await.map_err(|error| Problem::database(&error))?;
    let counts = |count: fn(&deliveries::OutcomeCount) -> i64| {
        let counted = found.outcomes.iter().map(|it| (it.outcome.clone(), count(it)));
        counted.filter(|(_, count)| *count > 0).collect()
    };
    Ok(HttpResponse::Ok().json(StatsView {
        since,
        ever: counts(|it| it.ever),
        lately: counts(|it| it.lately),
        oldest_pending_at: found.times.oldest_pending_at,
        latency_p50_ms: found.times.p50_ms,
        latency_p99_ms: found.times.p99_ms,
        health: subscription.health().map_err(|error| Problem::database(&error))?,
    }))
}
