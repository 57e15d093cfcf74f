//! Technical flags: what stock-sync and the seller's own programs have done about an order.

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::TokenId;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use web::{ApiJson, ApiPath, Caller, FieldErrors, Problem};

use super::super::problems::ORDER_NOT_FOUND;
use super::path::OrderOfAccount;
use crate::app::flags::{self, Flags};
use crate::state::State;

/// Longer ids are none.
const LONGEST_INVOICE_ID: usize = 255;

/// Whether the order's pieces have left the stock.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "is_stock_updated": true }))]
pub(crate) struct StockStatus {
    is_stock_updated: bool,
}

/// Whether an invoice was made, and which.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "has_invoice_created": true, "invoice_id": "FV/2026/11/17" }))]
pub(crate) struct InvoiceStatus {
    has_invoice_created: bool,
    /// Only with an invoice; left out, none is known.
    #[schema(min_length = 1, max_length = 255)]
    invoice_id: Option<String>,
}

/// The flags of an order.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "token_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f", "allegro_order_id": "29738e61-7f6a-11e8-ac45-09db60ede9d6",
    "is_stock_updated": true, "stock_updated_at": "2026-11-20T18:25:03Z", "has_invoice_created": false,
    "invoice_id": null,
}))]
pub(crate) struct FlagsView {
    token_id: TokenId,
    allegro_order_id: String,
    is_stock_updated: bool,
    /// Since when.
    #[serde(with = "time::serde::rfc3339::option")]
    stock_updated_at: Option<OffsetDateTime>,
    has_invoice_created: bool,
    invoice_id: Option<String>,
}

fn answer(order: OrderOfAccount, flags: Result<Option<Flags>, pg::Error>) -> Result<HttpResponse, Problem> {
    let flags = flags.map_err(|error| Problem::database(&error))?;
    let flags = flags.ok_or_else(|| Problem::new(&ORDER_NOT_FOUND))?;
    Ok(HttpResponse::Ok().json(FlagsView {
        token_id: order.token_id,
        allegro_order_id: order.order_id,
        is_stock_updated: flags.is_stock_updated,
        stock_updated_at: flags.stock_updated_at,
        has_invoice_created: flags.has_invoice_created,
        invoice_id: flags.invoice_id,
    }))
}

/// The flags of an order.
#[utoipa::path(get, path = "/api/v1/orders/{token_id}/{order_id}/technical-flags", tag = "orders",
    operation_id = "get_technical_flags", params(OrderOfAccount),
    responses((status = 200, description = "The flags", body = FlagsView),
              (status = 404, description = "token_not_found, order_not_found")))]
pub(crate) async fn get(
    state: Data<State>,
    caller: Caller,
    ApiPath(order): ApiPath<OrderOfAccount>,
) -> Result<HttpResponse, Problem> {
    order.guard(&state, &caller).await?;
    let flags = flags::read(&state, order.token_id, &order.order_id).await;
    answer(order, flags)
}

/// Notes whether the order's pieces have left the stock. Said again, it changes nothing.
#[utoipa::path(patch, path = "/api/v1/orders/{token_id}/{order_id}/stock-status", tag = "orders",
    operation_id = "set_stock_status", params(OrderOfAccount), request_body = StockStatus,
    responses((status = 200, description = "The flags as they stand now", body = FlagsView),
              (status = 404, description = "token_not_found, order_not_found")))]
pub(crate) async fn set_stock(
    state: Data<State>,
    caller: Caller,
    ApiPath(order): ApiPath<OrderOfAccount>,
    ApiJson(wish): ApiJson<StockStatus>,
) -> Result<HttpResponse, Problem> {
    order.guard(&state, &caller).await?;
    let flags = flags::set_stock(&state, order.token_id, &order.order_id, wish.is_stock_updated).await;
    answer(order, flags)
}

/// Notes whether an invoice was made, and which. Said again, it changes nothing.
#[utoipa::path(patch, path = "/api/v1/orders/{token_id}/{order_id}/invoice-status", tag = "orders",
    operation_id = "set_invoice_status", params(OrderOfAccount), request_body = InvoiceStatus,
    responses((status = 200, description = "The flags as they stand now", body = FlagsView),
              (status = 404, description = "token_not_found, order_not_found")))]
pub(crate) async fn set_invoice(
    state: Data<State>,
    caller: Caller,
    ApiPath(order): ApiPath<OrderOfAccount>,
    ApiJson(wish): ApiJson<InvoiceStatus>,
) -> Result<HttpResponse, Problem> {
    let InvoiceStatus { has_invoice_created, invoice_id } = wish;
    let mut errors = FieldErrors::default();
    if let Some(id) = &invoice_id {
        let length = id.chars().count();
        errors.check(
            (1..=LONGEST_INVOICE_ID).contains(&length),
            "/invoice_id",
            "length",
            "is 1 to 255 characters long",
        );
        errors.check(has_invoice_created, "/invoice_id", "no_invoice", "goes with an invoice only");
    }
    errors.finish()?;
    order.guard(&state, &caller).await?;
    let (id, created) = (order.order_id.as_str(), has_invoice_created);
    let flags = flags::set_invoice(&state, order.token_id, id, created, invoice_id.as_deref()).await;
    answer(order, flags)
}
