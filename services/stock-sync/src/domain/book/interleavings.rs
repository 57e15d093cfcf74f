//! Whatever happens to orders, and in whatever order it is seen, the stock ends where the current state says.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::{AllegroOrderId, TokenId};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use time::Duration;

use super::tests::{NOW, book, line_id, ready, rules, sku, token};
use super::{Book, Rules};
use crate::domain::movement::MovementKind;
use crate::domain::operation::{Kind, Status};
use crate::domain::order_view::{LineKey, OrderStatus, OrderView};

const SEEDS: u64 = 400;
const SHELF: i64 = 10_000;
const STATUSES: [OrderStatus; 5] = [
    OrderStatus::Ready,
    OrderStatus::Cancelled,
    OrderStatus::Returned,
    OrderStatus::Gone,
    OrderStatus::Unknown,
];

/// Everything that happens: labels back and forth, payments and ends of four orders, and of two that merge their lines, each
/// seen through up to two accounts of the seller.
fn history(random: &mut StdRng) -> Vec<OrderView> {
    let lines = ["a", "b", "c", "d", "e"];
    let skus = ["wosk", "knot", "wosk", "knot", "wosk"];
    let of = |at: usize| (lines[at], Some(skus[at]), i64::try_from(at).unwrap() + 1);
    let orders = [
        ("order-1", vec![of(0)]),
        ("order-2", vec![of(1), of(2)]),
        ("order-3", vec![of(3)]),
        ("order-4", vec![of(4)]),
        ("merged-1", vec![of(0), of(1), of(2)]),
        ("merged-2", vec![of(0), of(1), of(2), of(3)]),
    ];
    let (mut events, mut clock) = (Vec::new(), 0);
    for (order, lines) in orders {
        for number in 1..=random.random_range(1..=2) {
            let stored = random.random_range(0..100);
            for sequence in 1..=random.random_range(1..=6) {
                clock += random.random_range(0..3);
                let status = if random.random_bool(0.8) {
                    STATUSES[random.random_range(0..2)]
                } else {
                    STATUSES[random.random_range(0..STATUSES.len())]
                };
                events.push(OrderView {
                    token_id: Some(token(number)),
                    sequence: Some(sequence),
                    status,
                    read_at: Some(NOW + Duration::seconds(clock)),
                    first_stored_at: Some(NOW + Duration::seconds(stored)),
                    ..ready(order, &lines)
                });
            }
        }
    }
    events
}

/// The views that decide in the end, computed without a book: the latest of each account that was delivered.
#[derive(Default)]
struct Expected {
    latest: BTreeMap<(AllegroOrderId, Option<TokenId>), OrderView>,
    first_returned: BTreeSet<AllegroOrderId>,
}

impl Expected {
    fn deliver(&mut self, view: &OrderView) {
        let key = (view.order_id.clone(), view.token_id);
        if !self.latest.contains_key(&key) && view.status == OrderStatus::Returned {
            self.first_returned.insert(view.order_id.clone());
        }
        let is_newer = self.latest.get(&key).is_none_or(|it| it.sequence <= view.sequence);
        if is_newer {
            self.latest.insert(key, view.clone());
        }
    }

    fn views<'a>(&'a self, order: &'a AllegroOrderId) -> impl Iterator<Item = &'a OrderView> {
        self.latest.values().filter(move |it| it.order_id == *order)
    }

    fn carrier(&self, line: &str) -> Option<&AllegroOrderId> {
        let named = self.latest.values().filter(|it| it.lines.iter().any(|it| it.line_item_id == line));
        let orders: BTreeSet<&AllegroOrderId> = named.map(|it| &it.order_id).collect();
        let rank = |id: &AllegroOrderId| self.views(id).filter_map(|it| it.first_stored_at).min();
        orders.into_iter().max_by_key(|id| (rank(id), (*id).clone()))
    }

    /// Whether a line is out: none where either is right.
    fn is_out(&self, line: &str) -> Option<bool> {
        let carrier = self.carrier(line)?;
        let speaking = self.views(carrier).max_by_key(|it| (it.read_at, it.sequence, it.token_id)).unwrap();
        match speaking.status {
            OrderStatus::Ready if self.first_returned.contains(carrier) => None,
            OrderStatus::Ready => Some(true),
            OrderStatus::Cancelled => Some(false),
            OrderStatus::Returned | OrderStatus::Gone | OrderStatus::Unknown => None,
        }
    }
}

