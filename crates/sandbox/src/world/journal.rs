//! The event journal of one seller: what happened, in the order it was written down, which is not always the order in
//! which it happened. Nothing is ever removed but by age.

use std::sync::Arc;

use bytes::Bytes;
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::clock::{micros, seconds, written};
use super::rules::{JournalRules, UnknownFrom};

/// The journal's types (Allegro's OpenAPI document, `OrderEvent.type`).
pub(crate) const TYPES: [&str; 7] = [
    "BOUGHT",
    "FILLED_IN",
    "READY_FOR_PROCESSING",
    "BUYER_CANCELLED",
    "FULFILLMENT_STATUS_CHANGED",
    "BUYER_MODIFIED",
    "AUTO_CANCELLED",
];

#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) id: u64,
    pub(crate) kind: &'static str,
    pub(crate) order: usize,
    pub(crate) occurred_at: OffsetDateTime,
    /// When it was written down; unknown for the past before the sandbox.
    pub(crate) written_at: Option<OffsetDateTime>,
    /// When it was first shown to anybody.
    pub(crate) served_at: Option<OffsetDateTime>,
    pub(crate) body: Bytes,
}

/// Something that happened to an order whose content is `form`.
#[derive(Debug, Clone)]
pub(crate) struct Fact {
    pub(crate) kind: &'static str,
    pub(crate) order: usize,
    pub(crate) form: Arc<Value>,
    pub(crate) occurred_at: OffsetDateTime,
}

/// What writing down goes by.
pub(crate) struct Pen<'a> {
    pub(crate) rules: &'a JournalRules,
    pub(crate) random: &'a mut StdRng,
    pub(crate) now: OffsetDateTime,
}

/// A fact that is written down later; none for a moment that never comes by itself.
#[derive(Debug)]
struct Held {
    fact: Fact,
    due: Option<OffsetDateTime>,
    /// Whatever is written down next goes before it.
    until_next: bool,
}

/// The journal of one seller.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    pub(crate) events: Vec<Event>,
    held: Vec<Held>,
    last: u64,
}

impl Journal {
    /// Writes a fact down: at once, or as the rules make it stumble.
    pub(crate) fn note(&mut self, seller: &str, fact: Fact, pen: &mut Pen<'_>) {
        let rules = pen.rules;
        let is_ready = fact.kind == "READY_FOR_PROCESSING";
        let later = |number: u64| Some(pen.now.saturating_add(seconds(number)));
        let mut falls = |rate: f64| rate > 0.0 && pen.random.random_bool(rate);
        if is_ready && falls(rules.missing_rate) {
            let due = (rules.resend_seconds > 0).then(|| later(rules.resend_seconds)).flatten();
            self.held.push(Held { fact, due, until_next: false });
        } else if falls(rules.delay_rate) {
            self.held.push(Held { fact, due: later(rules.delay_seconds), until_next: false });
        } else if falls(rules.disorder_rate) || is_ready && falls(rules.cancel_first_rate) {
            self.held.push(Held { fact, due: later(rules.hold_seconds), until_next: true });
        } else {
            self.write(seller, &fact, pen);
            self.write_held(seller, pen, |held| held.until_next);
        }
    }

    /// Writes down what is due by now.
    pub(crate) fn release(&mut self, seller: &str, pen: &mut Pen<'_>) {
        let now = pen.now;
        self.write_held(seller, pen, |held| held.due.is_some_and(|due| due <= now));
    }

    /// Writes down everything that is still held back. Returns how many those were.
    pub(crate) fn flush(&mut self, seller: &str, pen: &mut Pen<'_>) -> usize {
        let count = self.held.len();
        self.write_held(seller, pen, |_| true);
        count
    }

    /// How many are held back.
    pub(crate) const fn held(&self) -> usize {
        self.held.len()
    }

    fn write_held(&mut self, seller: &str, pen: &mut Pen<'_>, is_wanted: impl Fn(&Held) -> bool) {
        let due: Vec<Held> = self.held.extract_if(.., |held| is_wanted(held)).collect();
        for held in due {
            self.write(seller, &held.fact, pen);
        }
    }

