//! The orders of one seller. Each is kept as the bytes it is answered with, written once per revision.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::clock::{micros, written};
use super::journal::{self, Event};

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
}

pub(crate) struct Seller {
    pub(crate) id: String,
    pub(crate) login: String,
    pub(crate) orders: Vec<Order>,
    by_id: HashMap<String, usize>,
    pub(crate) by_bought: BTreeSet<(i64, usize)>,
    pub(crate) by_updated: BTreeSet<(i64, usize)>,
    pub(crate) journal: Vec<Event>,
}

/// What may happen to an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    FillIn,
    Pay,
    BuyerCancel,
    AutoCancel,
    /// The seller's status; Allegro alone sets `RETURNED`.
    Fulfill(String),
    MoveAddress,
}

impl Change {
    pub(crate) const fn event(&self) -> &'static str {
        match self {
            Self::FillIn => "FILLED_IN",
            Self::Pay => "READY_FOR_PROCESSING",
            Self::BuyerCancel => "BUYER_CANCELLED",
            Self::AutoCancel => "AUTO_CANCELLED",
            Self::Fulfill(_) => "FULFILLMENT_STATUS_CHANGED",
            Self::MoveAddress => "BUYER_MODIFIED",
        }
    }

    /// Writes the change into the order's content. `updatedAt` does not move with the fulfillment.
    pub(crate) fn apply(&self, form: &mut Value, at: OffsetDateTime) {
        let moment = written(at);
        match self {
            Self::FillIn => set(form, "/status", json!("FILLED_IN")),
            Self::Pay => {
                set(form, "/status", json!("READY_FOR_PROCESSING"));
                let paid = form.pointer("/summary/totalToPay").cloned().unwrap_or_default();
                if form.pointer("/payment").is_some_and(|payment| !payment.is_null()) {
                    set(form, "/payment/finishedAt", json!(moment));
                    set(form, "/payment/paidAmount", paid);
                }
            }
            Self::BuyerCancel | Self::AutoCancel => set(form, "/status", json!("CANCELLED")),
            Self::Fulfill(status) => set(form, "/fulfillment/status", json!(status)),
            Self::MoveAddress => {
                set(form, "/delivery/address/street", json!("Żurawia 7/12"));
                set(form, "/delivery/address/modifiedAt", json!(moment));
            }
        }
        if !matches!(self, Self::Fulfill(_)) {
            set(form, "/updatedAt", json!(moment));
        }
    }
}

impl Order {
    /// Reads back what the listing needs, from content and the moments beside it.
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
        }
    }
}

impl Seller {
    pub(crate) fn new(id: String, login: String) -> Self {
        Self {
            id,
            login,
            orders: Vec::new(),
            by_id: HashMap::new(),
            by_bought: BTreeSet::new(),
            by_updated: BTreeSet::new(),
            journal: Vec::new(),
        }
    }

    pub(crate) fn find(&self, id: &str) -> Option<&Order> {
        self.by_id.get(id).and_then(|at| self.orders.get(*at))
    }

    /// Adds an order and returns where it stands.
    pub(crate) fn add(&mut self, order: Order) -> usize {
        let at = self.orders.len();
        self.by_id.insert(order.id.clone(), at);
        self.by_bought.insert((micros(order.bought_at), at));
        self.by_updated.insert((micros(order.updated_at), at));
        self.orders.push(order);
        at
    }

    pub(crate) fn note(
        &mut self,
        last: &mut u64,
        kind: &'static str,
        (at, form): (usize, &Value),
        occurred_at: OffsetDateTime,
    ) {
        let event = journal::note(last, &self.id, kind, (at, form), occurred_at);
        self.journal.push(event);
    }

    /// Changes an order now and notes the event; false when there is no such order.
    pub(crate) fn change(&mut self, last: &mut u64, id: &str, change: &Change) -> bool {
        let Some(at) = self.by_id.get(id).copied() else { return false };
        let Some(order) = self.orders.get(at) else { return false };
        let Ok(mut form) = serde_json::from_slice::<Value>(&order.body) else { return false };
        let now = OffsetDateTime::now_utc();
        let (bought_at, before) = (order.bought_at, order.updated_at);
        change.apply(&mut form, now);
        set(&mut form, "/revision", json!(fresh_revision()));
        let updated_at = if matches!(change, Change::Fulfill(_)) { before } else { now };
        self.by_updated.remove(&(micros(before), at));
        self.by_updated.insert((micros(updated_at), at));
        let changed = Order::of(&form, bought_at, updated_at);
        if let Some(order) = self.orders.get_mut(at) {
            *order = changed;
        }
        self.note(last, change.event(), (at, &form), now);
        true
    }
}

pub(crate) fn fresh_revision() -> String {
    format!("{:08x}", rand::random::<u32>())
}

fn set(form: &mut Value, pointer: &str, value: Value) {
    if let Some(place) = form.pointer_mut(pointer) {
        *place = value;
    }
}
