//! What people do about an operation: retry and cancel; and what the reconciliation does about an order.

use serde_json::json;
use uuid::Uuid;

use super::{Book, Outcome, Rules};
use crate::domain::line_state::Hold;
use crate::domain::operation::{Kind, Operation, Status};
use crate::domain::order_view::{LineKey, OrderView};

/// Why nothing was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no such operation of this order.
    Unknown,
    /// Its state does not allow it.
    State(Status),
    /// A refund that moved cannot be cancelled.
    Refund,
}

impl Book {
    /// Tries an operation again, at once and with all its tries: with what is there now, if its units were never
    /// taken; at allegro-backup, if they were. An order is taken and flagged as a whole, so its other lines go with it.
    /// A retry of a refund that waits for a person confirms it. `seen` is the order as it is at allegro-backup now.
    pub(crate) fn retry(
        &mut self,
        id: Uuid,
        seen: Option<&OrderView>,
        rules: &Rules<'_>,
    ) -> Result<(), Refusal> {
        let (index, operation) = self.find(id).ok_or(Refusal::Unknown)?;
        if !matches!(operation.status, Status::Pending | Status::Failed) {
            return Err(Refusal::State(operation.status));
        }
        let operation = operation.clone();
        let (order_id, token_id) = (operation.order_id.clone(), operation.token_id);
        self.note(index, "manual_retry", json!({}));
        let key = LineKey::of(&order_id, &operation.line_item_id);
        if operation.is_asked() {
            self.changes.asked.insert((order_id, token_id));
            self.return_line(&operation, &key, rules);
            return Ok(());
        }
        if operation.kind == Kind::Deduction {
            self.hold_line(&key, None);
        }
        if operation.is_open() {
            if let Some(view) = seen {
                self.record_unless_older(view.clone(), rules);
            }
            self.settle_all(&order_id, rules);
            return Ok(());
        }
        let is_due = |it: &Operation| it.status == Status::Failed && it.deducted_at.is_some();
        let known = self.of(&order_id, token_id).into_iter();
        let due: Vec<usize> = known.filter(|(at, it)| *at == index || is_due(it)).map(|(at, _)| at).collect();
        for at in due {
            self.change(at, rules.now, |it| it.retry_count = 0);
            self.mark_next(at, rules);
        }
        Ok(())
    }

    /// Cancels an operation: units that left come back, once. A refund that waits for a person is declined: its units stay out.
    pub(crate) fn call_off(&mut self, id: Uuid, rules: &Rules<'_>) -> Result<(), Refusal> {
        let (index, operation) = self.find(id).ok_or(Refusal::Unknown)?;
        let operation = operation.clone();
        if operation.kind == Kind::Refund && !operation.is_asked() {
            return Err(Refusal::Refund);
        }
        if matches!(operation.status, Status::Completed | Status::Cancelled) {
            return Err(Refusal::State(operation.status));
        }
        let key = LineKey::of(&operation.order_id, &operation.line_item_id);
        if operation.is_asked() {
            self.close(index, rules);
            self.changes.asked.insert((operation.order_id, operation.token_id));
            self.hold_line(&key, Some(Hold::Out));
        } else if operation.is_open() {
            self.close(index, rules);
            self.hold_line(&key, Some(Hold::In));
        } else {
            self.hold_line(&key, Some(Hold::In));
            self.return_line(&operation, &key, rules);
        }
        Ok(())
    }

    /// Does again what the state of an order requires, and flags it again.
    pub(crate) fn mend(&mut self, view: OrderView, rules: &Rules<'_>) -> Outcome {
        let (order_id, token_id) = (view.order_id.clone(), view.token_id);
        let outcome = self.observe(view, rules);
        if outcome == Outcome::Shortage {
            return outcome;
        }
        let is_out = self.speaking(&order_id).is_some_and(|it| it.is_out);
        let is_done = |it: &Operation| {
            let key = LineKey::of(&order_id, &it.line_item_id);
            let is_last = self.lines.get(&key).is_some_and(|line| line.generation == it.generation);
            let is_flagged = matches!(it.status, Status::Completed | Status::Failed);
            it.kind == Kind::Deduction && is_last && is_flagged && it.deducted_at.is_some()
        };
        let known = self.of(&order_id, token_id).into_iter();
        let done: Vec<usize> =
            known.filter(|(_, it)| is_out && is_done(it)).map(|(index, _)| index).collect();
        for index in done {
            self.change(index, rules.now, |it| it.retry_count = 0);
            self.mark_next(index, rules);
        }
        let changed: Vec<usize> = self.changes.operations.keys().copied().collect();
        for index in &changed {
            self.note(*index, "auto_fixed", json!({}));
        }
        if changed.is_empty() || outcome != Outcome::AlreadyDone { outcome } else { Outcome::Deducted }
    }

    fn find(&self, id: Uuid) -> Option<(usize, &Operation)> {
        self.operations.iter().enumerate().find(|(_, it)| it.id == id)
    }

    fn hold_line(&mut self, key: &LineKey, hold: Option<Hold>) {
        let Some(line) = self.lines.get_mut(key).filter(|it| it.hold != hold) else { return };
        line.hold = hold;
        self.changes.lines.insert(key.clone());
    }

    fn return_line(&mut self, operation: &Operation, key: &LineKey, rules: &Rules<'_>) {
        let returned = self.bring_in(key, rules);
        if let Some(view) = self.speaking(&operation.order_id).cloned() {
            self.tell_returned(&view, returned);
        }
    }
}
