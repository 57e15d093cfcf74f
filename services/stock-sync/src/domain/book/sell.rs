//! Taking an order from the shelf: all of it or nothing.

use std::collections::BTreeMap;

use domain::TokenId;
use domain::events::{
    MissingUnits, MovedLine, OrderStock, StockDeducted, StockOperationCompleted, StockOperationFailed,
    StockRanShort, StockShortage,
};
use serde_json::json;

use super::{Book, Fact, Place, Rules, log};
use crate::domain::movement::MovementKind;
use crate::domain::operation::{Kind, Operation, Status};
use crate::domain::sale::{Line, Sale};

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its units left the warehouse now, or had left it as part of another order.
    Deducted,
    /// There is too little; nothing was taken.
    Shortage,
    /// Everything about it was done before.
    AlreadyDone,
    /// It was cancelled, perhaps before it was ready.
    Cancelled,
    /// It is no sale of ours: why.
    NotCounted(&'static str),
}

/// What an order's open lines need.
#[derive(Default)]
struct Need {
    /// Operations whose units are to be taken, and from where.
    taking: Vec<(usize, Place)>,
    /// Operations of lines that left the warehouse as part of another order, or were cancelled with one.
    elsewhere: Vec<usize>,
    units: BTreeMap<Place, i64>,
}

impl Book {
    /// Takes an order from the shelf, if it is one that counts and was not taken before. Doing it again does nothing,
    /// except that what failed is tried again: for want of units, or because allegro-backup did not know the order yet.
    pub(crate) fn sell(&mut self, sale: &Sale, rules: &Rules<'_>) -> Outcome {
        let is_cancelled = |token: TokenId| {
            self.orders.get(&sale.order_id).is_some_and(|order| order.cancelled_for.contains(&token))
        };
        if sale.token_id.is_some_and(is_cancelled) {
            return Outcome::Cancelled;
        }
        if let Some(reason) = not_counted(sale, rules) {
            return Outcome::NotCounted(reason);
        }
        let open = self.open(sale, rules);
        self.mark_again(sale, rules);
        if open.is_empty() {
            return Outcome::AlreadyDone;
        }
        let need = self.need(&open, rules);
        let missing = self.missing(&need.units);
        if missing.is_empty() {
            self.take(sale, &need, rules);
            return Outcome::Deducted;
        }
        self.run_short(sale, &need, &missing, rules);
        Outcome::Shortage
    }

    /// The operations of lines whose units have still to be taken; those that are not there yet are made.
    fn open(&mut self, sale: &Sale, rules: &Rules<'_>) -> Vec<usize> {
        let mut open = Vec::new();
        for line in &sale.lines {
            let known = self.of(&sale.order_id, sale.token_id);
            let mut known = known.into_iter().filter(|(_, it)| it.kind == Kind::Deduction);
            match known.find(|(_, it)| it.line_item_id == line.line_item_id) {
                None => {
                    let operation = new(sale, line, rules);
                    let details = json!({ "sku": operation.sku, "quantity": operation.quantity });
                    let index = self.add(operation, details);
                    open.push(index);
                }
                Some((index, operation)) if operation.is_untaken() => open.push(index),
                Some(_) => {}
            }
        }
        open
    }

    /// What was taken and could not be marked is marked once more, with all its tries; where the question is under way, if it
    /// fails: it may have been asked before allegro-backup knew the order.
    fn mark_again(&mut self, sale: &Sale, rules: &Rules<'_>) {
        let known = self.of(&sale.order_id, sale.token_id).into_iter();
        let taken = known.filter(|(_, it)| it.deducted_at.is_some());
        let (mut unmarked, mut under_way) = (Vec::new(), Vec::new());
        for (index, operation) in taken {
            match operation.status {
                Status::Failed => unmarked.push(index),
                Status::Processing => under_way.push(operation.id),
                Status::Pending | Status::Completed | Status::Cancelled => {}
            }
        }
        if !under_way.is_empty() {
            // Should one have failed just now, people need not look at it.
            self.changes.healed.insert((sale.order_id.clone(), sale.token_id));
            self.changes.told_again.extend(under_way);
        }
        for index in unmarked {
            self.change(index, rules.now, |it| it.retry_count = 0);
            self.mark_next(index, rules);
        }
    }

    fn need(&mut self, open: &[usize], rules: &Rules<'_>) -> Need {
        let mut need = Need::default();
        for index in open {
            let Some(operation) = self.operations.get(*index) else { continue };
            let Some(sku) = operation.sku.clone() else {
                self.fail(*index, "the line has no SKU: nothing can be taken for it", rules);
                continue;
            };
            let line = &operation.line_item_id;
            if self.sold.contains_key(line) || self.never.contains(line) {
                need.elsewhere.push(*index);
                continue;
            }
            let place = (sku, operation.warehouse.clone());
            *need.units.entry(place.clone()).or_default() += operation.quantity;
            need.taking.push((*index, place));
        }
        need
    }

