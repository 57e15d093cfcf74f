//! The orders of one seller. Each is stored as the bytes of its answer, serialized once per revision.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::change::{Change, set};
use super::clock::{micros, written};
use super::index::Index;
use super::journal::{Journal, JournalContext, Occurrence};

#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) fulfillment: String,
    pub(crate) revision: String,
    pub(crate) buyer_login: String,
    pub(crate) bought_at: OffsetDateTime,
    pub(crate) updated_at: OffsetDateTime,
    pub(crate) lines: usize,
    pub(crate) body: Bytes,
    /// Its previous content, and the time of the change.
    pub(crate) before: Option<(Bytes, OffsetDateTime)>,
    /// Number of the seller's changes over the API.
    pub(crate) seller_changes: u32,
    /// When it was created. The list shows it later, if the rules say so.
    pub(crate) since: OffsetDateTime,
    /// The reason why it no longer exists.
    pub(crate) gone: Option<Gone>,
}

/// What happened to an order that no longer exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Gone {
    /// The buyer paid it together with others: this order has its lines now.
    Into(String),
    /// It was removed.
    Away,
}

pub(crate) struct Seller {
    pub(crate) id: String,
    pub(crate) login: String,
    pub(crate) orders: Vec<Order>,
    by_id: HashMap<String, usize>,
    pub(crate) by_bought: Index,
    pub(crate) by_updated: Index,
    pub(crate) journal: Journal,
}

impl Order {
    /// Parses the fields that the listing needs from the content and its times.
    pub(crate) fn of(form: &Value, bought_at: OffsetDateTime, updated_at: OffsetDateTime) -> Self {
        let text =
            |pointer: &str| form.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self {
            id: text("/id"),
            status: text("/status"),
            fulfillment: text("/fulfillment/status"),
            revision: text("/revision"),
            buyer_login: text("/buyer/login"),
            bought_at,
            updated_at,
            lines: form.get("lineItems").and_then(Value::as_array).map_or(0, Vec::len),
            body: Bytes::from(form.to_string()),
            before: None,
            seller_changes: 0,
            since: bought_at,
            gone: None,
        }
    }

