//! Facts about stock.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Event;
use crate::ids::{AllegroOrderId, TokenId};

/// Units of an order that left a warehouse, or came back to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrderStock {
    /// The user whose order it is, where it is known.
    pub user_id: Option<String>,
    /// The account the order was seen through; absent for an order handed in without one.
    pub token_id: Option<TokenId>,
    /// Allegro's id of the order.
    pub order_id: AllegroOrderId,
    /// What moved, a line of the order each.
    pub lines: Vec<MovedLine>,
    /// Grows with each change of the order's stock.
    pub version: i64,
}

/// One line of an order whose units moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MovedLine {
    /// Allegro's id of the line.
    pub line_item_id: String,
    /// The seller's name of the thing.
    pub sku: String,
    /// Where it lies.
    pub warehouse: String,
    /// Units that moved; never negative.
    pub quantity: i64,
    /// Units left in the warehouse afterwards.
    pub on_hand: i64,
}

/// An order could not be taken from the warehouse: nothing of it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StockShortage {
    /// The user whose order it is, where it is known.
    pub user_id: Option<String>,
    /// The account the order was seen through; absent for an order handed in without one.
    pub token_id: Option<TokenId>,
    /// Allegro's id of the order.
    pub order_id: AllegroOrderId,
    /// What there is too little of.
    pub missing: Vec<MissingUnits>,
    /// Grows with each change of the order's stock.
    pub version: i64,
}

/// Too few units of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MissingUnits {
    /// The seller's name of the thing.
    pub sku: String,
    /// Where it was looked for.
    pub warehouse: String,
    /// Units the order wants, of all its lines together.
    pub wanted: i64,
    /// Units there are; absent when the warehouse does not know the thing.
    pub on_hand: Option<i64>,
}

/// A level was changed by people: counted, corrected, received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StockAdjusted {
    /// The seller's name of the thing.
    pub sku: String,
    /// Where it lies.
    pub warehouse: String,
    /// `adjustment`, `import` or `receipt`.
    pub kind: String,
    /// Units added; negative when taken away.
    pub delta: i64,
    /// Units there are now.
    pub on_hand: i64,
    /// Why, in the words of who did it.
    pub note: Option<String>,
    /// Grows with each change of the level.
    pub version: i64,
}

/// A level fell to its threshold or below; told once until it is above it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StockLow {
    /// The seller's name of the thing.
    pub sku: String,
    /// Where it lies.
    pub warehouse: String,
    /// Units there are.
    pub on_hand: i64,
    /// From how many units down it counts as low.
    pub threshold: i64,
    /// Grows with each change of the level.
    pub version: i64,
}

/// What is told about one operation: a line of an order on its way out or back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OperationFact {
    /// The operation.
    pub operation_id: Uuid,
    /// `deduction` or `refund`.
    pub operation_type: String,
    /// The user whose order it is, where it is known.
    pub user_id: Option<String>,
    /// The account the order was seen through; absent for an order handed in without one.
    pub token_id: Option<TokenId>,
    /// Allegro's id of the order.
    pub order_id: AllegroOrderId,
    /// Allegro's id of the line.
    pub line_item_id: String,
    /// The seller's name of the thing; absent when the line has none.
    pub sku: Option<String>,
    /// Where it lies.
    pub warehouse: String,
    /// Units.
    pub quantity: i64,
    /// Why it failed.
    pub error: Option<String>,
    /// Grows with each change of the operation.
    pub version: i64,
}

/// What the shelf and another record of it say differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiscrepancyFound {
    /// The finding.
    pub discrepancy_id: Uuid,
    /// `remote_missing`, `local_missing`, `remote_only`, `quantity_mismatch` or `ledger_mismatch`.
    pub kind: String,
    /// The user whose order it is, where it is about one.
    pub user_id: Option<String>,
    /// The account, where it is about an order.
    pub token_id: Option<TokenId>,
    /// Allegro's id of the order, where it is about one.
    pub order_id: Option<AllegroOrderId>,
    /// The thing whose level is not the sum of its movements.
    pub sku: Option<String>,
    /// Where it lies.
    pub warehouse: Option<String>,
    /// 1: a finding is told once.
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
    /// Units of an order came back to the warehouse.
    StockRefunded(OrderStock) => "stock.refunded", |it| it.order_id.to_string();
    /// There is too little for an order; nothing of it was taken.
    StockRanShort(StockShortage) => "stock.shortage", |it| it.order_id.to_string();
    /// A level was changed by people.
    StockWasAdjusted(StockAdjusted) => "stock.adjusted", |it| level_subject(&it.warehouse, &it.sku);
    /// A level fell to its threshold.
    StockIsLow(StockLow) => "stock.low", |it| level_subject(&it.warehouse, &it.sku);
    /// An operation is done: the units moved and the order is marked.
    StockOperationCompleted(OperationFact) => "stock_operation.completed", |it| it.operation_id.to_string();
    /// An operation ended without success; people must look at it.
    StockOperationFailed(OperationFact) => "stock_operation.failed", |it| it.operation_id.to_string();
    /// The shelf and another record of it differ; told once until they agree again.
    StockDiscrepancyFound(DiscrepancyFound) => "stock.discrepancy_found", |it| it.discrepancy_id.to_string();
}
