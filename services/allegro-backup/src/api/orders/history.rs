//! What an order was, what changed, and what Allegro's journal said of it.

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::TokenId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use web::{ApiPath, ApiQuery, Caller, Cursor, Limit, Page, Problem};

use super::super::problems::VERSION_NOT_FOUND;
use super::path::OrderOfUser;
use crate::app::versions::{self, HistoryError, JournalEvent, Version, VersionKey};
use crate::domain::difference::Change;
use crate::state::State;

/// A part of a list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Part {
    /// The account, where several of the user's have the order; else the one that changed last.
    #[param(example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f")]
    pub(super) token_id: Option<TokenId>,
    /// At most so many, 1 to 200.
    #[serde(default)]
    #[param(value_type = Option<u16>, default = 50, minimum = 1, maximum = 200)]
    pub(super) limit: Limit,
    /// Where the page before ended: its `next_cursor`.
    #[param(
        example = "eyJ2IjoxLCJ0IjoxNzk1MjQ4MDAwMDAwMDAwLCJpIjoiMDE5MGM1YTQtNmY3ZS03Y2MzLTk4YzQtZGMwYzBjMDczOThmIn0"
    )]
    cursor: Option<String>,
}

impl Part {
    /// The last row already seen: its moment and number.
    pub(super) fn after(&self) -> Result<Option<(OffsetDateTime, i64)>, Problem> {
        let cursor = self.cursor.as_deref().map(Cursor::decode).transpose()?;
        // A number beyond all others begins at the beginning of its moment.
        Ok(cursor.map(|it| (it.time, i64::try_from(it.id.as_u128()).unwrap_or(i64::MAX))))
    }
}

/// The place of a row in a list: rows with numbers stand in the shared cursor by them.
pub(super) fn place(time: OffsetDateTime, number: i64) -> Cursor {
    Cursor { time, id: Uuid::from_u128(u128::try_from(number).unwrap_or_default()) }
}

/// A content of an order.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "key": "1", "version": 1, "revision": "819b5836", "seen_at": "2026-11-20T18:21:12Z", "source": "event", "is_current": false,
}))]
pub(crate) struct VersionView {
    /// What the order is asked for as it was then by (`?version=`), and compared by (`versions/diff`).
    #[schema(value_type = String)]
    key: VersionKey,
    /// Its number; null for a content that came when a newer one was already there, and never became the order's.
    version: Option<i64>,
    revision: Option<String>,
    /// When the request that brought it was started.
    #[serde(with = "time::serde::rfc3339")]
    seen_at: OffsetDateTime,
    /// How it came: by an `event`, the `list`, `detail` (asked for by itself, as it may have changed unheard or was missing),
    /// `manual` (a person asked), or `import`.
    source: String,
    is_current: bool,
}

/// A page of contents.
#[derive(Serialize, ToSchema)]
pub(crate) struct VersionPage {
    items: Vec<VersionView>,
    next_cursor: Option<String>,
}

/// An event of Allegro's journal.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "event_id": "1674115432119", "type": "READY_FOR_PROCESSING", "occurred_at": "2026-11-20T18:25:00Z",
    "is_duplicate": false, "received_at": "2026-11-20T18:25:02Z",
    "event_data": { "id": "1674115432119", "type": "READY_FOR_PROCESSING", "occurredAt": "2026-11-20T18:25:00Z" },
}))]
pub(crate) struct EventView {
    event_id: String,
    /// `BOUGHT`, `FILLED_IN`, `READY_FOR_PROCESSING`, `BUYER_CANCELLED`, …
    #[serde(rename = "type")]
    kind: String,
    #[serde(with = "time::serde::rfc3339")]
    occurred_at: OffsetDateTime,
    /// True when another event had said the same.
    is_duplicate: bool,
    #[serde(with = "time::serde::rfc3339")]
    received_at: OffsetDateTime,
    /// As Allegro sent it.
    #[schema(value_type = Object)]
    event_data: Value,
}

/// A page of events.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventPage {
    items: Vec<EventView>,
    next_cursor: Option<String>,
}

impl From<Version> for VersionView {
    fn from(version: Version) -> Self {
        let key = version.key();
        let Version { version, revision, seen_at, source, is_current, seq: _ } = version;
        Self { key, version, revision, seen_at, source, is_current }
    }
}

impl From<JournalEvent> for EventView {
    fn from(event: JournalEvent) -> Self {
        let JournalEvent { event_id, kind, occurred_at, is_duplicate, received_at, event_data, seq: _ } =
            event;
        Self { event_id, kind, occurred_at, is_duplicate, received_at, event_data }
    }
}

