//! The book of one transaction: what it locked and read, what it decides, and what it will write.

mod by_hand;
mod deduct;
#[cfg(test)]
mod interleavings;
mod levels;
mod observe;
mod refund;
mod settle;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::events::{
    StockDeducted, StockIsLow, StockOperationCompleted, StockOperationFailed, StockRanShort, StockRefunded,
};
use domain::{AllegroOrderId, IdSource, Sku, TokenId};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::line_state::LineState;
use super::movement::MovementKind;
use super::operation::{Operation, Status};
use super::order_view::{LineKey, OrderStatus, OrderView};
pub(crate) use by_hand::Refusal;
pub(crate) use deduct::in_words;
pub(crate) use settle::Outcome;

/// Where a thing lies.
pub(crate) type Place = (Sku, String);

/// An order, seen through an account or submitted without one.
pub(crate) type OrderOfAccount = (AllegroOrderId, Option<TokenId>);

/// How much there is of one thing in one place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Level {
    pub(crate) on_hand: i64,
    pub(crate) allows_negative: bool,
    pub(crate) low_threshold: Option<i64>,
    pub(crate) is_low: bool,
    pub(crate) version: i64,
}

/// What is remembered of an order whatever becomes of its operations.
#[derive(Debug, Clone, Default)]
pub(crate) struct OrderState {
    pub(crate) version: i64,
    /// Its row was made just now, and stands in the database as its first change leaves it.
    pub(crate) is_new: bool,
}

impl OrderState {
    /// Whether what stands in the database is what is to stand there.
    pub(crate) const fn is_written(&self) -> bool {
        self.is_new && self.version <= 1
    }
}

/// An account whose orders are taken from the shelf.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) stock_from: OffsetDateTime,
    pub(crate) warehouse: Option<String>,
}

/// One SKU of a bundle, and how many units of it one bundle has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Component {
    pub(crate) sku: Sku,
    pub(crate) quantity: i64,
}

/// A row of the ledger.
#[derive(Debug, Clone)]
pub(crate) struct Movement {
    pub(crate) id: Uuid,
    pub(crate) place: Place,
    pub(crate) delta: i64,
    pub(crate) on_hand: i64,
    pub(crate) kind: MovementKind,
    pub(crate) operation_id: Uuid,
    pub(crate) order_id: AllegroOrderId,
    pub(crate) line_item_id: String,
    pub(crate) line_key: LineKey,
    pub(crate) generation: i64,
}

/// What was done about an operation.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    pub(crate) operation_id: Uuid,
    pub(crate) action: &'static str,
    pub(crate) status: &'static str,
    pub(crate) details: Value,
    pub(crate) execution_time_ms: Option<i32>,
}

/// What will be told.
#[derive(Debug, Clone)]
pub(crate) enum Fact {
    Deducted(StockDeducted),
    Refunded(StockRefunded),
    RanShort(StockRanShort),
    IsLow(StockIsLow),
    Completed(StockOperationCompleted),
    Failed(StockOperationFailed),
}

/// What does not change while a transaction decides.
#[derive(Debug)]
pub(crate) struct Rules<'a> {
    pub(crate) now: OffsetDateTime,
    pub(crate) ids: &'a dyn IdSource,
    pub(crate) default_warehouse: &'a str,
    /// Whether a person must confirm that units of a shipped order return.
    pub(crate) asks_after_shipment: bool,
    pub(crate) accounts: HashMap<TokenId, Account>,
    /// The components of SKUs that are bundles.
    pub(crate) bundles: HashMap<Sku, Vec<Component>>,
}

impl Rules<'_> {
    /// Where an account's sales are taken from.
    pub(crate) fn warehouse_of(&self, token_id: Option<TokenId>) -> &str {
        let account = token_id.and_then(|id| self.accounts.get(&id));
        account.and_then(|it| it.warehouse.as_deref()).unwrap_or(self.default_warehouse)
    }

    /// See [`parts`].
    pub(crate) fn parts(&self, sku: &Sku, quantity: i64) -> Vec<(Sku, i64)> {
        parts(&self.bundles, sku, quantity)
    }
}

/// The units that leave a warehouse when `quantity` of a SKU are sold: its components where it is a bundle.
pub(crate) fn parts(bundles: &HashMap<Sku, Vec<Component>>, sku: &Sku, quantity: i64) -> Vec<(Sku, i64)> {
    match bundles.get(sku) {
        Some(components) => {
            let part = |it: &Component| (it.sku.clone(), it.quantity.saturating_mul(quantity));
            components.iter().map(part).collect()
        }
        None => vec![(sku.clone(), quantity)],
    }
}

