//! An order, as callers see it.

use allegro::Note;
use domain::events::LineItem;
use domain::{Money, TokenId};
use serde::Serialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use utoipa::ToSchema;
use web::Problem;

use crate::app::orders::Listed;
use crate::domain::order::Order;

/// An order.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "token_id": "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f", "allegro_order_id": "29738e61-7f6a-11e8-ac45-09db60ede9d6",
    "status": "READY_FOR_PROCESSING", "fulfillment_status": "NEW", "fulfillment_provider": "SELLER",
    "revision": "819b5836", "version": 2, "order_date": "2026-11-20T18:21:09Z",
    "allegro_updated_at": "2026-11-20T18:25:00Z", "buyer_login": "kupujacy",
    "total": { "amount": "123.45", "currency": "PLN" },
    "line_items": [{ "id": "62ae358b-8f65-4fc4-9c77-bedf604a2e2b", "offer_id": "3213213", "sku": "AB-12", "quantity": 2,
                     "price": { "amount": "61.50", "currency": "PLN" } }],
    "lost_data": false, "is_deleted": false, "merged_into": null, "is_stock_updated": false,
    "stock_updated_at": null, "has_invoice_created": true, "invoice_id": "FV/2026/11/17",
    "created_at": "2026-11-20T18:21:12Z", "updated_at": "2026-11-20T18:25:02Z",
    "ready_at": "2026-11-20T18:24:40Z", "was_shipped": false, "read_at": "2026-11-20T18:25:01Z",
    "first_stored_at": "2026-11-20T18:21:12Z", "parse_notes": [],
}))]
#[expect(clippy::struct_excessive_bools, reason = "each says something of its own, as the columns do")]
pub(crate) struct OrderView {
    token_id: TokenId,
    #[schema(example = "29738e61-7f6a-11e8-ac45-09db60ede9d6")]
    allegro_order_id: String,
    /// `BOUGHT`, `FILLED_IN`, `READY_FOR_PROCESSING` or `CANCELLED`; null when it is unreadable.
    status: Option<String>,
    fulfillment_status: Option<String>,
    /// Who ships it: `SELLER` or `ALLEGRO`.
    fulfillment_provider: Option<String>,
    revision: Option<String>,
    /// Grows with each content that replaced another; null where a content is shown that came too late to be one.
    version: Option<i64>,
    #[serde(with = "time::serde::rfc3339")]
    order_date: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    allegro_updated_at: Option<OffsetDateTime>,
    buyer_login: Option<String>,
    total: Option<Money>,
    line_items: Vec<LineItem>,
    /// True when Allegro's later answer said less than an earlier one; both are kept.
    lost_data: bool,
    /// True when Allegro no longer has it: it was merged into another order, or vanished.
    is_deleted: bool,
    /// The order it was merged into.
    merged_into: Option<String>,
    /// True when its pieces have left the stock.
    is_stock_updated: bool,
    #[serde(with = "time::serde::rfc3339::option")]
    stock_updated_at: Option<OffsetDateTime>,
    has_invoice_created: bool,
    invoice_id: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
    /// When it first became ready for processing.
    #[serde(with = "time::serde::rfc3339::option")]
    ready_at: Option<OffsetDateTime>,
    /// True when it was sent, picked up or partly sent since it last became ready.
    was_shipped: bool,
    /// When the current content was requested from Allegro.
    #[serde(with = "time::serde::rfc3339")]
    read_at: OffsetDateTime,
    /// When it was first stored for this account.
    #[serde(with = "time::serde::rfc3339")]
    first_stored_at: OffsetDateTime,
    /// The fields of Allegro's document that could not be read; they count as absent.
    parse_notes: Vec<Note>,
}

/// An order with Allegro's whole answer.
#[derive(Serialize, ToSchema)]
pub(crate) struct FullOrderView {
    #[serde(flatten)]
    order: OrderView,
    /// As Allegro sent it, nothing dropped.
    #[schema(value_type = Object)]
    order_data: Box<RawValue>,
}

/// A page of orders.
#[derive(Serialize, ToSchema)]
pub(crate) struct OrderPage {
    pub(super) items: Vec<OrderView>,
    pub(super) next_cursor: Option<String>,
}

impl TryFrom<Listed> for OrderView {
    type Error = Problem;

    fn try_from(listed: Listed) -> Result<Self, Problem> {
        let unreadable = |_error| Problem::database(&pg::Error::corrupt("orders", listed.id, "order_data"));
        let order = Order::read(&listed.order_data).map_err(unreadable)?;
        Ok(Self {
            token_id: listed.token_id(),
            total: listed.total().map_err(|error| Problem::database(&error))?,
            fulfillment_provider: order.form.fulfillment_provider,
            parse_notes: order.form.notes,
            line_items: order.line_items,
            allegro_order_id: listed.allegro_order_id,
            status: listed.status,
            fulfillment_status: listed.fulfillment_status,
            revision: listed.revision,
            version: listed.version,
            order_date: listed.order_date,
            allegro_updated_at: listed.allegro_updated_at,
            buyer_login: listed.buyer_login,
            lost_data: listed.lost_data,
            is_deleted: listed.is_deleted,
            merged_into: listed.merged_into,
            is_stock_updated: listed.flags.is_stock_updated,
            stock_updated_at: listed.flags.stock_updated_at,
            has_invoice_created: listed.flags.has_invoice_created,
            invoice_id: listed.flags.invoice_id,
            created_at: listed.created_at,
            updated_at: listed.updated_at,
            ready_at: listed.ready_at,
            was_shipped: listed.was_shipped,
            read_at: listed.asked_at,
            first_stored_at: listed.created_at,
        })
    }
}

impl FullOrderView {
    /// The order and its document.
    pub(super) fn new(listed: Listed) -> Result<Self, Problem> {
        let order_data =
            RawValue::from_string(listed.order_data.clone()).map_err(|error| Problem::internal(&error))?;
        Ok(Self { order: listed.try_into()?, order_data })
    }
}
