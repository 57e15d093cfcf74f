//! Bringing back what a line's last deduction took: exactly that, once.

use domain::TokenId;
use domain::events::{MovedLine, OrderStock, StockRefunded};
use serde_json::json;

use super::deduct::new;
use super::levels::Moving;
use super::{Book, Fact, Rules};
use crate::domain::movement::MovementKind;
use crate::domain::operation::{Kind, Operation, Status};
use crate::domain::order_view::{Line, LineKey, OrderView};

/// The reason of a refund that a person must confirm.
const SHIPPED: &str = "shipped";

impl Book {
    /// Brings a line's units back. Every order that was flagged for them loses its flag. Returns what moved.
    pub(super) fn bring_in(&mut self, key: &LineKey, rules: &Rules<'_>) -> Vec<MovedLine> {
        let Some(line) = self.lines.get(key).cloned() else { return Vec::new() };
        let speaking = line.carrier.as_ref().and_then(|id| self.speaking(id)).cloned();
        let mut deductions = self.deductions(key);
        if deductions.is_empty() {
            deductions = self.remember(key, speaking.as_ref(), rules);
        }
        let mut refunds: Vec<usize> = Vec::new();
        for index in deductions {
            refunds.push(self.give_back(index, rules));
        }
        // The units move with the order that decides about the line.
        let is_its = |it: &Operation| {
            speaking.as_ref().is_some_and(|view| view.order_id == it.order_id && view.token_id == it.token_id)
        };
        let its = |index: &&usize| self.operations.get(**index).is_some_and(is_its);
        let Some(index) = refunds.iter().find(its).or(refunds.first()).copied() else { return Vec::new() };
        let Some(operation) = self.operations.get(index).cloned() else { return Vec::new() };
        let moving = Moving { operation: &operation, key, kind: MovementKind::Refund };
        let out = line.units_out.into_iter();
        let moved =
            out.map(|it| self.move_units(&moving, &(it.sku, it.warehouse), it.units, rules)).collect();
        if let Some(line) = self.lines.get_mut(key) {
            line.units_out.clear();
        }
        self.changes.lines.insert(key.clone());
        for order_id in &line.orders {
            self.refresh_flag(order_id);
        }
        moved
    }

    /// The deductions of a line's units, of every order and account.
    fn deductions(&self, key: &LineKey) -> Vec<usize> {
        let Some(line) = self.lines.get(key) else { return Vec::new() };
        let mut found = Vec::new();
        for order_id in &line.orders {
            let its = self.of_order(order_id).filter(|(_, it)| {
                it.kind == Kind::Deduction
                    && it.generation == line.generation
                    && it.deducted_at.is_some()
                    && LineKey::of(order_id, &it.line_item_id) == *key
            });
            found.extend(its.map(|(index, _)| index));
        }
        found
    }

    /// The deductions of a line that has none here any more: they were completed so long ago that they are not kept.
    fn remember(&mut self, key: &LineKey, view: Option<&OrderView>, rules: &Rules<'_>) -> Vec<usize> {
        let Some(view) = view else { return Vec::new() };
        let generation = self.lines.get(key).map_or(0, |it| it.generation);
        let is_it = |line: &&Line| LineKey::of(&view.order_id, &line.line_item_id) == *key;
        let Some(line) = view.lines.iter().find(is_it) else { return Vec::new() };
        let tokens: Vec<Option<TokenId>> = self.deciding(&view.order_id).map(|it| it.token_id).collect();
        let mut remembered = Vec::new();
        for token in tokens {
            let deduction = Operation {
                status: Status::Completed,
                deducted_at: Some(rules.now),
                completed_at: Some(rules.now),
                ..new(view, token, (line, generation), rules)
            };
            remembered.push(self.add(deduction, json!({ "remembered": true })));
        }
        remembered
    }