    /// Its content.
    pub(crate) fn form(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Seller {
    pub(crate) fn new(id: String, login: String) -> Self {
        Self {
            id,
            login,
            orders: Vec::new(),
            by_id: HashMap::new(),
            by_bought: Index::default(),
            by_updated: Index::default(),
            journal: Journal::default(),
        }
    }

    pub(crate) fn find(&self, id: &str) -> Option<&Order> {
        self.by_id.get(id).and_then(|at| self.orders.get(*at))
    }

    /// Existing orders.
    pub(crate) fn living(&self) -> impl Iterator<Item = (usize, &Order)> {
        self.orders.iter().enumerate().filter(|(_, order)| order.gone.is_none())
    }

    /// Adds past orders and returns the position of the first one.
    pub(crate) fn extend(&mut self, orders: Vec<Order>) -> usize {
        let first = self.orders.len();
        let places = || orders.iter().zip(first..);
        self.by_id.extend(places().map(|(order, at)| (order.id.clone(), at)));
        self.by_bought.extend(places().map(|(order, at)| (micros(order.bought_at), at)));
        self.by_updated.extend(places().map(|(order, at)| (micros(order.updated_at), at)));
        self.orders.extend(orders);
        first
    }

    /// Adds an order and returns its position.
    pub(crate) fn add(&mut self, order: Order) -> usize {
        let at = self.orders.len();
        self.by_id.insert(order.id.clone(), at);
        self.by_bought.insert((micros(order.bought_at), at));
        self.by_updated.insert((micros(order.updated_at), at));
        self.orders.push(order);
        at
    }

    /// Writes an event to the journal.
    pub(crate) fn note(&mut self, event: Occurrence, context: &mut JournalContext<'_>) {
        self.journal.note(&self.id, event, context);
    }

    /// Changes an order now and writes the event, if there is one. False when the order does not exist.
    pub(crate) fn change(
        &mut self,
        id: &str,
        change: &Change,
        context: &mut JournalContext<'_>,
        is_silent: bool,
    ) -> bool {
        let Some((at, order)) = self.by_id.get(id).and_then(|at| Some((*at, self.orders.get_mut(*at)?)))
        else {
            return false;
        };
        let mut form = order.form();
        change.apply(&mut form, context.now);
        set(&mut form, "/revision", json!(fresh_revision(context.random)));
        let before = order.updated_at;
        let updated_at = if change.moves_updated_at() { context.now } else { before };
        let changed = Order {
            before: Some((order.body.clone(), context.now)),
            since: order.since,
            seller_changes: order.seller_changes,
            ..Order::of(&form, order.bought_at, updated_at)
        };
        *order = changed;
        self.by_updated.remove((micros(before), at));
        self.by_updated.insert((micros(updated_at), at));
        if let Some(kind) = change.event().filter(|_| !is_silent) {
            let event = Occurrence { kind, order: at, form: Arc::new(form), occurred_at: context.now };
            self.note(event, context);
        }
        true
    }

    /// Counts a change by the seller over the API.
    pub(crate) fn count_change(&mut self, id: &str) {
        if let Some(order) = self.by_id.get(id).and_then(|at| self.orders.get_mut(*at)) {
            order.seller_changes += 1;
        }
    }

    /// Removes an order. Its events remain. False when the order does not exist.
    pub(crate) fn take_away(&mut self, id: &str, gone: Gone) -> bool {
        let Some((at, order)) = self.by_id.remove(id).and_then(|at| Some((at, self.orders.get_mut(at)?)))
        else {
            return false;
        };
        order.gone = Some(gone);
        self.by_bought.remove((micros(order.bought_at), at));
        self.by_updated.remove((micros(order.updated_at), at));
        true
    }

    /// The buyer pays several orders together: one new order replaces them and has all their lines. Returns its id, or
    /// `None` when one of them does not exist.
    pub(crate) fn merge(&mut self, ids: &[String], context: &mut JournalContext<'_>) -> Option<String> {
        let forms: Vec<Value> = ids.iter().map(|id| self.find(id).map(Order::form)).collect::<Option<_>>()?;
        let bought_at = ids.iter().filter_map(|id| self.find(id)).map(|order| order.bought_at).max()?;
        let id = uuid::Builder::from_random_bytes(context.random.random()).into_uuid().to_string();
        let form = merged(&forms, &id, context)?;
        for old in ids {
            self.take_away(old, Gone::Into(id.clone()));
        }
        let order = Order { since: context.now, ..Order::of(&form, bought_at, context.now) };
        let at = self.add(order);
        let form = Arc::new(form);
        for kind in ["FILLED_IN", "READY_FOR_PROCESSING"] {
            let event = Occurrence { kind, order: at, form: Arc::clone(&form), occurred_at: context.now };
            self.note(event, context);
        }
        Some(id)
    }
}

/// The content of an order that replaces others. Lines keep their ids.
fn merged(forms: &[Value], id: &str, context: &mut JournalContext<'_>) -> Option<Value> {
    let mut form = forms.first()?.clone();
    let lines: Vec<Value> = forms
        .iter()
        .filter_map(|form| form.get("lineItems")?.as_array())
        .flat_map(|lines| lines.iter().cloned())
        .collect();
    let minor: u64 = forms
        .iter()
        .filter_map(|form| form.pointer("/summary/totalToPay/amount")?.as_str())
        .filter_map(|amount| amount.replace('.', "").parse::<u64>().ok())
        .sum();
    let total = format!("{}.{:02}", minor / 100, minor % 100);
    set(&mut form, "/id", json!(id));
    set(&mut form, "/lineItems", json!(lines));
    set(&mut form, "/summary/totalToPay/amount", json!(total));
    set(&mut form, "/status", json!("READY_FOR_PROCESSING"));
    let paid = form.pointer("/summary/totalToPay").cloned()?;
    set(&mut form, "/payment/finishedAt", json!(written(context.now)));
    set(&mut form, "/payment/paidAmount", paid);
    set(&mut form, "/revision", json!(fresh_revision(context.random)));
    set(&mut form, "/updatedAt", json!(written(context.now)));
    Some(form)
}

pub(crate) fn fresh_revision(random: &mut StdRng) -> String {
    format!("{:08x}", random.random::<u32>())
}