impl From<HistoryError> for Problem {
    fn from(error: HistoryError) -> Self {
        match error {
            HistoryError::NoVersion(version) => {
                Self::new(&VERSION_NOT_FOUND).detail(format!("the order has no version {version}"))
            }
            HistoryError::Database(error) => Self::database(&error),
            HistoryError::Stored(_) | HistoryError::Difference(_) => Self::internal(&error),
        }
    }
}

/// Every content of an order, the latest first.
#[utoipa::path(get, path = "/api/v1/orders/{user_id}/{order_id}/versions", tag = "orders",
    operation_id = "list_order_versions", params(OrderOfUser, Part),
    responses((status = 200, description = "A page", body = VersionPage),
              (status = 404, description = "order_not_found")))]
pub(crate) async fn versions(
    state: Data<State>,
    caller: Caller,
    path: ApiPath<OrderOfUser>,
    ApiQuery(part): ApiQuery<Part>,
) -> Result<HttpResponse, Problem> {
    let after = part.after()?;
    let order = path.find(&state, &caller, part.token_id).await?;
    let found = versions::versions(&state, &order, after, part.limit.with_probe()).await;
    let rows = found.map_err(|error| Problem::database(&error))?;
    let page = Page::new(rows, part.limit, |last| place(last.seen_at, last.seq)).map(VersionView::from);
    Ok(HttpResponse::Ok().json(VersionPage { items: page.items, next_cursor: page.next_cursor }))
}

/// Two contents.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Two {
    /// The account, where several of the user's have the order; else the one that changed last.
    #[param(example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f")]
    token_id: Option<TokenId>,
    /// The version to begin with: its `key`.
    #[param(value_type = String, pattern = "^(late-)?[0-9]{1,10}$", example = "1")]
    from: VersionKey,
    /// The version to end with.
    #[param(value_type = String, pattern = "^(late-)?[0-9]{1,10}$", example = "2")]
    to: VersionKey,
}

/// One step from a content to another.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChangeView {
    /// `add`, `remove` or `replace`, as RFC 6902 has them.
    #[schema(example = "replace")]
    op: &'static str,
    /// A JSON pointer, into the content as the steps before have left it.
    #[schema(example = "/fulfillment/status")]
    path: String,
    /// What stood there; left out for `add`.
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<Value>,
    /// What stands there; left out for `remove`.
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<Value>,
}

/// What differs between two contents.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "from": "1", "to": "2",
    "changes": [{ "op": "replace", "path": "/fulfillment/status", "old": "NEW", "new": "SENT" }],
}))]
pub(crate) struct DifferenceView {
    #[schema(value_type = String)]
    from: VersionKey,
    #[schema(value_type = String)]
    to: VersionKey,
    changes: Vec<ChangeView>,
}

impl From<Change> for ChangeView {
    fn from(Change { op, path, old, new }: Change) -> Self {
        Self { op, path, old, new }
    }
}

/// What differs between two versions of an order.
#[utoipa::path(get, path = "/api/v1/orders/{user_id}/{order_id}/versions/diff", tag = "orders",
    operation_id = "compare_order_versions", params(OrderOfUser, Two),
    responses((status = 200, description = "The steps from one to the other", body = DifferenceView),
              (status = 404, description = "order_not_found, version_not_found")))]
pub(crate) async fn difference(
    state: Data<State>,
    caller: Caller,
    path: ApiPath<OrderOfUser>,
    ApiQuery(two): ApiQuery<Two>,
) -> Result<HttpResponse, Problem> {
    let order = path.find(&state, &caller, two.token_id).await?;
    let changes = versions::difference(&state, &order, two.from, two.to).await?;
    let changes = changes.into_iter().map(ChangeView::from).collect();
    Ok(HttpResponse::Ok().json(DifferenceView { from: two.from, to: two.to, changes }))
}

/// What Allegro's journal said of an order, the latest first.
#[utoipa::path(get, path = "/api/v1/orders/{user_id}/{order_id}/events", tag = "orders",
    operation_id = "list_order_events", params(OrderOfUser, Part),
    responses((status = 200, description = "A page", body = EventPage),
              (status = 404, description = "order_not_found")))]
pub(crate) async fn events(
    state: Data<State>,
    caller: Caller,
    path: ApiPath<OrderOfUser>,
    ApiQuery(part): ApiQuery<Part>,
) -> Result<HttpResponse, Problem> {
    let after = part.after()?;
    let order = path.find(&state, &caller, part.token_id).await?;
    let found = versions::events(&state, &order, after, part.limit.with_probe()).await;
    let rows = found.map_err(|error| Problem::database(&error))?;
    let page = Page::new(rows, part.limit, |last| place(last.occurred_at, last.seq)).map(EventView::from);
    Ok(HttpResponse::Ok().json(EventPage { items: page.items, next_cursor: page.next_cursor }))
}