    fn write(&mut self, seller: &str, fact: &Fact, pen: &mut Pen<'_>) {
        let twice = pen.rules.duplicate_rate > 0.0 && pen.random.random_bool(pen.rules.duplicate_rate);
        if twice {
            self.insert(seller, fact, Some(pen.now), pen.rules.late_ids);
        }
        self.insert(seller, fact, Some(pen.now), pen.rules.late_ids);
    }

    /// Writes down a fact of the past as it happened; called in the order of the moments.
    pub(crate) fn recall(&mut self, seller: &str, fact: &Fact) {
        self.insert(seller, fact, None, false);
    }

    /// The id is near the microseconds of the moment it is written down, and larger than any before; or, where ids may
    /// be late, near the moment it happened, so that it may be smaller than one that was shown already.
    fn insert(&mut self, seller: &str, fact: &Fact, written_at: Option<OffsetDateTime>, may_be_late: bool) {
        let moment = written_at.filter(|_| !may_be_late).unwrap_or(fact.occurred_at);
        let mut id = u64::try_from(micros(moment)).unwrap_or_default();
        let mut at = self.events.len();
        if may_be_late {
            at = self.after(id.saturating_sub(1));
            while self.events.get(at).is_some_and(|event| event.id == id) {
                id += 1;
                at += 1;
            }
        } else {
            id = id.max(self.last + 1);
        }
        self.last = self.last.max(id);
        let body = body(id, seller, fact);
        let Fact { kind, order, occurred_at, .. } = *fact;
        self.events.insert(at, Event { id, kind, order, occurred_at, written_at, served_at: None, body });
    }

    /// Where the events stand that come strictly after an id.
    fn after(&self, id: u64) -> usize {
        self.events.partition_point(|event| event.id <= id)
    }

    /// The events a reader sees who has read up to `from`, as a place in `events`; none when the rules refuse it.
    pub(crate) fn start(
        &self,
        from: Option<u64>,
        rules: &JournalRules,
        now: OffsetDateTime,
    ) -> Option<usize> {
        let oldest = micros(now.saturating_sub(seconds(rules.days * 86_400)));
        let oldest = self.after(u64::try_from(oldest).unwrap_or_default());
        let Some(from) = from else { return Some(oldest) };
        let at = self.after(from);
        let is_known = at > oldest && self.events.get(at - 1).is_some_and(|event| event.id == from);
        match rules.unknown_from {
            _ if is_known => Some(at),
            UnknownFrom::Compare => Some(at.max(oldest)),
            UnknownFrom::Beginning => Some(oldest),
            UnknownFrom::Empty => Some(self.events.len()),
            UnknownFrom::Refuse => None,
        }
    }
}

fn body(id: u64, seller: &str, fact: &Fact) -> Bytes {
    let part = |pointer: &str| fact.form.pointer(pointer).cloned().unwrap_or(Value::Null);
    let lines: Vec<Value> = fact
        .form
        .get("lineItems")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|line| {
            let part = |pointer: &str| line.pointer(pointer).cloned().unwrap_or(Value::Null);
            json!({
                "id": part("/id"),
                "offer": { "id": part("/offer/id"), "name": part("/offer/name"), "external": part("/offer/external") },
                "quantity": part("/quantity"),
                "originalPrice": part("/originalPrice"),
                "price": part("/price"),
                "boughtAt": part("/boughtAt"),
            })
        })
        .collect();
    let body = json!({
        "id": format!("{id:016}"),
        "order": {
            "seller": { "id": seller },
            "buyer": {
                "id": part("/buyer/id"), "email": part("/buyer/email"), "login": part("/buyer/login"),
                "guest": part("/buyer/guest"), "preferences": part("/buyer/preferences"),
            },
            "lineItems": lines,
            "checkoutForm": { "id": part("/id"), "revision": part("/revision") },
            "marketplace": part("/marketplace"),
        },
        "type": fact.kind,
        "occurredAt": written(fact.occurred_at),
    });
    Bytes::from(body.to_string())
}
