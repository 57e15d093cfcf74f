//! What comparing with allegro-backup has found, and when it was compared.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use web::{ApiQuery, Caller, Cursor, Limit, Page, Paging, Problem};

use super::inventory::shop;
use super::reconcile::DiscrepancyView;
use crate::app::reconcile::{self, Filter, RunRow};
use crate::domain::difference::Kind;
use crate::state::State;

/// A run.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398a", "token_id": null, "fix": false, "total_checked": 412, "differing": 1,
    "auto_fixed": 1, "is_held": false, "started_at": "2026-11-21T08:00:00Z", "finished_at": "2026-11-21T08:00:04Z",
}))]
pub(crate) struct RunView {
    id: Uuid,
    /// The only account that was compared; every account and the ledger when null.
    token_id: Option<Uuid>,
    /// Whether what may be put right was, however new it was.
    fix: bool,
    /// Orders compared.
    total_checked: i64,
    /// Orders that differed.
    differing: i64,
    auto_fixed: i64,
    /// True when so much differed that nothing was put right.
    is_held: bool,
    #[serde(with = "time::serde::rfc3339")]
    started_at: OffsetDateTime,
    /// Null while it goes on, and when it was ended early.
    #[serde(with = "time::serde::rfc3339::option")]
    finished_at: Option<OffsetDateTime>,
}

/// A page of runs.
#[derive(Serialize, ToSchema)]
pub(crate) struct RunPage {
    items: Vec<RunView>,
    next_cursor: Option<String>,
}

/// A page of findings.
#[derive(Serialize, ToSchema)]
pub(crate) struct DiscrepancyPage {
    items: Vec<DiscrepancyView>,
    next_cursor: Option<String>,
}

/// Whether a finding still is one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FindingState {
    /// It differs.
    #[default]
    Open,
    /// It was put right, or was not found any more.
    Fixed,
}

/// Which findings.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Open ones unless told.
    #[serde(default)]
    #[param(inline, example = "open")]
    state: FindingState,
    /// Only of this kind.
    #[param(inline, example = "quantity_mismatch")]
    kind: Option<Kind>,
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

/// Runs that compared, newest first.
#[utoipa::path(get, path = "/api/v1/stock-sync/reconciliations", tag = "stock-sync",
    operation_id = "list_reconciliations", params(Paging),
    responses((status = 200, description = "A page", body = RunPage),
              (status = 403, description = "not_of_one_user")))]
pub(crate) async fn runs(
    state: Data<State>,
    caller: Caller,
    ApiQuery(wanted): ApiQuery<Paging>,
) -> Result<HttpResponse, Problem> {
    shop(&caller)?;
    let after = Cursor::after(wanted.cursor.as_deref())?;
    let found = reconcile::runs(&state, after, wanted.limit.with_probe()).await;
    let found = found.map_err(|error| Problem::database(&error))?;
    let page = Page::new(found, wanted.limit, |last| Cursor { time: last.started_at, id: last.id });
    Ok(HttpResponse::Ok().json(page.map(RunView::from)))
}

/// What differs from allegro-backup, or did; first seen last. A caller bound to a user sees that user's.
#[utoipa::path(get, path = "/api/v1/stock-sync/discrepancies", tag = "stock-sync",
    operation_id = "list_discrepancies", params(Wanted),
    responses((status = 200, description = "A page", body = DiscrepancyPage)))]
pub(crate) async fn list(
    state: Data<State>,
    caller: Caller,
    ApiQuery(wanted): ApiQuery<Wanted>,
) -> Result<HttpResponse, Problem> {
    let filter = Filter {
        user_id: caller.user_id.clone(),
        kind: wanted.kind.map(Kind::word),
        is_fixed: wanted.state == FindingState::Fixed,
        after: Cursor::after(wanted.cursor.as_deref())?,
    };
    let found = reconcile::found(&state, &filter, wanted.limit.with_probe()).await;
    let found = found.map_err(|error| Problem::database(&error))?;
    let page = Page::new(found, wanted.limit, |last| Cursor { time: last.first_seen, id: last.id });
    Ok(HttpResponse::Ok().json(page.map(DiscrepancyView::from)))
}

impl From<RunRow> for RunView {
    fn from(run: RunRow) -> Self {
        Self {
            id: run.id,
            token_id: run.token_id,
            fix: run.fix,
            total_checked: run.total_checked,
            differing: run.differing,
            auto_fixed: run.auto_fixed,
            is_held: run.is_held,
            started_at: run.started_at,
            finished_at: run.finished_at,
        }
    }
}
