//! Comparing the shelf with allegro-backup, on demand.

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::TokenId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use web::{Answer, ApiQuery, Caller, Idempotent, OptionalJson, Problem};

use super::inventory::shop;
use super::problems::ACCOUNT_NOT_FOUND;
use crate::app::reconcile::{self, Discrepancy, Error, Report};
use crate::state::State;

/// What is to be compared; in the query or in the body.
#[derive(Debug, Clone, Copy, Default, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Only this account, at once; every account and the ledger by a task when absent.
    #[param(example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f")]
    #[schema(example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f")]
    token_id: Option<TokenId>,
    /// Whether what may be put right is put right however new it is.
    #[param(example = false)]
    #[schema(example = false)]
    fix: Option<bool>,
}

/// What was found.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "total_checked": 412, "discrepancies": [], "auto_fixed": 0, "requires_manual_review": 0, "is_held": false,
}))]
pub(crate) struct ReportView {
    /// Orders compared.
    total_checked: i64,
    /// What differs; the first thousand.
    discrepancies: Vec<DiscrepancyView>,
    /// So many were put right.
    auto_fixed: i64,
    /// So many were found and not put right.
    requires_manual_review: i64,
    /// True when so much differs that nothing was put right.
    is_held: bool,
}

/// Something that differs.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398a", "kind": "remote_missing",
    "token_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f", "order_id": "29738e61-7f6a-11e8-ac45-09db60ede9d6",
    "sku": null, "warehouse": null, "local": { "line_items": [] }, "remote": { "is_stock_updated": false },
    "first_seen": "2026-11-21T08:00:00Z", "fixed_at": null, "how": null,
}))]
pub(crate) struct DiscrepancyView {
    id: Uuid,
    /// `not_taken`, `not_returned`, `remote_missing`, `remote_only`, `quantity_mismatch` or `ledger_mismatch`.
    kind: String,
    token_id: Option<Uuid>,
    order_id: Option<String>,
    sku: Option<String>,
    warehouse: Option<String>,
    /// How it stands here.
    local: Value,
    /// How it stands there.
    remote: Value,
    #[serde(with = "time::serde::rfc3339")]
    first_seen: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    fixed_at: Option<OffsetDateTime>,
    how: Option<String>,
}

/// A task that will compare.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "task_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398a", "status": "queued" }))]
pub(crate) struct Queued {
    task_id: Uuid,
    status: &'static str,
}

/// Compares the shelf with allegro-backup: one account at once, or everything by a task (`GET /api/v1/tasks/{task_id}`).
#[utoipa::path(post, path = "/api/v1/stock-sync/reconcile", tag = "stock-sync", operation_id = "reconcile",
    params(Wanted), request_body(content = Option<Wanted>),
    responses((status = 200, description = "What was found of the account", body = ReportView),
              (status = 202, description = "A task does it; the one under way, if there is one", body = Queued),
              (status = 403, description = "not_of_one_user, for every account"),
              (status = 404, description = "account_not_found"), (status = 503, description = "dependency_unavailable")))]
pub(crate) async fn start(
    state: Data<State>,
    caller: Caller,
    idempotent: Idempotent,
    ApiQuery(asked): ApiQuery<Wanted>,
    OptionalJson(body): OptionalJson<Wanted>,
) -> Result<HttpResponse, Problem> {
    let fix = asked.fix.or(body.fix).unwrap_or(false);
    let Some(token_id) = asked.token_id.or(body.token_id) else {
        shop(&caller)?;
        return idempotent
            .run(async |conn| {
                let task_id = reconcile::ask(&state, conn, fix, &caller.subject).await;
                let task_id = task_id.map_err(|error| Problem::database(&error))?.as_uuid();
                Answer::accepted(&Queued { task_id, status: "queued" })
            })
            .await;
    };
    if let Some(answer) = idempotent.answered().await? {
        return Ok(answer);
    }
    let wanted = reconcile::Wanted { id: state.ids.next_id(), token_id: Some(token_id), fix };
    let report = reconcile::run(&state, wanted, |user_id| caller.may_see(Some(user_id)), None).await;
    let view = ReportView::from(report.map_err(problem)?);
    idempotent.run(async |_| Answer::ok(&view)).await
}

fn problem(error: Error) -> Problem {
    match error {
        Error::NoAccount => Problem::new(&ACCOUNT_NOT_FOUND),
        Error::Backup(error) => Problem::unavailable("allegro-backup", &error),
        // There is no task that could end.
        Error::Ended(error) => Problem::internal(&error),
        Error::Database(error) => Problem::database(&error),
    }
}

impl From<Report> for ReportView {
    fn from(report: Report) -> Self {
        Self {
            total_checked: report.totals.checked,
            discrepancies: report.discrepancies.into_iter().map(DiscrepancyView::from).collect(),
            auto_fixed: report.totals.auto_fixed,
            requires_manual_review: report.requires_manual_review,
            is_held: report.totals.is_held,
        }
    }
}

impl From<Discrepancy> for DiscrepancyView {
    fn from(found: Discrepancy) -> Self {
        Self {
            id: found.id,
            kind: found.kind,
            token_id: found.token_id,
            order_id: found.order_id,
            sku: found.sku,
            warehouse: found.warehouse,
            local: found.local,
            remote: found.remote,
            first_seen: found.first_seen,
            fixed_at: found.fixed_at,
            how: found.how,
        }
    }
}
