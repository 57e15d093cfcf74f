//! How orders come to a seller: many of the past at once, or one now.

use std::sync::Arc;

use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::change::{Change, set};
use super::clock::seconds;
use super::generator::{Generator, Made};
use super::journal::{Fact, Pen};
use super::orders::{Order, Seller};

/// Makes orders of the past and puts them, with the events Allegro would still keep, at the seller's. Returns the
/// first and the last order's id.
pub(crate) fn fill(
    seller: &mut Seller,
    pen: &Pen<'_>,
    count: usize,
    (from, to): (OffsetDateTime, OffsetDateTime),
    seed: u64,
) -> Option<(String, String)> {
    let mut generator = Generator::new(seed);
    let oldest = pen.now.saturating_sub(seconds(pen.rules.days * 86_400));
    let mut moments: Vec<OffsetDateTime> = (0..count).map(|_| generator.between(from, to)).collect();
    moments.sort_unstable();
    let (mut orders, mut facts) = (Vec::with_capacity(count), Vec::new());
    for (place, bought_at) in moments.into_iter().enumerate() {
        let Made { mut form, bought_at, life } = generator.order(bought_at, pen.now);
        let mut updated_at = bought_at;
        let mut note = |kind, occurred_at, form: &Value| {
            if occurred_at > oldest {
                facts.push(Fact { kind, order: place, form: Arc::new(form.clone()), occurred_at });
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
    facts.sort_by_key(|fact| fact.occurred_at);
    for fact in facts {
        seller.journal.recall(&seller.id, &Fact { order: first + fact.order, ..fact });
    }
    ends
}

/// A new order as it arrives: bought, filled in and paid within milliseconds. Returns its id.
pub(crate) fn arrive(seller: &mut Seller, generator: &mut Generator, pen: &mut Pen<'_>) -> String {
    let now = pen.now;
    pen.now = now - Duration::milliseconds(2);
    let form = generator.bought(pen.now);
    let order = Order { since: now, ..Order::of(&form, pen.now, pen.now) };
    let id = order.id.clone();
    let at = seller.add(order);
    let fact = Fact { kind: "BOUGHT", order: at, form: Arc::new(form), occurred_at: pen.now };
    seller.note(fact, pen);
    for (change, earlier) in [(Change::FillIn, 1), (Change::Pay, 0)] {
        pen.now = now - Duration::milliseconds(earlier);
        seller.change(&id, &change, pen, false);
    }
    id
}
