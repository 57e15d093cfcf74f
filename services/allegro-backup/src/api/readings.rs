//! What readings came to, and the proof that nothing is missing.

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::{TaskId, TokenId, UserId};
use serde::{Deserialize, Serialize};
use time::{Date, Duration, OffsetDateTime};
use utoipa::{IntoParams, ToSchema};
use web::{ApiPath, ApiQuery, Caller, Cursor, Limit, Page, Problem};

use super::problems::TOKEN_NOT_FOUND;
use crate::app::accounts;
use crate::app::history::{self, Reading};
use crate::app::proof::{self, Day, Open};
use crate::state::State;

time::serde::format_description!(day, Date, "[year]-[month]-[day]");

/// The longest report.
const LONGEST: i64 = 366;
/// The report's length unless something else is asked for.
const USUAL: i64 = 30;

/// Which readings.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Only of this account.
    #[param(example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f")]
    token_id: Option<TokenId>,
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

/// A reading.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "task_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398e", "token_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f",
    "kind": "list", "sync_status": "completed", "sync_started_at": "2026-11-21T08:00:00Z",
    "sync_completed_at": "2026-11-21T08:00:31Z", "sync_from_date": "2026-10-22T08:00:00Z",
    "sync_to_date": "2026-11-21T08:00:00Z", "orders_processed": 2060, "orders_added": 3, "orders_updated": 41,
    "orders_unchanged": 2016, "orders_failed": 0, "error_message": null,
}))]
pub(crate) struct ReadingView {
    task_id: TaskId,
    token_id: TokenId,
    /// `events` (the journal), `list` (by schedule), `sweep` (open orders) or `manual` (a list somebody asked for).
    #[schema(example = "list")]
    kind: String,
    /// `running`, `completed`, `failed` or `cancelled`.
    #[schema(example = "completed")]
    sync_status: String,
    #[serde(with = "time::serde::rfc3339")]
    sync_started_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    sync_completed_at: Option<OffsetDateTime>,
    /// Orders bought from this moment on, where it is a list.
    #[serde(with = "time::serde::rfc3339::option")]
    sync_from_date: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    sync_to_date: Option<OffsetDateTime>,
    orders_processed: i64,
    orders_added: i64,
    orders_updated: i64,
    orders_unchanged: i64,
    /// Orders that went into quarantine.
    orders_failed: i64,
    error_message: Option<String>,
}

impl From<Reading> for ReadingView {
    fn from(reading: Reading) -> Self {
        Self {
            task_id: reading.task_id(),
            token_id: reading.token_id(),
            kind: reading.kind,
            sync_status: reading.status,
            sync_started_at: reading.sync_started_at,
            sync_completed_at: reading.sync_completed_at,
            sync_from_date: reading.sync_from_date,
            sync_to_date: reading.sync_to_date,
            orders_processed: reading.orders_processed,
            orders_added: reading.orders_added,
            orders_updated: reading.orders_updated,
            orders_unchanged: reading.orders_unchanged,
            orders_failed: reading.orders_failed,
            error_message: reading.error_message,
        }
    }
}

/// A page of readings.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReadingPage {
    items: Vec<ReadingView>,
    next_cursor: Option<String>,
}

/// What the readings of a user's accounts came to, newest first. Following the journal leaves a row where it found
/// something.
#[utoipa::path(get, path = "/api/v1/sync/history/{user_id}", tag = "sync", operation_id = "list_sync_history",
    params(("user_id" = inline(UserId), Path, description = "The user whose accounts are meant", example = "sklep-zielony"), Wanted),
    responses((status = 200, description = "A page", body = ReadingPage)))]
pub(crate) async fn list(
    state: Data<State>,
    caller: Caller,
    user_id: ApiPath<UserId>,
    ApiQuery(wanted): ApiQuery<Wanted>,
) -> Result<HttpResponse, Problem> {
    let after = Cursor::after(wanted.cursor.as_deref())?;
    let rows = if caller.may_see(Some(&user_id)) {
        let listed = history::list(&state, &user_id, wanted.token_id, after, wanted.limit.with_probe()).await;
        listed.map_err(|error| Problem::database(&error))?
    } else {
        Vec::new()
    };
    let page = Page::new(rows, wanted.limit, |last| Cursor {
        time: last.sync_started_at,
        id: last.task_id().as_uuid(),
    })
    .map(ReadingView::from);
    Ok(HttpResponse::Ok().json(ReadingPage { items: page.items, next_cursor: page.next_cursor }))
}

/// Which days (UTC).
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Span {
    /// The first day; 30 days before the last when left out.
    #[serde(default, with = "day::option")]
    #[param(value_type = Option<String>, format = Date, example = "2026-11-01")]
    from: Option<Date>,
    /// The last day; today when left out.
    #[serde(default, with = "day::option")]
    #[param(value_type = Option<String>, format = Date, example = "2026-11-21")]
    to: Option<Date>,
}

