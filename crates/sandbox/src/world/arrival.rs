//! Adds orders to a seller: many past ones at once, or a new one.

use std::sync::Arc;

use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::change::{Change, set};
use super::clock::seconds;
use super::generator::{Generator, Made};
use super::journal::{JournalContext, Occurrence};
use super::orders::{Order, Seller};

/// Generates past orders and adds them to the seller, with the events that Allegro would still have. Returns the first
/// and the last order's id.
pub(crate) fn fill(
    seller: &mut Seller,
    context: &JournalContext<'_>,
    count: usize,
    (from, to): (OffsetDateTime, OffsetDateTime),
    seed: u64,
) -> Option<(String, String)> {
    let mut generator = Generator::new(seed);
    let oldest = context.now.saturating_sub(seconds(context.rules.days * 86_400));
    let mut moments: Vec<OffsetDateTime> = (0..count).map(|_| generator.between(from, to)).collect();
    moments.sort_unstable();
    let (mut orders, mut events) = (Vec::with_capacity(count), Vec::new());
    for (place, bought_at) in moments.into_iter().enumerate() {
        let Made { mut form, bought_at, life } = generator.order(bought_at, context.now);
        let mut updated_at = bought_at;
        let mut note = |kind, occurred_at, form: &Value| {
            if occurred_at > oldest {
                events.push(Occurrence { kind, order: place, form: Arc::new(form.clone()), occurred_at });
            }
        };
        note("BOUGHT", bought_at, &form);
        for (change, at) in &life {
            change.apply(&mut form, *at);
            set(&mut form, "/revision", json!(generator.revision()));
            if change.moves_updated_at() {
                updated_at = *at;
            }
            if let Some(kind) = change.event() {
                note(kind, *at, &form);
            }
        }
        orders.push(Order::of(&form, bought_at, updated_at));
    }
    let ends = orders.first().zip(orders.last()).map(|(first, last)| (first.id.clone(), last.id.clone()));
    let first = seller.extend(orders);
    events.sort_by_key(|event| event.occurred_at);
    for event in events {
        seller.journal.write_past(&seller.id, &Occurrence { order: first + event.order, ..event });
    }
    ends
}

/// Adds a new order: bought, filled in and paid within milliseconds. Returns its id.
pub(crate) fn arrive(
    seller: &mut Seller,
    generator: &mut Generator,
    context: &mut JournalContext<'_>,
) -> String {
    let now = context.now;
    context.now = now - Duration::milliseconds(2);
    let form = generator.bought(context.now);
    let order = Order { since: now, ..Order::of(&form, context.now, context.now) };
    let id = order.id.clone();
    let at = seller.add(order);
    let event = Occurrence { kind: "BOUGHT", order: at, form: Arc::new(form), occurred_at: context.now };
    seller.note(event, context);
    for (change, earlier) in [(Change::FillIn, 1), (Change::Pay, 0)] {
        context.now = now - Duration::milliseconds(earlier);
        seller.change(&id, &change, context, false);
    }
    id
}
