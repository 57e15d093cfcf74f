//! Taking an order from the warehouse: all of it or nothing.

use std::collections::BTreeMap;

use domain::events::{
    MissingUnits, MovedLine, OrderStock, StockDeducted, StockOperationCompleted, StockOperationFailed,
    StockRanShort, StockShortage,
};
use domain::{Sku, TokenId};
use serde_json::json;
use time::OffsetDateTime;

use super::levels::Moving;
use super::{Book, Fact, Outcome, Place, Rules, log};
use crate::domain::line_state::UnitsOut;
use crate::domain::movement::MovementKind;
use crate::domain::operation::{Kind, Operation, Status};
use crate::domain::order_view::{Line, LineKey, OrderView};

/// What an order's open lines need.
#[derive(Default)]
pub(super) struct Need {
    /// Operations whose units are to be taken.
    taking: Vec<Taking>,
    /// Operations of lines that are out already, or go out through another account.
    pub(super) elsewhere: Vec<usize>,
    units: BTreeMap<Place, i64>,
}

/// A line that is to be taken.
struct Taking {
    index: usize,
    key: LineKey,
    parts: Vec<(Place, i64)>,
}

impl Need {
    /// Adds a line that is to be taken.
    pub(super) fn take(&mut self, index: usize, key: &LineKey, parts: Vec<(Sku, i64)>, warehouse: &str) {
        let placed = |(sku, units)| ((sku, warehouse.to_owned()), units);
        let parts: Vec<(Place, i64)> = parts.into_iter().map(placed).collect();
        for (place, units) in &parts {
            let all = self.units.entry(place.clone()).or_default();
            *all = all.saturating_add(*units);
        }
        self.taking.push(Taking { index, key: key.clone(), parts });
    }
}

impl Book {
    /// Takes what is needed, or nothing where one thing is short.
    pub(super) fn deduct(&mut self, view: &OrderView, need: &Need, rules: &Rules<'_>) -> Outcome {
        if need.taking.is_empty() && need.elsewhere.is_empty() {
            return Outcome::AlreadyDone;
        }
        let missing = self.missing(&need.units);
        if !missing.is_empty() {
            self.run_short(view, need, &missing, rules);
            return Outcome::Shortage;
        }
        let mut lines = Vec::new();
        for taking in &need.taking {
            lines.extend(self.take(taking, rules));
            self.mark_next(taking.index, rules);
        }
        for index in &need.elsewhere {
            self.note(*index, "deducted", json!({ "moved": false }));
            self.mark_next(*index, rules);
        }
        self.refresh_flag(&view.order_id);
        if !lines.is_empty() {
            let version = self.turn(&view.order_id);
            self.changes.facts.push(Fact::Deducted(StockDeducted(OrderStock {
                user_id: view.user_id.clone(),
                token_id: view.token_id,
                order_id: view.order_id.clone(),
                lines,
                version,
            })));
        }
        Outcome::Deducted
    }

    fn take(&mut self, taking: &Taking, rules: &Rules<'_>) -> Vec<MovedLine> {
        let Taking { index, key, parts } = taking;
        let Some(operation) = self.operations.get(*index).cloned() else { return Vec::new() };
        let moving = Moving { operation: &operation, key, kind: MovementKind::Sale };
        let lines = parts.iter().map(|(place, units)| self.move_units(&moving, place, *units, rules));
        let lines = lines.collect();
        let line = self.lines.entry(key.clone()).or_default();
        line.generation = operation.generation;
        let out = |((sku, warehouse), units): &(Place, i64)| UnitsOut {
            sku: sku.clone(),
            warehouse: warehouse.clone(),
            units: *units,
        };
        line.units_out = parts.iter().map(out).collect();
        self.changes.lines.insert(key.clone());
        lines
    }

