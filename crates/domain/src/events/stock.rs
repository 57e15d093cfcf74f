//! Events of stock.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Event;
use crate::ids::{AllegroOrderId, TokenId};

/// Units of an order that left a warehouse or returned to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrderStock {
    /// The user who owns the order, if known.
    pub user_id: Option<String>,
    /// The account of the order. Absent for an order that was submitted without one.
    pub token_id: Option<TokenId>,
    /// Allegro's id of the order.
    pub order_id: AllegroOrderId,
    /// One entry for each line that moved.
    pub lines: Vec<MovedLine>,
    /// Grows with each change of the order's stock.
    pub version: i64,
}

/// One line of an order whose units moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MovedLine {
    /// Allegro's id of the line.
    pub line_item_id: String,
    /// The seller's SKU.
    pub sku: String,
    /// The warehouse.
    pub warehouse: String,
    /// Units that moved; never negative.
    pub quantity: i64,
    /// Units left in the warehouse afterwards.
    pub on_hand: i64,
}

/// An order could not be deducted: a line is short, so no line was deducted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StockShortage {
    /// The user who owns the order, if known.
    pub user_id: Option<String>,
    /// The account of the order. Absent for an order that was submitted without one.
    pub token_id: Option<TokenId>,
    /// Allegro's id of the order.
    pub order_id: AllegroOrderId,
    /// The SKUs that are short.
    pub missing: Vec<MissingUnits>,
    /// Grows with each change of the order's stock.
    pub version: i64,
}

/// A shortage of one SKU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MissingUnits {
    /// The seller's SKU.
    pub sku: String,
    /// The warehouse.
    pub warehouse: String,
    /// Units that all lines of the order require together.
    pub wanted: i64,
    /// Units available. Absent when the warehouse has no level for the SKU.
    pub on_hand: Option<i64>,
}

/// A level was set, adjusted, imported or received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StockAdjusted {
    /// The seller's SKU.
    pub sku: String,
    /// The warehouse.
    pub warehouse: String,
    /// `adjustment`, `import` or `receipt`.
    pub kind: String,
    /// Units added; negative when removed.
    pub delta: i64,
    /// Units on hand after the change.
    pub on_hand: i64,
    /// The reason given with the change.
    pub note: Option<String>,
    /// Grows with each change of the level.
    pub version: i64,
}

/// A level fell to its threshold or below. Published once until the level is above the threshold again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StockLow {
    /// The seller's SKU.
    pub sku: String,
    /// The warehouse.
    pub warehouse: String,
    /// Units on hand.
    pub on_hand: i64,
    /// The threshold in units.
    pub threshold: i64,
    /// Grows with each change of the level.
    pub version: i64,
}

/// Data of an event about a stock operation: the deduction or refund of one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OperationEvent {
    /// The operation.
    pub operation_id: Uuid,
    /// `deduction` or `refund`.
    pub operation_type: String,
    /// The user who owns the order, if known.
    pub user_id: Option<String>,
    /// The account of the order. Absent for an order that was submitted without one.
    pub token_id: Option<TokenId>,
    /// Allegro's id of the order.
    pub order_id: AllegroOrderId,
    /// Allegro's id of the line.
    pub line_item_id: String,
    /// The seller's SKU. Absent when the line has none.
    pub sku: Option<String>,
    /// The warehouse.
    pub warehouse: String,
    /// Units. Absent when the line has none that can be deducted.
    pub quantity: Option<i64>,
    /// Why it failed.
    pub error: Option<String>,
    /// Grows with each change of the operation.
    pub version: i64,
}

/// A difference between the stock and another record of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiscrepancyFound {
    /// The discrepancy.
    pub discrepancy_id: Uuid,
    /// `not_taken`, `not_returned`, `remote_missing`, `remote_only`, `quantity_mismatch` or `ledger_mismatch`.
    pub kind: String,
    /// The user who owns the order, if the discrepancy concerns one.
    pub user_id: Option<String>,
    /// The account, if the discrepancy concerns an order.
    pub token_id: Option<TokenId>,
    /// Allegro's id of the order, if the discrepancy concerns one.
    pub order_id: Option<AllegroOrderId>,
    /// The SKU whose level differs from the sum of its movements.
    pub sku: Option<String>,
    /// The warehouse.
    pub warehouse: Option<String>,
    /// Always 1: a discrepancy is published once.
    pub version: i64,
}

fn level_subject(warehouse: &str, sku: &str) -> String {
    format!("{warehouse}/{sku}")
}

macro_rules! stock_events {
    ($($(#[$doc:meta])* $name:ident($inner:ident) => $type:literal, |$it:ident| $subject:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl Event for $name {
            const TYPE: &'static str = $type;
            const SOURCE: &'static str = "/stock-sync";

            fn subject(&self) -> String {
                let $it = &self.0;
                $subject
            }

            fn partition_key(&self) -> String {
                self.subject()
            }

            fn sequence(&self) -> i64 {
                self.0.version
            }
        }
    )+};
}

stock_events! {
    /// All units of an order left the warehouse.
    StockDeducted(OrderStock) => "stock.deducted", |it| it.order_id.to_string();
    /// Units of an order returned to the warehouse.
    StockRefunded(OrderStock) => "stock.refunded", |it| it.order_id.to_string();
    /// A line of an order is short, so no line was deducted.
    StockRanShort(StockShortage) => "stock.shortage", |it| it.order_id.to_string();
    /// A level was set, adjusted, imported or received.
    StockWasAdjusted(StockAdjusted) => "stock.adjusted", |it| level_subject(&it.warehouse, &it.sku);
    /// A level fell to its threshold.
    StockIsLow(StockLow) => "stock.low", |it| level_subject(&it.warehouse, &it.sku);
    /// An operation completed: the units moved and the order is flagged.
    StockOperationCompleted(OperationEvent) => "stock_operation.completed", |it| it.operation_id.to_string();
    /// An operation failed and needs a person.
    StockOperationFailed(OperationEvent) => "stock_operation.failed", |it| it.operation_id.to_string();
    /// The stock and another record of it differ. Published once until they agree again.
    StockDiscrepancyFound(DiscrepancyFound) => "stock.discrepancy_found", |it| it.discrepancy_id.to_string();
}