    /// Ends a deduction. What is completed stays so; its refund stands beside it. Returns the refund, whose flag is due.
    fn give_back(&mut self, index: usize, rules: &Rules<'_>) -> usize {
        let under_way = self.operations.get(index).and_then(|it| it.lease_until);
        if self.operations.get(index).is_some_and(|it| it.status != Status::Completed) {
            self.change(index, rules.now, |it| {
                it.status = Status::Cancelled;
                it.next_retry_at = None;
            });
        }
        self.note(index, "rolled_back", json!({}));
        let refund = self.refund(index, rules);
        self.mark_next(refund, rules);
        // A request that sets the flag is under way: the opposite is sent when that is over.
        if let Some(until) = under_way.filter(|until| *until > rules.now) {
            self.change(refund, rules.now, |it| it.next_retry_at = it.token_id.map(|_| until));
        }
        refund
    }

    /// The refund of a deduction, which is made if there is none.
    fn refund(&mut self, index: usize, rules: &Rules<'_>) -> usize {
        let Some(deduction) = self.operations.get(index).cloned() else { return index };
        let known = self.of(&deduction.order_id, deduction.token_id).into_iter();
        let mut known = known.filter(|(_, it)| {
            it.kind == Kind::Refund
                && it.generation == deduction.generation
                && it.line_item_id == deduction.line_item_id
        });
        if let Some((known, _)) = known.next() {
            return known;
        }
        let of = deduction.id;
        let operation = Operation {
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
            ..deduction
        };
        self.add(operation, json!({ "of": of }))
    }

    /// Units of a cancelled order were shipped: a person must say whether they return.
    pub(super) fn ask(&mut self, view: &OrderView, (line, key): (&Line, &LineKey), rules: &Rules<'_>) {
        let is_its = |index: &usize| {
            let its = self.operations.get(*index);
            its.is_some_and(|it| it.order_id == view.order_id && it.token_id == view.token_id)
        };
        let deduction = self.deductions(key).into_iter().find(is_its);
        let deduction = deduction.or_else(|| {
            let generation = self.lines.get(key).map_or(0, |it| it.generation);
            let remembered = Operation {
                status: Status::Completed,
                deducted_at: Some(rules.now),
                completed_at: Some(rules.now),
                ..new(view, view.token_id, (line, generation), rules)
            };
            Some(self.add(remembered, json!({ "remembered": true })))
        });
        let Some(deduction) = deduction else { return };
        let refund = self.refund(deduction, rules);
        if self
            .operations
            .get(refund)
            .is_some_and(|it| it.error_message.as_deref() != Some(SHIPPED) || it.status == Status::Cancelled)
        {
            self.change(refund, rules.now, |it| {
                it.status = Status::Pending;
                it.next_retry_at = None;
                it.error_message = Some(SHIPPED.to_owned());
            });
        }
        self.changes.asked.insert((view.order_id.clone(), view.token_id));
    }

    /// Takes back the question whether a line's units return.
    pub(super) fn withdraw(&mut self, key: &LineKey, rules: &Rules<'_>) {
        let orders = self.lines.get(key).map(|it| it.orders.clone()).unwrap_or_default();
        for order_id in &orders {
            let asked = self.of_order(order_id).filter(|(_, it)| it.is_asked());
            let asked = asked.filter(|(_, it)| LineKey::of(order_id, &it.line_item_id) == *key);
            let asked: Vec<(usize, Option<TokenId>)> =
                asked.map(|(index, it)| (index, it.token_id)).collect();
            for (index, token_id) in asked {
                self.close(index, rules);
                self.changes.asked.insert((order_id.clone(), token_id));
            }
        }
    }

    /// Publishes what came back of an order.
    pub(super) fn tell_returned(&mut self, view: &OrderView, lines: Vec<MovedLine>) {
        if lines.is_empty() {
            return;
        }
        let version = self.turn(&view.order_id);
        self.changes.facts.push(Fact::Refunded(StockRefunded(OrderStock {
            user_id: view.user_id.clone(),
            token_id: view.token_id,
            order_id: view.order_id.clone(),
            lines,
            version,
        })));
    }
}