/// What is known of one day.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "day": "2026-11-20", "state": "green", "stored": 41, "in_lists": 41, "in_events": 40, "deleted": 0, "missing": 0,
    "unlisted": 0, "quarantined": 0, "listed_at": "2026-11-21T08:00:00Z",
}))]
pub(crate) struct DayView {
    /// The day (UTC) the orders were bought on.
    #[schema(example = "2026-11-20", format = Date)]
    day: String,
    /// `green`: everything agrees; `open`: something does not; `unproven`: no list was read over the day yet.
    #[schema(example = "green")]
    state: &'static str,
    /// Orders stored.
    stored: i64,
    /// Of them, named by a list.
    in_lists: i64,
    /// Of them, named by an event. What was bought before the account was connected need not be.
    in_events: i64,
    /// Of them, gone at Allegro: merged into another, or vanished.
    deleted: i64,
    /// Orders that an event named and that are neither stored nor quarantined.
    missing: usize,
    /// Orders stored that the last list did not name.
    unlisted: usize,
    /// Orders in quarantine.
    quarantined: usize,
    /// When the last complete list over the day was begun.
    #[serde(with = "time::serde::rfc3339::option")]
    listed_at: Option<OffsetDateTime>,
}

/// An order that keeps its day from being green.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "order_id": "29738e61-7f6a-11e8-ac45-09db60ede9d6", "day": "2026-11-20", "why": "quarantined",
}))]
pub(crate) struct OpenView {
    #[schema(example = "29738e61-7f6a-11e8-ac45-09db60ede9d6")]
    order_id: String,
    #[schema(example = "2026-11-20", format = Date)]
    day: String,
    /// `missing`, `unlisted` or `quarantined`.
    #[schema(example = "quarantined")]
    why: String,
}

/// The proof, day by day.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "token_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f", "is_green": false,
    "days": [{
        "day": "2026-11-20", "state": "open", "stored": 41, "in_lists": 41, "in_events": 40, "deleted": 0, "missing": 0,
        "unlisted": 0, "quarantined": 1, "listed_at": "2026-11-21T08:00:00Z",
    }],
    "open": [{ "order_id": "29738e61-7f6a-11e8-ac45-09db60ede9d6", "day": "2026-11-20", "why": "quarantined" }],
}))]
pub(crate) struct GapsView {
    token_id: TokenId,
    /// True when every day is.
    is_green: bool,
    /// Newest first.
    days: Vec<DayView>,
    /// The orders that keep days from being green, 200 at most; they are asked for without being told to.
    open: Vec<OpenView>,
}

fn day_view(day: &Day, open: &[Open]) -> DayView {
    let count = |why: &str| open.iter().filter(|it| it.day == day.day && it.why == why).count();
    let (missing, unlisted, quarantined) = (count("missing"), count("unlisted"), count("quarantined"));
    let state = match (missing + unlisted + quarantined, day.listed_at) {
        (0, Some(_)) => "green",
        (0, None) => "unproven",
        _ => "open",
    };
    DayView {
        day: day.day.to_string(),
        state,
        stored: day.stored,
        in_lists: day.in_lists,
        in_events: day.in_events,
        deleted: day.deleted,
        missing,
        unlisted,
        quarantined,
        listed_at: day.listed_at,
    }
}

/// Whether anything is missing: what events named, what lists named and what is stored, day by day.
#[utoipa::path(get, path = "/api/v1/sync/gaps/{token_id}", tag = "sync", operation_id = "get_gaps",
    params(("token_id" = TokenId, Path, description = "The account",
        example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f"), Span),
    responses((status = 200, description = "The proof", body = GapsView),
              (status = 404, description = "token_not_found")))]
pub(crate) async fn gaps(
    state: Data<State>,
    caller: Caller,
    token_id: ApiPath<TokenId>,
    ApiQuery(span): ApiQuery<Span>,
) -> Result<HttpResponse, Problem> {
    let to = span.to.unwrap_or_else(|| state.now().date());
    let from = span.from.or_else(|| to.checked_sub(Duration::days(USUAL))).unwrap_or(to);
    let length = (to - from).whole_days();
    if !(0..LONGEST).contains(&length) || from.year() < 2000 {
        let problem = Problem::new(&web::problem::INVALID_PARAMETER);
        return Err(problem.error(
            "from",
            "invalid_range",
            "must be in this century, not after `to`, and at most 366 days before it",
        ));
    }
    let found = accounts::find(&state, *token_id).await.map_err(|error| Problem::database(&error))?;
    let ours = found.filter(|account| caller.may_see(Some(&account.user_id)));
    ours.ok_or_else(|| Problem::new(&TOKEN_NOT_FOUND))?;
    let report = proof::report(&state, *token_id, (from, to)).await;
    let report = report.map_err(|error| Problem::database(&error))?;
    let days: Vec<DayView> = report.days.iter().map(|day| day_view(day, &report.open)).collect();
    let open = report.open.into_iter().map(|it| OpenView {
        order_id: it.order_id,
        day: it.day.to_string(),
        why: it.why,
    });
    Ok(HttpResponse::Ok().json(GapsView {
        token_id: *token_id,
        is_green: days.iter().all(|day| day.state == "green"),
        days,
        open: open.collect(),
    }))
}
