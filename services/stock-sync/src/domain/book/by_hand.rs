//! What people do about an operation: try it again, call it off; and what the reconciliation does about an order.

use domain::{AllegroOrderId, TokenId};
use serde_json::json;
use uuid::Uuid;

use super::{Book, Rules, log};
use crate::domain::operation::{Kind, Operation, Status};
use crate::domain::sale::{Line, Sale};

/// Why nothing was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no such operation of this order.
    Unknown,
    /// Its state does not allow it.
    State(Status),
    /// What comes back cannot be called off.
    Refund,
}

impl Book {
    /// Tries an operation again, at once and with all its tries: with what is there now, if its units were never
    /// taken; at allegro-backup, if they were. An order is taken and marked as a whole, so its other lines go with it.
    pub(crate) fn retry(&mut self, id: Uuid, rules: &Rules<'_>) -> Result<(), Refusal> {
        let (index, operation) = self.find(id).ok_or(Refusal::Unknown)?;
        if !matches!(operation.status, Status::Pending | Status::Failed) {
            return Err(Refusal::State(operation.status));
        }
        let entry = log(operation, "manual_retry", json!({}));
        let (order_id, token_id) = (operation.order_id.clone(), operation.token_id);
        let is_untaken = operation.is_untaken();
        self.changes.logs.push(entry);
        if is_untaken {
            self.sell_again(&order_id, token_id, rules);
            return Ok(());
        }
        let open: Vec<usize> = self
            .of(&order_id, token_id)
            .into_iter()
            .filter(|(at, it)| *at == index || it.status == Status::Failed && !it.is_untaken())
            .map(|(at, _)| at)
            .collect();
        for at in open {
            self.change(at, rules.now, |it| it.retry_count = 0);
            self.mark_next(at, rules);
        }
        Ok(())
    }

    /// Calls an operation off: units that left come back, once.
    pub(crate) fn call_off(&mut self, id: Uuid, rules: &Rules<'_>) -> Result<(), Refusal> {
        let (index, operation) = self.find(id).ok_or(Refusal::Unknown)?;
        if operation.kind == Kind::Refund {
            return Err(Refusal::Refund);
        }
        if matches!(operation.status, Status::Completed | Status::Cancelled) {
            return Err(Refusal::State(operation.status));
        }
        self.give_back(&[index], rules);
        Ok(())
    }

    /// Does again what was to be done about an order: takes it, if it never was, and has it marked. What was called off or
    /// given back stays so.
    pub(crate) fn mend(&mut self, sale: &Sale, rules: &Rules<'_>) {
        let known = self.of(&sale.order_id, sale.token_id);
        // A line without a SKU that people called off says nothing about the others.
        let is_off = |it: &Operation| it.status == Status::Cancelled && it.sku.is_some();
        if known.iter().any(|(_, it)| it.kind == Kind::Refund || is_off(it)) {
            return;
        }
        let is_taken = |it: &Operation| it.deducted_at.is_some();
        let done = |it: &Operation| matches!(it.status, Status::Completed | Status::Failed) && is_taken(it);
        let done: Vec<usize> = known.iter().filter(|(_, it)| done(it)).map(|(index, _)| *index).collect();
        for index in &done {
            self.change(*index, rules.now, |it| it.retry_count = 0);
            self.mark_next(*index, rules);
        }
        if done.is_empty() {
            self.sell(sale, rules);
        }
        let mended = self.of(&sale.order_id, sale.token_id);
        let entries: Vec<_> = mended.into_iter().map(|(_, it)| log(it, "auto_fixed", json!({}))).collect();
        self.changes.logs.extend(entries);
    }

    fn find(&self, id: Uuid) -> Option<(usize, &Operation)> {
        self.operations.iter().enumerate().find(|(_, it)| it.id == id)
    }

    /// Takes the lines of an order that were never taken, as its operations remember them.
    fn sell_again(&mut self, order_id: &AllegroOrderId, token_id: Option<TokenId>, rules: &Rules<'_>) {
        let open = self.of(order_id, token_id).into_iter().map(|(_, it)| it);
        let open: Vec<&Operation> = open.filter(|it| it.kind == Kind::Deduction && it.is_untaken()).collect();
        let line = |it: &&Operation| Line {
            line_item_id: it.line_item_id.clone(),
            sku: it.sku.clone(),
            quantity: it.quantity,
        };
        let sale = Sale {
            token_id,
            user_id: open.first().and_then(|it| it.user_id.clone()),
            order_id: order_id.clone(),
            // That it counts was decided when its operations were made.
            bought_at: None,
            backfill: false,
            fulfilled_by_allegro: false,
            lines: open.iter().map(line).collect(),
        };
        self.sell(&sale, rules);
    }
}
