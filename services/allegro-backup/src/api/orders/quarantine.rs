//! Orders that could not be stored, and the documents that Allegro sent.

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::{TokenId, UserId};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use web::{ApiPath, ApiQuery, Caller, Page, Problem};

use super::history::{Part, place};
use super::path::OrderOfUser;
use crate::api::problems::ORDER_NOT_FOUND;
use crate::app::quarantine::{self, Quarantined, Scope};
use crate::state::State;

/// A quarantined order.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "token_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f", "order_id": "29738e61-7f6a-11e8-ac45-09db60ede9d6",
    "class": "refused", "reason": "Allegro refused the request with 422: VALIDATION_ERROR (trace 4f1d)",
    "status": "pending", "attempts": 2, "next_retry_at": "2026-11-20T18:30:00Z",
    "first_failed_at": "2026-11-20T18:24:00Z", "last_failed_at": "2026-11-20T18:25:00Z",
}))]
pub(crate) struct QuarantinedView {
    token_id: TokenId,
    /// Allegro's id. A document without an id has the name `nameless-` and the SHA-256 of the document.
    #[schema(example = "29738e61-7f6a-11e8-ac45-09db60ede9d6")]
    order_id: String,
    /// `unreadable`, `nameless`, `panicked`, `refused`, `unavailable`, `throttled`, `not_found` or `corrupt`.
    #[schema(example = "refused")]
    class: String,
    /// The reason, for people.
    reason: String,
    /// `pending`; `abandoned` after five attempts, which is retried once a day.
    #[schema(example = "pending")]
    status: String,
    attempts: i32,
    /// A document without an id is not retried: there is nothing to request.
    #[serde(with = "time::serde::rfc3339")]
    next_retry_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    first_failed_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    last_failed_at: OffsetDateTime,
}

/// A quarantined order with its document.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "token_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f", "order_id": "nameless-9f86d081884c7d65",
    "class": "nameless", "reason": "the document has no id", "status": "pending", "attempts": 1,
    "next_retry_at": "2026-11-20T18:25:00Z", "first_failed_at": "2026-11-20T18:24:00Z",
    "last_failed_at": "2026-11-20T18:24:00Z", "document": "{\"id\":null,\"status\":\"BOUGHT\"}",
}))]
pub(crate) struct QuarantinedDocument {
    #[serde(flatten)]
    order: QuarantinedView,
    /// The document as Allegro sent it, as text; null when Allegro sent none.
    document: Option<String>,
}

/// A page of quarantined orders.
#[derive(Serialize, ToSchema)]
pub(crate) struct QuarantinePage {
    items: Vec<QuarantinedView>,
    next_cursor: Option<String>,
}

impl From<Quarantined> for QuarantinedView {
    fn from(order: Quarantined) -> Self {
        Self {
            token_id: order.token_id.into(),
            order_id: order.allegro_order_id,
            class: order.error_class,
            reason: order.error_text,
            status: order.status,
            attempts: order.attempts,
            next_retry_at: order.next_retry_at,
            first_failed_at: order.created_at,
            last_failed_at: order.updated_at,
        }
    }
}

/// The quarantined orders of a user's accounts, the latest first.
#[utoipa::path(get, path = "/api/v1/orders/{user_id}/quarantine", tag = "orders", operation_id = "list_quarantine",
    params(("user_id" = inline(UserId), Path, description = "The user whose accounts are meant", example = "sklep-zielony"), Part),
    responses((status = 200, description = "A page", body = QuarantinePage)))]
pub(crate) async fn list(
    state: Data<State>,
    caller: Caller,
    user_id: ApiPath<UserId>,
    ApiQuery(part): ApiQuery<Part>,
) -> Result<HttpResponse, Problem> {
    let after = part.after()?.map(|(_, seq)| seq);
    let rows = if caller.may_see(Some(&user_id)) {
        let scope = Scope { user_id: &user_id, token_id: part.token_id };
        let listed = quarantine::list(&state, scope, after, part.limit.with_probe()).await;
        listed.map_err(|error| Problem::database(&error))?
    } else {
        Vec::new()
    };
    let page =
        Page::new(rows, part.limit, |last| place(last.created_at, last.seq)).map(QuarantinedView::from);
    Ok(HttpResponse::Ok().json(QuarantinePage { items: page.items, next_cursor: page.next_cursor }))
}

/// Which account.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Whose {
    /// The account, where several of the user's have the order; else the one that failed last.
    #[param(example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f")]
    token_id: Option<TokenId>,
}

/// A quarantined order with the document that Allegro sent.
#[utoipa::path(get, path = "/api/v1/orders/{user_id}/quarantine/{order_id}", tag = "orders",
    operation_id = "get_quarantined_order", params(OrderOfUser, Whose),
    responses((status = 200, description = "The order", body = QuarantinedDocument),
              (status = 404, description = "order_not_found")))]
pub(crate) async fn get(
    state: Data<State>,
    caller: Caller,
    path: ApiPath<OrderOfUser>,
    ApiQuery(whose): ApiQuery<Whose>,
) -> Result<HttpResponse, Problem> {
    if !caller.may_see(Some(&path.user_id)) {
        return Err(Problem::new(&ORDER_NOT_FOUND));
    }
    let scope = Scope { user_id: &path.user_id, token_id: whose.token_id };
    let found = quarantine::find(&state, scope, &path.order_id).await;
    let found = found.map_err(|error| Problem::database(&error))?;
    let (order, document) = found.ok_or_else(|| Problem::new(&ORDER_NOT_FOUND))?;
    Ok(HttpResponse::Ok().json(QuarantinedDocument { order: order.into(), document }))
}
