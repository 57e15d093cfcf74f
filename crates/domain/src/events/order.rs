//! Events of orders. They contain no address, no email and no name.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::Event;
use crate::ids::{AllegroOrderId, TokenId};
use crate::money::Money;

/// Data of every order event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrderEvent {
    /// The account through which the order was read.
    pub token_id: TokenId,
    /// The user who owns the account.
    pub user_id: String,
    /// Allegro's id of the seller.
    pub allegro_seller_id: String,
    /// Allegro's id of the order (`checkoutForm.id`).
    pub order_id: AllegroOrderId,
    /// Allegro's form status: `BOUGHT`, `FILLED_IN`, `READY_FOR_PROCESSING`, `CANCELLED`. Null when it is unreadable.
    pub status: Option<String>,
    /// Allegro's fulfillment status, where there is one: `NEW`, `SENT`, `CANCELLED` …
    pub fulfillment_status: Option<String>,
    /// Who ships the order: `SELLER` or `ALLEGRO`.
    pub fulfillment_provider: Option<String>,
    /// Allegro's revision of the order. Revisions can be compared for equality only.
    pub revision: Option<String>,
    /// Our version of the order: 1 for the first content, incremented with each replacement.
    pub version: i64,
    /// When the order was bought (its latest line item).
    #[serde(default, with = "crate::instant::option")]
    pub order_date: Option<OffsetDateTime>,
    /// Allegro's `updatedAt`; it does not move when only the fulfillment changes.
    #[serde(default, with = "crate::instant::option")]
    pub updated_at: Option<OffsetDateTime>,
    /// Total that the buyer pays.
    pub total: Option<Money>,
    /// Line items.
    pub line_items: Vec<LineItem>,
    /// True for an order that was bought before the account was connected.
    pub backfill: bool,
    /// When the order became ready for processing, once it did.
    #[serde(default, with = "crate::instant::option", skip_serializing_if = "Option::is_none")]
    pub ready_at: Option<OffsetDateTime>,
    /// True when it was sent, picked up or partly sent since it last became ready.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub was_shipped: bool,
    /// When this content was requested from Allegro.
    #[serde(default, with = "crate::instant::option", skip_serializing_if = "Option::is_none")]
    pub read_at: Option<OffsetDateTime>,
    /// When the order was first stored for this account.
    #[serde(default, with = "crate::instant::option", skip_serializing_if = "Option::is_none")]
    pub first_stored_at: Option<OffsetDateTime>,
    /// The order that replaced this one when the buyer paid for several orders at once. This one no longer exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_into: Option<AllegroOrderId>,
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LineItem {
    /// Allegro's id of the line; it stays the same when orders are merged.
    pub id: String,
    /// Allegro's id of the offer. Null when it is unreadable.
    pub offer_id: Option<String>,
    /// The seller's SKU (`offer.external.id`), where the seller set one.
    pub sku: Option<String>,
    /// Units bought. Null when the quantity is unreadable.
    pub quantity: Option<i64>,
    /// Price of one unit.
    pub price: Option<Money>,
}

macro_rules! order_events {
    ($($(#[$doc:meta])* $name:ident => $type:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        #[serde(transparent)]
        pub struct $name(pub OrderEvent);

        impl Event for $name {
            const TYPE: &'static str = $type;
            const SOURCE: &'static str = "/allegro-backup";

            fn subject(&self) -> String {
                self.0.order_id.to_string()
            }

            fn partition_key(&self) -> String {
                self.0.token_id.to_string()
            }

            fn sequence(&self) -> i64 {
                self.0.version
            }
        }
    )+};
}

order_events! {
    /// An order was stored for the first time.
    OrderCreated => "order.created";
    /// A stored order changed.
    OrderUpdated => "order.updated";
    /// An order is to be fulfilled: `READY_FOR_PROCESSING` and not cancelled. Published when an order enters that state, and
    /// again when its lines or `ready_at` change in it. An order may leave the state and enter it again.
    OrderReady => "order.ready";
    /// An order is not to be fulfilled any more, or was cancelled before it was ready. `order.ready` may follow again.
    OrderCancelled => "order.cancelled";
}
