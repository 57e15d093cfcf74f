//! The event journal of one seller: ids only grow, nothing is ever removed but by age.

use bytes::Bytes;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::clock::{micros, written};

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
    pub(crate) body: Bytes,
}

/// Notes what happened to an order whose content is `form`. The id is near the moment's microseconds and larger
/// than any before.
pub(crate) fn note(
    last: &mut u64,
    seller: &str,
    kind: &'static str,
    (order, form): (usize, &Value),
    occurred_at: OffsetDateTime,
) -> Event {
    let id = u64::try_from(micros(occurred_at)).unwrap_or_default().max(*last + 1);
    *last = id;
    let part = |pointer: &str| form.pointer(pointer).cloned().unwrap_or(Value::Null);
    let lines: Vec<Value> = form
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
        "id": id.to_string(),
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
        "type": kind,
        "occurredAt": written(occurred_at),
    });
    Event { id, kind, order, occurred_at, body: Bytes::from(body.to_string()) }
}
