//! The orders of a user.

pub(super) mod export;
pub(super) mod flags;
pub(super) mod history;
mod path;
pub(super) mod quarantine;
pub(super) mod statistics;
pub(super) mod sync;
mod view;

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::{TokenId, UserId};
use serde::Deserialize;
use time::OffsetDateTime;
use utoipa::IntoParams;
use web::problem::INVALID_PARAMETER;
use web::{ApiPath, ApiQuery, Caller, Cursor, Limit, Page, Problem};

use self::path::OrderOfUser;
use self::view::{FullOrderView, OrderPage, OrderView};
use crate::app::orders::{self, Filter};
use crate::app::versions::{VersionKey, at_version};
use crate::domain::search;
use crate::state::State;

/// Shorter texts would find half of everything.
const SHORTEST_TEXT: usize = 3;
/// Longer ones are no search.
const LONGEST_TEXT: usize = 200;

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
    /// Only bought at or after this moment.
    #[serde(default, with = "domain::instant::option")]
    #[param(example = "2026-11-01T00:00:00Z")]
    from: Option<OffsetDateTime>,
    /// Only bought before this moment.
    #[serde(default, with = "domain::instant::option")]
    #[param(example = "2026-12-01T00:00:00Z")]
    to: Option<OffsetDateTime>,
    /// Only with a line of this SKU, written exactly so.
    #[param(example = "AB-12")]
    sku: Option<String>,
    /// Only of this buyer, by login; capitals do not count.
    #[param(example = "kupujacy")]
    buyer: Option<String>,
    /// Only where every one of these words begins a word of the order: its id, the buyer, the addresses, messages, offers
    /// and SKUs. Words of one or two letters must match whole. Capitals and accents do not count.
    #[param(example = "zurawia kowalski", min_length = 3, max_length = 200)]
    text: Option<String>,
    /// Only those whose stock flag stands so.
    #[param(example = false)]
    stock_updated: Option<bool>,
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

impl Wanted {
    fn filter(self) -> Result<Filter, Problem> {
        let after = self.cursor.as_deref().map(Cursor::decode).transpose()?;
        web::page::check_span(self.from, self.to)?;
        Ok(Filter {
            search: self.text.as_deref().map(searched).transpose()?,
            status: self.status,
            fulfillment_status: self.fulfillment_status,
            from: self.from,
            to: self.to,
            sku: self.sku.as_deref().map(search::query_of_sku),
            buyer: self.buyer,
            stock_updated: self.stock_updated,
            after: after.map(|cursor| (cursor.time, cursor.id)),
        })
    }
}

fn searched(text: &str) -> Result<String, Problem> {
    let refused = |code, message| Problem::new(&INVALID_PARAMETER).error("text", code, message);
    match text.trim().chars().count() {
        ..SHORTEST_TEXT => Err(refused("too_short", "must be at least 3 characters long")),
        SHORTEST_TEXT..=LONGEST_TEXT => {
            search::query(text).ok_or_else(|| refused("no_word", "must have a letter or a digit in it"))
        }
        _ => Err(refused("too_long", "must be at most 200 characters long")),
    }
}

/// The orders of a user's accounts, newest first.
#[utoipa::path(get, path = "/api/v1/orders/{user_id}", tag = "orders", operation_id = "list_orders",
    params(("user_id" = inline(UserId), Path, description = "The user whose accounts are meant", example = "sklep-zielony"), Wanted),
    responses((status = 200, description = "A page", body = OrderPage)))]
pub(crate) async fn list(
    state: Data<State>,
    caller: Caller,
    user_id: ApiPath<UserId>,
    ApiQuery(wanted): ApiQuery<Wanted>,
) -> Result<HttpResponse, Problem> {
    let (token_id, limit) = (wanted.token_id, wanted.limit);
    let filter = wanted.filter()?;
    let rows = if caller.may_see(Some(&user_id)) {
        let listed = orders::list(&state, &user_id, token_id, &filter, limit.with_probe()).await;
        listed.map_err(|error| Problem::database(&error))?
    } else {
        Vec::new()
    };
    let page = Page::new(rows, limit, |last| Cursor { time: last.order_date, id: last.id });
    let items = page.items.into_iter().map(OrderView::try_from).collect::<Result<Vec<_>, Problem>>()?;
    Ok(HttpResponse::Ok().json(OrderPage { items, next_cursor: page.next_cursor }))
}

/// Which content of the order.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Content {
    /// The account, where several of the user's have the order; else the one that changed last.
    #[param(example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f")]
    token_id: Option<TokenId>,
    /// Another content of it, by the `key` its list of versions gives; how it stands now unless told.
    #[param(value_type = Option<String>, pattern = "^(late-)?[0-9]{1,10}$", example = "1")]
    version: Option<VersionKey>,
}

/// One order, by Allegro's id, with the whole answer.
#[utoipa::path(get, path = "/api/v1/orders/{user_id}/{order_id}", tag = "orders", operation_id = "get_order",
    params(OrderOfUser, Content),
    responses((status = 200, description = "The order", body = FullOrderView, example = json!({
        "token_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f", "allegro_order_id": "29738e61-7f6a-11e8-ac45-09db60ede9d6",
        "status": "BOUGHT", "fulfillment_status": null, "fulfillment_provider": null, "revision": "819b5836",
        "version": 1, "order_date": "2026-11-20T18:21:09Z", "allegro_updated_at": null, "buyer_login": "kupujacy",
        "total": null, "line_items": [], "lost_data": false, "is_deleted": false, "merged_into": null,
        "is_stock_updated": false, "stock_updated_at": null, "has_invoice_created": false, "invoice_id": null,
        "ready_at": null, "was_shipped": false, "read_at": "2026-11-20T18:21:12Z",
        "first_stored_at": "2026-11-20T18:21:12Z", "parse_notes": [],
        "created_at": "2026-11-20T18:21:12Z", "updated_at": "2026-11-20T18:21:12Z",
        "order_data": { "id": "29738e61-7f6a-11e8-ac45-09db60ede9d6", "status": "BOUGHT" },
    })), (status = 404, description = "order_not_found, version_not_found")))]
pub(crate) async fn get(
    state: Data<State>,
    caller: Caller,
    path: ApiPath<OrderOfUser>,
    ApiQuery(content): ApiQuery<Content>,
) -> Result<HttpResponse, Problem> {
    let mut order = path.find(&state, &caller, content.token_id).await?;
    if let Some(version) = content.version {
        order = at_version(&state, order, version).await?;
    }
    Ok(HttpResponse::Ok().json(FullOrderView::new(order)?))
}
