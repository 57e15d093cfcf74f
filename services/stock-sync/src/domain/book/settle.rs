//! Making the stock what the state of an order requires.

use std::collections::BTreeSet;

use domain::events::MovedLine;
use domain::{AllegroOrderId, TokenId};
use serde_json::json;

use super::deduct::Need;
use super::{Book, Rules};
use crate::domain::desired::Desired;
use crate::domain::line_state::LineState;
use crate::domain::operation::{Kind, Status};
use crate::domain::order_view::{Line, LineKey, OrderView};

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its units left the warehouse now, or had left it as part of another order.
    Deducted,
    /// There is too little; nothing was taken.
    Shortage,
    /// Everything about it was done before.
    AlreadyDone,
    /// It is cancelled, perhaps before it was ready.
    Cancelled,
    /// It is no sale of ours: why.
    NotCounted(&'static str),
}

impl Book {
    /// Settles every order that decides about a line of this order. Returns what became of the order itself.
    pub(super) fn settle_all(&mut self, order_id: &AllegroOrderId, rules: &Rules<'_>) -> Outcome {
        let keys: Vec<LineKey> = self.speaking(order_id).into_iter().flat_map(OrderView::keys).collect();
        let carriers = keys.iter().filter_map(|key| self.lines.get(key)?.carrier.clone());
        let others: BTreeSet<AllegroOrderId> = carriers.filter(|it| it != order_id).collect();
        for other in &others {
            self.settle(other, rules);
        }
        self.settle(order_id, rules)
    }

    /// Writes the difference between where the lines of an order are and where they shall be. Lines that another order decides
    /// about, and lines that a person holds, are left alone.
    fn settle(&mut self, order_id: &AllegroOrderId, rules: &Rules<'_>) -> Outcome {
        let Some(view) = self.speaking(order_id).cloned() else { return Outcome::AlreadyDone };
        let tokens: Vec<Option<TokenId>> = self.deciding(order_id).map(|it| it.token_id).collect();
        let desired = self.desired(&view, rules);
        let (mut need, mut returned) = (Need::default(), Vec::new());
        for line in &view.lines {
            let key = LineKey::of(order_id, &line.line_item_id);
            let Some(state) = self.lines.get(&key) else { continue };
            if state.carrier.as_ref() != Some(order_id) {
                continue;
            }
            let is_held = state.hold.is_some();
            self.close_elsewhere(order_id, &key, rules);
            match desired {
                Desired::Out if !is_held => {
                    self.withdraw(&key, rules);
                    self.want_out((&view, &tokens), (line, &key), &mut need, rules);
                }
                Desired::In if !is_held => returned.extend(self.want_in(&view, (line, &key), rules)),
                Desired::Out | Desired::In | Desired::AsTheyAre(_) => {}
            }
        }
        self.tell_returned(&view, returned);
        match desired {
            Desired::In => Outcome::Cancelled,
            Desired::AsTheyAre(reason) => Outcome::NotCounted(reason),
            Desired::Out => self.deduct(&view, &need, rules),
        }
    }

    fn desired(&self, view: &OrderView, rules: &Rules<'_>) -> Desired {
        let is_first_returned = self.deciding(&view.order_id).any(|it| it.is_first_returned);
        let starts = self.deciding(&view.order_id).map(|it| {
            let account = it.token_id.and_then(|id| rules.accounts.get(&id));
            account.map(|account| account.stock_from)
        });
        Desired::of(view, is_first_returned, starts)
    }

    /// A line shall be out: what is to be taken for it, and which accounts are to know of it.
    fn want_out(
        &mut self,
        (view, tokens): (&OrderView, &[Option<TokenId>]),
        (line, key): (&Line, &LineKey),
        need: &mut Need,
        rules: &Rules<'_>,
    ) {
        let Some(state) = self.lines.get(key) else { return };
        let is_out = state.is_out();
        let generation = if is_out { state.generation } else { state.generation.saturating_add(1) };
        let Some((sku, quantity)) = line.wanted().filter(|_| !is_out) else {
            for token in tokens {
                let index = self.operation(view, *token, (line, generation), rules);
                match (index, line.fault().filter(|_| !is_out)) {
                    (Some(index), Some(fault)) => self.fail(index, &fault, rules),
                    (Some(index), None) => need.elsewhere.push(index),
                    (None, _) => {}
                }
            }
            return;
        };
        for token in tokens {
            let Some(index) = self.operation(view, *token, (line, generation), rules) else { continue };
            if *token == view.token_id {
                let warehouse = rules.warehouse_of(*token);
                need.take(index, key, rules.parts(sku, quantity), warehouse);
            } else {
                need.elsewhere.push(index);
            }
        }
    }

    /// A line shall be in. Returns the units that came back now.
    fn want_in(
        &mut self,
        view: &OrderView,
        (line, key): (&Line, &LineKey),
        rules: &Rules<'_>,
    ) -> Vec<MovedLine> {
        let is_out = self.lines.get(key).is_some_and(LineState::is_out);
        if !is_out {
            self.close_open(&view.order_id, key, rules);
            Vec::new()
        } else if view.was_shipped && rules.asks_after_shipment {
            self.ask(view, (line, key), rules);
            Vec::new()
        } else {
            self.bring_in(key, rules)
        }
    }

    /// Closes operations of a line that never moved, in orders that do not decide about it any more.
    fn close_elsewhere(&mut self, carrier: &AllegroOrderId, key: &LineKey, rules: &Rules<'_>) {
        let orders = self.lines.get(key).map(|it| it.orders.clone()).unwrap_or_default();
        for order_id in orders.iter().filter(|it| *it != carrier) {
            self.close_open(order_id, key, rules);
        }
    }

    /// Closes the deductions of a line that never moved.
    pub(super) fn close_open(&mut self, order_id: &AllegroOrderId, key: &LineKey, rules: &Rules<'_>) {
        let operations = self.of_order(order_id);
        let open = operations.filter(|(_, it)| it.kind == Kind::Deduction && it.is_open());
        let open = open.filter(|(_, it)| LineKey::of(order_id, &it.line_item_id) == *key);
        let open: Vec<usize> = open.map(|(index, _)| index).collect();
        for index in open {
            self.close(index, rules);
        }
    }

    /// Closes an operation that never moved.
    pub(super) fn close(&mut self, index: usize, rules: &Rules<'_>) {
        self.change(index, rules.now, |it| {
            it.status = Status::Cancelled;
            it.next_retry_at = None;
        });
        self.note(index, "cancelled", json!({}));
    }

    /// Notes which stock flag allegro-backup must have: set when every line with SKU and quantity is out.
    pub(super) fn refresh_flag(&mut self, order_id: &AllegroOrderId) {
        let Some(view) = self.speaking(order_id) else { return };
        let mut wanted = view.lines.iter().filter(|line| line.wanted().is_some()).peekable();
        let any = wanted.peek().is_some();
        let is_out = |line: &Line| {
            let key = LineKey::of(order_id, &line.line_item_id);
            self.lines.get(&key).is_some_and(LineState::is_out)
        };
        let is_out = any && wanted.all(is_out);
        for view in self.views.get_mut(order_id).into_iter().flatten() {
            if view.is_out != is_out {
                view.is_out = is_out;
                self.changes.views.insert((order_id.clone(), view.token_id));
            }
        }
    }
}