    fn take(&mut self, sale: &Sale, need: &Need, rules: &Rules<'_>) {
        let mut lines = Vec::new();
        for (index, place) in &need.taking {
            let Some(operation) = self.operations.get(*index).cloned() else { continue };
            let on_hand = self.move_units(&operation, place, MovementKind::Sale, rules);
            lines.push(MovedLine {
                line_item_id: operation.line_item_id.clone(),
                sku: place.0.to_string(),
                warehouse: place.1.clone(),
                quantity: operation.quantity,
                on_hand,
            });
            self.mark_next(*index, rules);
        }
        for index in &need.elsewhere {
            let Some(operation) = self.operations.get(*index) else { continue };
            let under = self.sold.get(&operation.line_item_id).map(|it| it.order_id.clone());
            let entry = log(operation, "deducted", json!({ "already_sold_under_order": under }));
            self.changes.logs.push(entry);
            self.mark_next(*index, rules);
        }
        if lines.is_empty() {
            return;
        }
        let version = self.turn(&sale.order_id);
        self.changes.facts.push(Fact::Deducted(StockDeducted(OrderStock {
            user_id: sale.user_id.clone(),
            token_id: sale.token_id,
            order_id: sale.order_id.clone(),
            lines,
            version,
        })));
    }

    /// The local half is done: allegro-backup is to be told, where there is an account to tell it of.
    pub(super) fn mark_next(&mut self, index: usize, rules: &Rules<'_>) {
        self.change(index, rules.now, |it| {
            it.deducted_at = it.deducted_at.or(Some(rules.now));
            it.completed_at = None;
            it.error_message = None;
            (it.status, it.next_retry_at) = match it.token_id {
                Some(_) => (Status::Pending, Some(rules.now)),
                None => (Status::Completed, None),
            };
        });
        let Some(operation) = self.operations.get(index).filter(|it| it.status == Status::Completed) else {
            return;
        };
        self.changes.logs.push(log(operation, "completed", json!({ "marked": false })));
        self.changes.facts.push(Fact::Completed(StockOperationCompleted(operation.fact())));
    }

    fn run_short(
        &mut self,
        sale: &Sale,
        need: &Need,
        missing: &[(Place, i64, Option<i64>)],
        rules: &Rules<'_>,
    ) {
        let told: Vec<MissingUnits> = missing
            .iter()
            .map(|((sku, warehouse), wanted, on_hand)| MissingUnits {
                sku: sku.to_string(),
                warehouse: warehouse.clone(),
                wanted: *wanted,
                on_hand: *on_hand,
            })
            .collect();
        let words: Vec<String> = told.iter().map(in_words).collect();
        let reason = words.join("; ");
        let taking = need.taking.iter().map(|(index, _)| *index);
        for index in taking.chain(need.elsewhere.iter().copied()) {
            self.fail(index, &reason, rules);
        }
        let version = self.turn(&sale.order_id);
        self.changes.facts.push(Fact::RanShort(StockRanShort(StockShortage {
            user_id: sale.user_id.clone(),
            token_id: sale.token_id,
            order_id: sale.order_id.clone(),
            missing: told,
            version,
        })));
    }

    fn fail(&mut self, index: usize, reason: &str, rules: &Rules<'_>) {
        self.change(index, rules.now, |it| {
            it.status = Status::Failed;
            it.next_retry_at = None;
            it.error_message = Some(reason.to_owned());
        });
        let Some(operation) = self.operations.get(index) else { return };
        self.changes.logs.push(log(operation, "failed", json!({ "error": reason })));
        self.changes.facts.push(Fact::Failed(StockOperationFailed(operation.fact())));
    }
}

/// Why an order is no sale from our shelf.
fn not_counted(sale: &Sale, rules: &Rules<'_>) -> Option<&'static str> {
    let account = sale.token_id.and_then(|id| rules.accounts.get(&id));
    let is_early = account.zip(sale.bought_at).is_some_and(|(account, bought)| bought < account.stock_from);
    if sale.fulfilled_by_allegro {
        Some("Allegro ships it from its own warehouse")
    } else if sale.backfill {
        Some("it was bought before the account was connected")
    } else if is_early {
        Some("it was bought before the account's stock is counted")
    } else {
        None
    }
}

fn new(sale: &Sale, line: &Line, rules: &Rules<'_>) -> Operation {
    Operation {
        id: rules.ids.next_id(),
        token_id: sale.token_id,
        user_id: sale.user_id.clone(),
        order_id: sale.order_id.clone(),
        line_item_id: line.line_item_id.clone(),
        kind: Kind::Deduction,
        status: Status::Pending,
        sku: line.sku.clone(),
        quantity: line.quantity,
        warehouse: rules.warehouse_of(sale.token_id).to_owned(),
        retry_count: 0,
        next_retry_at: None,
        lease_until: None,
        deducted_at: None,
        completed_at: None,
        error_message: None,
        version: 1,
        created_at: rules.now,
    }
}

/// What is missing, for people.
pub(crate) fn in_words(missing: &MissingUnits) -> String {
    let MissingUnits { sku, warehouse, wanted, on_hand } = missing;
    match on_hand {
        Some(there) => format!("{sku}: {wanted} wanted, {there} in {warehouse}"),
        None => format!("{sku}: {wanted} wanted, not known in {warehouse}"),
    }
}