/// Read under locks; written before they are given back.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Book {
    pub(crate) orders: HashMap<AllegroOrderId, OrderState>,
    pub(crate) views: HashMap<AllegroOrderId, Vec<OrderView>>,
    pub(crate) lines: HashMap<LineKey, LineState>,
    operations: Vec<Operation>,
    by_order: HashMap<AllegroOrderId, Vec<usize>>,
    pub(crate) levels: BTreeMap<Place, Level>,
    pub(crate) changes: Changes,
}

/// What a transaction writes.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Changes {
    /// Places in [`Book::operations`], by whether they are new.
    pub(crate) operations: BTreeMap<usize, bool>,
    /// Levels that moved.
    pub(crate) levels: BTreeSet<Place>,
    pub(crate) orders: BTreeSet<AllegroOrderId>,
    pub(crate) views: BTreeSet<OrderOfAccount>,
    pub(crate) lines: BTreeSet<LineKey>,
    pub(crate) movements: Vec<Movement>,
    pub(crate) logs: Vec<Log>,
    pub(crate) facts: Vec<Fact>,
    /// Orders that had an operation people must look at, and it is not so any more.
    pub(crate) healed: BTreeSet<OrderOfAccount>,
    /// Orders that were shipped and cancelled: whether a person must say if their units return.
    pub(crate) asked: BTreeSet<OrderOfAccount>,
    /// Orders that were returned when they were first seen, whether they still are or not.
    pub(crate) first_returned: BTreeSet<OrderOfAccount>,
    /// Operations of orders that were told of again while allegro-backup is being told of them.
    pub(crate) told_again: Vec<Uuid>,
}

impl Book {
    /// Takes in an operation as it stands in the database.
    pub(crate) fn hold(&mut self, operation: Operation) -> usize {
        let index = self.operations.len();
        self.by_order.entry(operation.order_id.clone()).or_default().push(index);
        self.operations.push(operation);
        index
    }

    /// The operations of an order, whatever account it is seen through.
    fn of_order(&self, order_id: &AllegroOrderId) -> impl Iterator<Item = (usize, &Operation)> {
        let held = self.by_order.get(order_id).into_iter().flatten();
        held.filter_map(|index| Some((*index, self.operations.get(*index)?)))
    }

    /// The operations of an order seen through an account.
    pub(crate) fn of(
        &self,
        order_id: &AllegroOrderId,
        token_id: Option<TokenId>,
    ) -> Vec<(usize, &Operation)> {
        self.of_order(order_id).filter(|(_, it)| it.token_id == token_id).collect()
    }

    /// Whether a person must say if units of this order return.
    pub(crate) fn is_asked(&self, (order_id, token_id): &OrderOfAccount) -> bool {
        self.of(order_id, *token_id).iter().any(|(_, it)| it.is_asked())
    }

    /// Whether an account shows this order as returned.
    pub(crate) fn is_returned(&self, (order_id, token_id): &OrderOfAccount) -> bool {
        let mut views = self.views.get(order_id).into_iter().flatten();
        views.any(|it| it.token_id == *token_id && it.status == OrderStatus::Returned)
    }

    /// Operations to be written: those that are new, or those that were there.
    pub(crate) fn changed(&self, are_new: bool) -> Vec<&Operation> {
        let wanted = self.changes.operations.iter().filter(|(_, is_new)| **is_new == are_new);
        wanted.filter_map(|(index, _)| self.operations.get(*index)).collect()
    }

    fn add(&mut self, operation: Operation, details: Value) -> usize {
        self.changes.logs.push(log(&operation, "created", details));
        let index = self.hold(operation);
        self.changes.operations.insert(index, true);
        index
    }

    /// Changes an operation, once more.
    fn change(&mut self, index: usize, now: OffsetDateTime, change: impl FnOnce(&mut Operation)) {
        let Some(operation) = self.operations.get_mut(index) else { return };
        let is_new = *self.changes.operations.entry(index).or_insert(false);
        if !is_new {
            operation.version += 1;
        }
        let was = operation.status;
        change(operation);
        if was == Status::Failed && operation.status != Status::Failed {
            self.changes.healed.insert((operation.order_id.clone(), operation.token_id));
        }
        if operation.status == Status::Completed {
            operation.completed_at = Some(now);
            operation.next_retry_at = None;
        }
    }

    /// Adds to the log of an operation as it is now.
    fn note(&mut self, index: usize, action: &'static str, details: Value) {
        if let Some(operation) = self.operations.get(index) {
            self.changes.logs.push(log(operation, action, details));
        }
    }

    /// Counts a change of an order's stock. Returns its version.
    fn turn(&mut self, order_id: &AllegroOrderId) -> i64 {
        self.changes.orders.insert(order_id.clone());
        let order = self.orders.entry(order_id.clone()).or_default();
        order.version += 1;
        order.version
    }
}

fn log(operation: &Operation, action: &'static str, details: Value) -> Log {
    Log {
        operation_id: operation.id,
        action,
        status: operation.status.word(),
        details,
        execution_time_ms: None,
    }
}
