//! Giving back what a cancelled order took: each line once.

use domain::events::{MovedLine, OrderStock, StockRefunded};
use domain::{AllegroOrderId, TokenId};
use serde_json::json;

use super::{Book, Fact, Rules, SoldLine, log};
use crate::domain::movement::MovementKind;
use crate::domain::operation::{Kind, Operation, Status};

impl Book {
    /// An order of these lines was cancelled for an account: what of it left the warehouse comes back, with whatever order
    /// it left, and what has not never leaves. It is remembered, so that an order that becomes ready afterwards takes nothing.
    pub(crate) fn cancel(
        &mut self,
        order_id: &AllegroOrderId,
        token_id: TokenId,
        lines: &[String],
        rules: &Rules<'_>,
    ) {
        let order = self.orders.entry(order_id.clone()).or_default();
        if order.cancelled_for.contains(&token_id) {
            return;
        }
        order.cancelled_for.push(token_id);
        self.turn(order_id);
        let operations = self.of(order_id, Some(token_id)).into_iter();
        let mut deductions: Vec<usize> =
            operations.filter(|(_, it)| it.kind == Kind::Deduction).map(|(index, _)| index).collect();
        if deductions.is_empty() {
            deductions = self.remember((order_id, lines), token_id, rules);
        }
        for line in lines.iter().filter(|line| !self.sold.contains_key(*line)) {
            if self.never.insert(line.clone()) {
                self.changes.never.insert(line.clone(), order_id.clone());
            }
        }
        self.give_back(&deductions, rules);
    }

    /// The deductions of an order that has none here, made of its movements: it was taken so long ago that they are not
    /// kept any more, or with orders that were merged into it.
    fn remember(
        &mut self,
        (order_id, lines): (&AllegroOrderId, &[String]),
        token_id: TokenId,
        rules: &Rules<'_>,
    ) -> Vec<usize> {
        let is_its = |id: &String, line: &SoldLine| line.order_id == *order_id || lines.contains(id);
        let taken = self.sold.iter().filter(|(id, line)| is_its(id, line) && !line.is_back);
        let mut operations: Vec<Operation> = taken
            .map(|(line_item_id, line)| Operation {
                id: rules.ids.next_id(),
                token_id: Some(token_id),
                user_id: None,
                order_id: order_id.clone(),
                line_item_id: line_item_id.clone(),
                kind: Kind::Deduction,
                status: Status::Completed,
                sku: Some(line.place.0.clone()),
                quantity: line.quantity,
                warehouse: line.place.1.clone(),
                retry_count: 0,
                next_retry_at: None,
                lease_until: None,
                deducted_at: Some(rules.now),
                completed_at: Some(rules.now),
                error_message: None,
                version: 1,
                created_at: rules.now,
            })
            .collect();
        operations.sort_by(|one, other| one.line_item_id.cmp(&other.line_item_id));
        operations.into_iter().map(|it| self.add(it, json!({ "remembered": true }))).collect()
    }

    /// Calls deductions off: units that left come back, once.
    pub(crate) fn give_back(&mut self, deductions: &[usize], rules: &Rules<'_>) {
        let (mut lines, mut whose) = (Vec::new(), None);
        for index in deductions {
            let Some(deduction) = self.operations.get(*index).cloned() else { continue };
            if deduction.status == Status::Cancelled {
                continue;
            }
            // What is done stays done; its refund stands beside it.
            if deduction.status != Status::Completed {
                self.change(*index, rules.now, |it| {
                    it.status = Status::Cancelled;
                    it.next_retry_at = None;
                });
            }
            let was_taken = deduction.deducted_at.is_some();
            let action = if was_taken { "rolled_back" } else { "cancelled" };
            if let Some(cancelled) = self.operations.get(*index) {
                let entry = log(cancelled, action, json!({}));
                self.changes.logs.push(entry);
            }
            if was_taken {
                lines.extend(self.refund(&deduction, rules));
                whose = Some(deduction);
            }
        }
        let Some(whose) = whose.filter(|_| !lines.is_empty()) else { return };
        let version = self.turn(&whose.order_id);
        self.changes.facts.push(Fact::Refunded(StockRefunded(OrderStock {
            user_id: whose.user_id,
            token_id: whose.token_id,
            order_id: whose.order_id,
            lines,
            version,
        })));
    }

    /// The refund of a deduction. Its units move unless they came back already, with another order or account.
    fn refund(&mut self, deduction: &Operation, rules: &Rules<'_>) -> Option<MovedLine> {
        let known = self.of(&deduction.order_id, deduction.token_id);
        if known.iter().any(|(_, it)| it.kind == Kind::Refund && it.line_item_id == deduction.line_item_id) {
            return None;
        }
        let sold = self.sold.get(&deduction.line_item_id).filter(|it| !it.is_back).cloned();
        let operation = Operation {
            quantity: sold.as_ref().map_or(deduction.quantity, |it| it.quantity),
            id: rules.ids.next_id(),
            kind: Kind::Refund,
            status: Status::Pending,
            retry_count: 0,
            next_retry_at: None,
            lease_until: None,
            deducted_at: None,
            completed_at: None,
            error_message: None,
            version: 1,
            created_at: rules.now,
            ..deduction.clone()
        };
        let index = self.add(operation.clone(), json!({ "of": deduction.id }));
        let moved = sold.map(|sold| {
            let on_hand = self.move_units(&operation, &sold.place, MovementKind::Refund, rules);
            MovedLine {
                line_item_id: operation.line_item_id.clone(),
                sku: sold.place.0.to_string(),
                warehouse: sold.place.1,
                quantity: operation.quantity,
                on_hand,
            }
        });
        self.mark_next(index, rules);
        // Somebody is telling allegro-backup that the order is taken: the opposite is told when that is over.
        if let Some(until) = deduction.lease_until.filter(|until| *until > rules.now) {
            self.change(index, rules.now, |it| it.next_retry_at = Some(until));
        }
        moved
    }
}
