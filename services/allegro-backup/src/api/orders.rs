//! The orders of a user.

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::{Money, TokenId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use web::{ApiPath, ApiQuery, Caller, Cursor, Limit, Page, Problem};

use super::problems::ORDER_NOT_FOUND;
use crate::app::orders::{self, Filter, Listed};
use crate::state::State;

/// Which orders.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Only of this account.
    #[param(example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f")]
    token_id: Option<TokenId>,
    /// Only with this form status.
    #[param(example = "READY_FOR_PROCESSING")]
    status: Option<String>,
    /// Only with this seller's status.
    #[param(example = "SENT")]
    fulfillment_status: Option<String>,
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

/// An order.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "token_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f", "allegro_order_id": "29738e61-7f6a-11e8-ac45-09db60ede9d6",
    "status": "READY_FOR_PROCESSING", "fulfillment_status": "NEW", "revision": "819b5836", "version": 2,
    "order_date": "2026-11-20T18:21:09Z", "allegro_updated_at": "2026-11-20T18:25:00Z", "buyer_login": "kupujacy",
    "total": { "amount": "123.45", "currency": "PLN" }, "lost_data": false,
    "created_at": "2026-11-20T18:21:12Z", "updated_at": "2026-11-20T18:25:02Z",
}))]
pub(crate) struct OrderView {
    token_id: TokenId,
    #[schema(example = "29738e61-7f6a-11e8-ac45-09db60ede9d6")]
    allegro_order_id: String,
    /// `BOUGHT`, `FILLED_IN`, `READY_FOR_PROCESSING` or `CANCELLED`.
    status: String,
    fulfillment_status: Option<String>,
    revision: Option<String>,
    /// Grows with each content that replaced another.
    version: i64,
    #[serde(with = "time::serde::rfc3339")]
    order_date: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    allegro_updated_at: Option<OffsetDateTime>,
    buyer_login: Option<String>,
    total: Option<Money>,
    /// True when Allegro's later answer said less than an earlier one; both are kept.
    lost_data: bool,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
}

/// An order with Allegro's whole answer.
#[derive(Serialize, ToSchema)]
pub(crate) struct FullOrderView {
    #[serde(flatten)]
    order: OrderView,
    /// As Allegro sent it, nothing dropped.
    #[schema(value_type = Object)]
    order_data: Value,
}

/// A page of orders.
#[derive(Serialize, ToSchema)]
pub(crate) struct OrderPage {
    items: Vec<OrderView>,
    next_cursor: Option<String>,
}

impl From<Listed> for OrderView {
    fn from(listed: Listed) -> Self {
        Self {
            token_id: listed.token_id(),
            total: listed.total(),
            allegro_order_id: listed.allegro_order_id,
            status: listed.status,
            fulfillment_status: listed.fulfillment_status,
            revision: listed.revision,
            version: listed.version,
            order_date: listed.order_date,
            allegro_updated_at: listed.allegro_updated_at,
            buyer_login: listed.buyer_login,
            lost_data: listed.lost_data,
            created_at: listed.created_at,
            updated_at: listed.updated_at,
        }
    }
}

/// The orders of a user's accounts, newest first.
#[utoipa::path(get, path = "/api/v1/orders/{user_id}", tag = "orders", operation_id = "list_orders",
    params(("user_id" = String, Path, description = "The user whose accounts are meant", example = "sklep-zielony"), Wanted),
    responses((status = 200, description = "A page", body = OrderPage)))]
pub(crate) async fn list(
    state: Data<State>,
    caller: Caller,
    user_id: ApiPath<String>,
    ApiQuery(wanted): ApiQuery<Wanted>,
) -> Result<HttpResponse, Problem> {
    let after = wanted.cursor.as_deref().map(Cursor::decode).transpose()?;
    let filter = Filter {
        status: wanted.status,
        fulfillment_status: wanted.fulfillment_status,
        after: after.map(|cursor| (cursor.time, cursor.id)),
    };
    let rows = if caller.sees(&user_id) {
        let listed =
            orders::list(&state, &user_id, wanted.token_id, &filter, wanted.limit.with_probe()).await;
        listed.map_err(|error| Problem::database(&error))?
    } else {
        Vec::new()
    };
    let page = Page::new(rows, wanted.limit, |last| Cursor { time: last.order_date, id: last.id });
    Ok(HttpResponse::Ok().json(page.map(OrderView::from)))
}

/// One order, by Allegro's id, with the whole answer.
#[utoipa::path(get, path = "/api/v1/orders/{user_id}/{order_id}", tag = "orders", operation_id = "get_order",
    params(("user_id" = String, Path, description = "The user whose accounts are meant", example = "sklep-zielony"),
        ("order_id" = String, Path, description = "Allegro's id of the order",
         example = "29738e61-7f6a-11e8-ac45-09db60ede9d6")),
    responses((status = 200, description = "The order", body = FullOrderView, example = json!({
        "token_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f", "allegro_order_id": "29738e61-7f6a-11e8-ac45-09db60ede9d6",
        "status": "BOUGHT", "fulfillment_status": null, "revision": "819b5836", "version": 1,
        "order_date": "2026-11-20T18:21:09Z", "allegro_updated_at": null, "buyer_login": "kupujacy", "total": null,
        "lost_data": false, "created_at": "2026-11-20T18:21:12Z", "updated_at": "2026-11-20T18:21:12Z",
        "order_data": { "id": "29738e61-7f6a-11e8-ac45-09db60ede9d6", "status": "BOUGHT" },
    })), (status = 404, description = "order_not_found")))]
pub(crate) async fn get(
    state: Data<State>,
    caller: Caller,
    path: ApiPath<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (user_id, order_id) = &*path;
    let found = if caller.sees(user_id) {
        orders::find(&state, user_id, order_id).await.map_err(|error| Problem::database(&error))?
    } else {
        None
    };
    let (listed, order_data) = found.ok_or_else(|| Problem::new(&ORDER_NOT_FOUND))?;
    Ok(HttpResponse::Ok().json(FullOrderView { order: listed.into(), order_data }))
}
