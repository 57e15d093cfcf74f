//! The event journal of one seller, in the order in which events were written, which may differ from the order in which
//! they happened. Events are removed only by age.

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
    /// When it was written. Unknown for the time before the sandbox.
    pub(crate) written_at: Option<OffsetDateTime>,
    /// When it was first shown to a reader.
    pub(crate) served_at: Option<OffsetDateTime>,
    pub(crate) body: Bytes,
}

/// A change of an order with the content `form`.
#[derive(Debug, Clone)]
pub(crate) struct Occurrence {
    pub(crate) kind: &'static str,
    pub(crate) order: usize,
    pub(crate) form: Arc<Value>,
    pub(crate) occurred_at: OffsetDateTime,
}

/// The parameters of writing an event.
pub(crate) struct JournalContext<'a> {
    pub(crate) rules: &'a JournalRules,
    pub(crate) random: &'a mut StdRng,
    pub(crate) now: OffsetDateTime,
}

/// An event that is written later. `None`: only on request.
#[derive(Debug)]
struct Held {
    event: Occurrence,
    due: Option<OffsetDateTime>,
    /// Written together with the next event, before it.
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
    /// Writes an event: at once, or delayed, duplicated or reordered by the rules.
    pub(crate) fn note(&mut self, seller: &str, event: Occurrence, context: &mut JournalContext<'_>) {
        let rules = context.rules;
        let is_ready = event.kind == "READY_FOR_PROCESSING";
        let later = |number: u64| Some(context.now.saturating_add(seconds(number)));
        let mut happens = |rate: f64| rate > 0.0 && context.random.random_bool(rate);
        if is_ready && happens(rules.missing_rate) {
            let due = (rules.resend_seconds > 0).then(|| later(rules.resend_seconds)).flatten();
            self.held.push(Held { event, due, until_next: false });
        } else if happens(rules.delay_rate) {
            self.held.push(Held { event, due: later(rules.delay_seconds), until_next: false });
        } else if happens(rules.disorder_rate) || is_ready && happens(rules.cancel_first_rate) {
            self.held.push(Held { event, due: later(rules.hold_seconds), until_next: true });
        } else {
            self.write(seller, &event, context);
            self.write_held(seller, context, |held| held.until_next);
        }
    }

    /// Writes the delayed events that are due.
    pub(crate) fn release(&mut self, seller: &str, context: &mut JournalContext<'_>) {
        let now = context.now;
        self.write_held(seller, context, |held| held.due.is_some_and(|due| due <= now));
    }

    /// Writes all delayed events and returns their number.
    pub(crate) fn flush(&mut self, seller: &str, context: &mut JournalContext<'_>) -> usize {
        let count = self.held.len();
        self.write_held(seller, context, |_| true);
        count
    }

    /// Number of delayed events.
    pub(crate) const fn held(&self) -> usize {
        self.held.len()
    }

    fn write_held(
        &mut self,
        seller: &str,
        context: &mut JournalContext<'_>,
        is_selected: impl Fn(&Held) -> bool,
    ) {
        let due: Vec<Held> = self.held.extract_if(.., |held| is_selected(held)).collect();
        for held in due {
            self.write(seller, &held.event, context);
        }
    }

    fn write(&mut self, seller: &str, event: &Occurrence, context: &mut JournalContext<'_>) {
        let twice =
            context.rules.duplicate_rate > 0.0 && context.random.random_bool(context.rules.duplicate_rate);
        if twice {
            self.insert(seller, event, Some(context.now), context.rules.late_ids);
        }
        self.insert(seller, event, Some(context.now), context.rules.late_ids);
    }

    /// Writes a past event at the time at which it happened. Called in the order of the times.
    pub(crate) fn write_past(&mut self, seller: &str, event: &Occurrence) {
        self.insert(seller, event, None, false);
    }

    /// The id is close to the microseconds of the time of writing, and larger than any before. If ids may be late, it
    /// is close to the time of the event, so that it may be smaller than one that was already shown.
    fn insert(
        &mut self,
        seller: &str,
        event: &Occurrence,
        written_at: Option<OffsetDateTime>,
        may_be_late: bool,
    ) {
        let moment = written_at.filter(|_| !may_be_late).unwrap_or(event.occurred_at);
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
        let body = body(id, seller, event);
        let Occurrence { kind, order, occurred_at, .. } = *event;
        self.events.insert(at, Event { id, kind, order, occurred_at, written_at, served_at: None, body });
    }

    /// Position of the events that follow an id.
    fn after(&self, id: u64) -> usize {
        self.events.partition_point(|event| event.id <= id)
    }

    /// Position of the events after `from`. `None` when the rules reject the position.
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

fn body(id: u64, seller: &str, event: &Occurrence) -> Bytes {
    let part = |pointer: &str| event.form.pointer(pointer).cloned().unwrap_or(Value::Null);
    let lines: Vec<Value> = event
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
        "type": event.kind,
        "occurredAt": written(event.occurred_at),
    });
    Bytes::from(body.to_string())
}