/// Delivers events late, twice, out of order or never; a transaction may be aborted at any time, and is then done again.
fn deliver(random: &mut StdRng, book: &mut Book, rules: &Rules<'_>) -> Expected {
    let mut events = history(random);
    let repeated: Vec<OrderView> = events.iter().filter(|_| random.random_bool(0.3)).cloned().collect();
    events.extend(repeated);
    events.retain(|_| random.random_bool(0.85));
    if random.random_bool(0.7) {
        events.shuffle(random);
    }
    let mut expected = Expected::default();
    for view in events {
        if random.random_bool(0.2) {
            let mut aborted = book.clone();
            aborted.observe(view.clone(), rules);
        }
        book.observe(view.clone(), rules);
        expected.deliver(&view);
        // Flags are sent now and then.
        let is_sent = random.random_bool(0.5);
        for operation in book.operations.iter_mut().filter(|it| is_sent && it.status == Status::Pending) {
            operation.status = Status::Completed;
        }
    }
    expected
}

#[test]
fn net_movements_and_flags_follow_the_current_state() {
    let rules = Rules { asks_after_shipment: false, ..rules() };
    let (mut out, mut back, mut free) = (0, 0, 0);
    for seed in 0..SEEDS {
        let mut random = StdRng::seed_from_u64(seed);
        let mut book = book(&[("wosk", SHELF), ("knot", SHELF)]);
        let expected = deliver(&mut random, &mut book, &rules);
        for (at, name) in ["a", "b", "c", "d", "e"].iter().enumerate() {
            let (id, quantity) = (line_id(name), i64::try_from(at).unwrap() + 1);
            let moved = book.changes.movements.iter().filter(|it| it.line_item_id == id);
            let net: i64 = moved.map(|it| it.delta).sum();
            match expected.is_out(&id) {
                Some(true) => out += 1,
                Some(false) => back += 1,
                None => free += 1,
            }
            let allowed = match expected.is_out(&id) {
                Some(true) => vec![-quantity],
                Some(false) => vec![0],
                None => vec![0, -quantity],
            };
            assert!(allowed.contains(&net), "seed {seed}: line {name} moved {net} of {allowed:?}");
        }
        check_ledger(&book, seed);
        check_flags(&book, &expected, seed);
    }
    assert!(out > 300 && back > 300 && free > 50, "{out} out, {back} in, {free} either");
}

/// Each deduction of a line leaves once and comes back at most once, and levels are the sums of movements.
fn check_ledger(book: &Book, seed: u64) {
    let mut moved_once = BTreeSet::new();
    let mut out: HashMap<&LineKey, i64> = HashMap::new();
    for movement in &book.changes.movements {
        let is_new =
            moved_once.insert((movement.line_key.as_str(), movement.generation, movement.kind.word()));
        assert!(is_new, "seed {seed}: {movement:?}");
        let out = out.entry(&movement.line_key).or_default();
        *out += if movement.kind == MovementKind::Sale { 1 } else { -1 };
        assert!((0..=1).contains(out), "seed {seed}: {movement:?}");
    }
    for name in ["wosk", "knot"] {
        let moved = book.changes.movements.iter().filter(|it| it.place.0 == sku(name));
        let sum: i64 = moved.map(|it| it.delta).sum();
        let level = book.levels.iter().find(|((it, _), _)| *it == sku(name)).unwrap().1;
        assert_eq!(SHELF + sum, level.on_hand, "seed {seed}");
    }
}

/// An order that decides about all its lines is flagged exactly when they are out, through every account.
fn check_flags(book: &Book, expected: &Expected, seed: u64) {
    for view in expected.latest.values() {
        let lines = view.lines.iter().map(|it| it.line_item_id.as_str());
        if !lines.clone().all(|line| expected.carrier(line) == Some(&view.order_id)) {
            continue;
        }
        let wanted_out: Vec<Option<bool>> = lines.map(|line| expected.is_out(line)).collect();
        let stored = book.views[&view.order_id].iter().find(|it| it.token_id == view.token_id).unwrap();
        let wanted = if wanted_out.iter().all(|it| *it == Some(true)) {
            true
        } else if wanted_out.iter().all(|it| *it == Some(false)) {
            false
        } else {
            continue;
        };
        assert_eq!(stored.is_out, wanted, "seed {seed}: flag of {}", view.order_id);
        let operations = book.of(&view.order_id, view.token_id);
        let open =
            operations.iter().filter(|(_, it)| it.status == Status::Failed || it.deducted_at.is_none());
        assert_eq!(open.filter(|(_, it)| it.status != Status::Cancelled).count(), 0, "seed {seed}");
        if wanted {
            let told = operations.iter().filter(|(_, it)| {
                let key = LineKey::of(&it.order_id, &it.line_item_id);
                it.kind == Kind::Deduction && book.lines[&key].generation == it.generation
            });
            assert_eq!(told.count(), view.lines.len(), "seed {seed}: {} is told", view.order_id);
        }
    }
}
