//! Recording the state of an order, and which order decides about each line.

use std::collections::{BTreeMap, BTreeSet};

use domain::AllegroOrderId;
use time::OffsetDateTime;

use super::{Book, Outcome, Rules};
use crate::domain::line_state::LineState;
use crate::domain::order_view::{LineKey, OrderStatus, OrderView};

/// The order that decides about a line, and its state.
type Decision = (Option<AllegroOrderId>, Option<OrderStatus>);

impl Book {
    /// Records an order as an account shows it, and moves what its state requires. A view that is older than the recorded one
    /// changes nothing; an equal one repeats what failed.
    pub(crate) fn observe(&mut self, view: OrderView, rules: &Rules<'_>) -> Outcome {
        let order_id = view.order_id.clone();
        if self.record_unless_older(view, rules) {
            self.settle_all(&order_id, rules)
        } else {
            Outcome::AlreadyDone
        }
    }

    /// Records an order as an account shows it; false when a later view is recorded. A submitted order is recorded only while
    /// no event of it is known.
    pub(super) fn record_unless_older(&mut self, view: OrderView, rules: &Rules<'_>) -> bool {
        let known = self.views.get(&view.order_id).map(Vec::as_slice).unwrap_or_default();
        let same = known.iter().find(|it| it.token_id == view.token_id);
        let is_submitted = view.sequence.is_none();
        if !is_submitted && same.is_some_and(|it| it.sequence > view.sequence) {
            return false;
        }
        if !is_submitted || known.iter().all(|it| it.sequence.is_none()) {
            self.record(view, rules);
        }
        true
    }

    fn record(&mut self, mut view: OrderView, rules: &Rules<'_>) {
        let (order_id, token_id) = (view.order_id.clone(), view.token_id);
        let known = self.views.entry(order_id.clone()).or_default();
        let place = known.iter().position(|it| it.token_id == token_id);
        let old = place.and_then(|place| known.get(place)).cloned();
        let is_returned = view.status == OrderStatus::Returned;
        view.is_first_returned = old.as_ref().map_or(is_returned, |it| it.is_first_returned);
        view.is_out = old.as_ref().is_some_and(|it| it.is_out);
        let stored_at = view.first_stored_at.or_else(|| old.as_ref().and_then(|it| it.first_stored_at));
        view.first_stored_at = stored_at.or(Some(rules.now));
        let old_keys = old.iter().flat_map(OrderView::keys);
        let keys: BTreeSet<LineKey> = old_keys.chain(view.keys()).collect();
        let before: BTreeMap<LineKey, Decision> =
            keys.iter().map(|key| (key.clone(), self.decision(key))).collect();
        if old.as_ref() != Some(&view) {
            self.changes.views.insert((order_id.clone(), token_id));
        }
        if old.as_ref().is_some_and(|it| it.status != view.status) {
            self.turn(&order_id);
        }
        let was_returned = old.as_ref().is_some_and(|it| it.status == OrderStatus::Returned);
        if view.is_first_returned && is_returned != was_returned {
            self.changes.first_returned.insert((order_id.clone(), token_id));
        }
        for key in view.keys() {
            let new = || LineState { is_new: true, ..LineState::default() };
            let line = self.lines.entry(key.clone()).or_insert_with(new);
            if !line.orders.contains(&order_id) {
                line.orders.push(order_id.clone());
                self.changes.lines.insert(key);
            }
        }
        let known = self.views.entry(order_id).or_default();
        match place.and_then(|place| known.get_mut(place)) {
            Some(place) => *place = view,
            None => known.push(view),
        }
        for (key, before) in before {
            self.decide(&key, &before);
        }
    }

    /// Notes which order decides about a line now. A hold ends when that order or its state changes.
    fn decide(&mut self, key: &LineKey, before: &Decision) {
        let carrier = self.lines.get(key).and_then(|line| self.latest(&line.orders)).cloned();
        let status = carrier.as_ref().and_then(|id| self.speaking(id)).map(|it| it.status);
        let Some(line) = self.lines.get_mut(key) else { return };
        let is_other = *before != (carrier.clone(), status);
        if line.carrier != carrier || (is_other && line.hold.is_some()) {
            line.carrier = carrier;
            line.hold = line.hold.filter(|_| !is_other);
            self.changes.lines.insert(key.clone());
        }
    }

    fn decision(&self, key: &LineKey) -> Decision {
        let carrier = self.lines.get(key).and_then(|it| it.carrier.clone());
        let status = carrier.as_ref().and_then(|id| self.speaking(id)).map(|it| it.status);
        (carrier, status)
    }

    /// Of these orders, the one that was stored last.
    fn latest<'a>(&self, orders: &'a [AllegroOrderId]) -> Option<&'a AllegroOrderId> {
        orders.iter().max_by_key(|id| (self.first_stored_at(id), *id))
    }

    fn first_stored_at(&self, order_id: &AllegroOrderId) -> Option<OffsetDateTime> {
        self.deciding(order_id).filter_map(|it| it.first_stored_at).min()
    }

    /// The views that decide about an order: submitted ones only while no event of it is known.
    pub(super) fn deciding(&self, order_id: &AllegroOrderId) -> impl Iterator<Item = &OrderView> {
        let views = self.views.get(order_id).map(Vec::as_slice).unwrap_or_default();
        let is_known = views.iter().any(|it| it.sequence.is_some());
        views.iter().filter(move |it| it.sequence.is_some() == is_known)
    }

    /// Of the views that decide about an order, the latest.
    pub(super) fn speaking(&self, order_id: &AllegroOrderId) -> Option<&OrderView> {
        self.deciding(order_id).max_by_key(|it| (it.read_at, it.sequence, it.token_id))
    }
}