    /// The deduction of a line that is to be made through an account; none when it was made before. A flag that could not be
    /// set is due again.
    pub(super) fn operation(
        &mut self,
        view: &OrderView,
        token_id: Option<TokenId>,
        (line, generation): (&Line, i64),
        rules: &Rules<'_>,
    ) -> Option<usize> {
        let known = self.of(&view.order_id, token_id).into_iter();
        let mut known = known.filter(|(_, it)| it.kind == Kind::Deduction && it.generation == generation);
        let found = known.find(|(_, it)| it.line_item_id == line.line_item_id);
        let Some((index, operation)) = found else {
            let operation = new(view, token_id, (line, generation), rules);
            let details = json!({ "sku": operation.sku, "quantity": operation.quantity });
            return Some(self.add(operation, details));
        };
        if operation.deducted_at.is_some() {
            self.mark_again(index, rules);
            return None;
        }
        let is_changed = operation.sku != line.sku || operation.quantity != line.quantity;
        if is_changed || operation.status == Status::Cancelled {
            let warehouse = rules.warehouse_of(token_id).to_owned();
            self.change(index, rules.now, |it| {
                it.status = Status::Pending;
                it.sku.clone_from(&line.sku);
                it.quantity = line.quantity;
                it.warehouse = warehouse;
            });
            self.note(index, "created", json!({ "sku": line.sku, "quantity": line.quantity }));
        }
        Some(index)
    }

    /// A flag that could not be set is due again, with all its tries; where the request is under way, if it fails: it may have
    /// been sent before allegro-backup knew the order.
    fn mark_again(&mut self, index: usize, rules: &Rules<'_>) {
        let Some(operation) = self.operations.get(index) else { return };
        match operation.status {
            Status::Failed => {
                self.change(index, rules.now, |it| it.retry_count = 0);
                self.mark_next(index, rules);
            }
            Status::Processing => {
                // Should it have failed just now, people need not look at it.
                let (id, of) = (operation.id, (operation.order_id.clone(), operation.token_id));
                self.changes.healed.insert(of);
                self.changes.told_again.push(id);
            }
            Status::Pending | Status::Completed | Status::Cancelled => {}
        }
    }

    /// The local half is done: the flag is to be sent to allegro-backup, where the order has an account.
    pub(super) fn mark_next(&mut self, index: usize, rules: &Rules<'_>) {
        let due = self.flag_due(index, rules.now);
        self.change(index, rules.now, |it| {
            it.deducted_at = it.deducted_at.or(Some(rules.now));
            it.completed_at = None;
            it.error_message = None;
            (it.status, it.next_retry_at) = match it.token_id {
                Some(_) => (Status::Pending, Some(due)),
                None => (Status::Completed, None),
            };
        });
        let Some(operation) = self.operations.get(index).filter(|it| it.status == Status::Completed) else {
            return;
        };
        self.changes.logs.push(log(operation, "completed", json!({ "marked": false })));
        self.changes.facts.push(Fact::Completed(StockOperationCompleted(operation.fact())));
    }

    /// When an order's flag may be sent: not before a request that is under way has ended, for which another operation waits.
    fn flag_due(&self, index: usize, now: OffsetDateTime) -> OffsetDateTime {
        let Some(operation) = self.operations.get(index) else { return now };
        let others = self.of(&operation.order_id, operation.token_id).into_iter();
        let others = others.filter(|(other, _)| *other != index);
        let waiting = others.filter(|(_, it)| it.status == Status::Pending && it.retry_count == 0);
        waiting.filter_map(|(_, it)| it.next_retry_at).fold(now, OffsetDateTime::max)
    }

    fn run_short(
        &mut self,
        view: &OrderView,
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
        let taking = need.taking.iter().map(|it| it.index);
        for index in taking.chain(need.elsewhere.iter().copied()) {
            self.fail(index, &reason, rules);
        }
        let version = self.turn(&view.order_id);
        self.changes.facts.push(Fact::RanShort(StockRanShort(StockShortage {
            user_id: view.user_id.clone(),
            token_id: view.token_id,
            order_id: view.order_id.clone(),
            missing: told,
            version,
        })));
    }

    /// People must look at an operation.
    pub(super) fn fail(&mut self, index: usize, reason: &str, rules: &Rules<'_>) {
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

/// A deduction of a line.
pub(super) fn new(
    view: &OrderView,
    token_id: Option<TokenId>,
    (line, generation): (&Line, i64),
    rules: &Rules<'_>,
) -> Operation {
    Operation {
        id: rules.ids.next_id(),
        token_id,
        user_id: view.user_id.clone(),
        order_id: view.order_id.clone(),
        line_item_id: line.line_item_id.clone(),
        generation,
        kind: Kind::Deduction,
        status: Status::Pending,
        sku: line.sku.clone(),
        quantity: line.quantity,
        warehouse: rules.warehouse_of(token_id).to_owned(),
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
