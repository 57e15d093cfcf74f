#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::HashMap;

use domain::{AllegroOrderId, Sku, TokenId, UuidV7Source};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{Account, Book, Component, Fact, Level, Outcome, Refusal, Rules};
use crate::domain::movement::MovementKind;
use crate::domain::operation::{Kind, Operation, Status};
use crate::domain::order_view::{Line, OrderStatus, OrderView};

pub(super) const NOW: OffsetDateTime = datetime!(2026-11-21 10:00 UTC);
const SHELF: &str = "Ирина";

pub(super) fn token(number: u128) -> TokenId {
    Uuid::from_u128(number).into()
}

pub(super) fn rules() -> Rules<'static> {
    let account = Account { stock_from: NOW - Duration::days(1), warehouse: None };
    let accounts = HashMap::from([(token(1), account.clone()), (token(2), account)]);
    Rules {
        now: NOW,
        ids: &UuidV7Source,
        default_warehouse: SHELF,
        asks_after_shipment: true,
        accounts,
        bundles: HashMap::new(),
    }
}

pub(super) fn sku(text: &str) -> Sku {
    Sku::parse(text).unwrap()
}

pub(super) fn book(levels: &[(&str, i64)]) -> Book {
    let mut book = Book::default();
    for (name, on_hand) in levels {
        let level = Level { on_hand: *on_hand, low_threshold: Some(1), ..Level::default() };
        book.levels.insert((sku(name), SHELF.to_owned()), level);
    }
    book
}

/// A line's id, which merged orders share.
pub(super) fn line_id(name: &str) -> String {
    let bytes = name.bytes().fold(0_u128, |sum, byte| sum * 256 + u128::from(byte));
    Uuid::from_u128(bytes).to_string()
}

pub(super) fn ready(order: &str, lines: &[(&str, Option<&str>, i64)]) -> OrderView {
    let line = |(id, name, quantity): &(&str, Option<&str>, i64)| Line {
        line_item_id: line_id(id),
        sku: name.map(sku),
        quantity: Some(*quantity),
    };
    OrderView {
        token_id: Some(token(1)),
        user_id: None,
        order_id: AllegroOrderId::from(order.to_owned()),
        status: OrderStatus::Ready,
        sequence: Some(1),
        read_at: Some(NOW),
        first_stored_at: Some(NOW),
        ready_at: Some(NOW),
        was_shipped: false,
        is_fulfilled_by_allegro: false,
        is_first_returned: false,
        is_out: false,
        lines: lines.iter().map(line).collect(),
    }
}

/// The order, later and in another state.
pub(super) fn then(view: &OrderView, status: OrderStatus) -> OrderView {
    OrderView { status, sequence: view.sequence.map(|it| it + 1), ..view.clone() }
}

fn cancelled(view: &OrderView) -> OrderView {
    then(view, OrderStatus::Cancelled)
}

fn on_hand(book: &Book, name: &str) -> i64 {
    book.levels[&(sku(name), SHELF.to_owned())].on_hand
}

fn states(book: &Book, order: &str) -> Vec<(Kind, Status)> {
    let operations = book.of(&AllegroOrderId::from(order.to_owned()), Some(token(1)));
    operations.into_iter().map(|(_, it): (usize, &Operation)| (it.kind, it.status)).collect()
}

fn is_flagged(book: &Book, order: &str) -> bool {
    book.speaking(&AllegroOrderId::from(order.to_owned())).unwrap().is_out
}

fn id_of(book: &Book, order: &str, kind: Kind) -> Uuid {
    let operations = book.of(&AllegroOrderId::from(order.to_owned()), Some(token(1)));
    operations.iter().rfind(|(_, it)| it.kind == kind).unwrap().1.id
}

#[test]
fn lines_of_one_sku_are_summed_and_taken_whole_or_not_at_all() {
    let (mut book, rules) = (book(&[("wosk", 5), ("knot", 9)]), rules());
    let order = ready("one", &[("a", Some("wosk"), 3), ("b", Some("knot"), 1), ("c", Some("wosk"), 3)]);
    assert_eq!(book.observe(order.clone(), &rules), Outcome::Shortage);
    assert_eq!((on_hand(&book, "wosk"), on_hand(&book, "knot")), (5, 9));
    assert_eq!(states(&book, "one"), [(Kind::Deduction, Status::Failed); 3]);
    let missing = book.changes.facts.iter().find_map(|fact| match fact {
        Fact::RanShort(short) => Some((short.0.missing[0].wanted, short.0.missing[0].on_hand)),
        _ => None,
    });
    assert_eq!(missing, Some((6, Some(5))));

    book.levels.values_mut().for_each(|level| level.on_hand += 1);
    assert_eq!(book.observe(order.clone(), &rules), Outcome::Deducted, "what failed is tried again");
    assert_eq!((on_hand(&book, "wosk"), on_hand(&book, "knot")), (0, 9));
    assert_eq!(book.observe(order, &rules), Outcome::AlreadyDone);
    assert_eq!((on_hand(&book, "wosk"), is_flagged(&book, "one")), (0, true));
}

#[test]
fn what_is_no_sale_of_ours_takes_nothing() {
    let (mut book, rules) = (book(&[("wosk", 5)]), rules());
    let lines = [("a", Some("wosk"), 1)];
    let orders = [
        OrderView { ready_at: Some(NOW - Duration::days(2)), ..ready("two", &lines) },
        OrderView { is_fulfilled_by_allegro: true, ..ready("three", &lines) },
        OrderView { status: OrderStatus::Returned, ..ready("four", &lines) },
    ];
    for order in &orders {
        assert!(matches!(book.observe(order.clone(), &rules), Outcome::NotCounted(_)), "{order:?}");
    }
    let returned = then(&orders[2], OrderStatus::Ready);
    assert!(matches!(book.observe(returned, &rules), Outcome::NotCounted(_)), "first seen returned");
    assert_eq!((on_hand(&book, "wosk"), book.changed(true).len()), (5, 0));
    assert_eq!(book.changes.first_returned.len(), 1);
}

#[test]
fn an_order_that_is_cancelled_and_sent_all_the_same_is_out() {
    let (mut book, rules) = (book(&[("wosk", 5)]), rules());
    let first = ready("one", &[("a", Some("wosk"), 2)]);
    assert_eq!(book.observe(first.clone(), &rules), Outcome::Deducted);
    let off = cancelled(&first);
    for _ in 0..2 {
        assert_eq!(book.observe(off.clone(), &rules), Outcome::Cancelled);
        assert_eq!((on_hand(&book, "wosk"), is_flagged(&book, "one")), (5, false));
    }
    let sent = OrderView { was_shipped: true, ..then(&off, OrderStatus::Ready) };
    for expected in [Outcome::Deducted, Outcome::AlreadyDone] {
        assert_eq!(book.observe(sent.clone(), &rules), expected);
        assert_eq!((on_hand(&book, "wosk"), is_flagged(&book, "one")), (3, true));
    }
    assert_eq!(book.observe(off, &rules), Outcome::AlreadyDone, "an older state changes nothing");
    assert_eq!(on_hand(&book, "wosk"), 3);
}

#[test]
fn an_order_cancelled_before_it_is_paid_is_taken_when_it_is_paid() {
    let (mut book, rules) = (book(&[("wosk", 5)]), rules());
    let unpaid = OrderView { status: OrderStatus::Cancelled, ..ready("one", &[("a", Some("wosk"), 2)]) };
    assert_eq!(book.observe(unpaid.clone(), &rules), Outcome::Cancelled);
    assert_eq!(book.observe(then(&unpaid, OrderStatus::Ready), &rules), Outcome::Deducted);
    assert_eq!((on_hand(&book, "wosk"), is_flagged(&book, "one")), (3, true));
}

#[test]
fn a_cancelled_order_paid_within_another_is_taken_with_it() {
    let (mut book, rules) = (book(&[("wosk", 5)]), rules());
    let line = [("a", Some("wosk"), 2)];
    let unpaid = OrderView { status: OrderStatus::Cancelled, ..ready("one", &line) };
    book.observe(unpaid.clone(), &rules);
    let later = Some(NOW + Duration::minutes(1));
    let merged = OrderView { first_stored_at: later, ..ready("merged", &line) };
    assert_eq!(book.observe(merged, &rules), Outcome::Deducted);
    assert_eq!((on_hand(&book, "wosk"), is_flagged(&book, "merged")), (3, true));
    book.observe(then(&unpaid, OrderStatus::Cancelled), &rules);
    assert_eq!(on_hand(&book, "wosk"), 3, "Allegro ends the unpaid order: the paid one keeps its units");
}

#[test]
fn a_line_of_two_orders_and_two_accounts_is_taken_once() {
    let (mut book, rules) = (book(&[("wosk", 5)]), rules());
    let line = [("a", Some("wosk"), 2)];
    let first = ready("one", &line);
    let later = Some(NOW + Duration::minutes(1));
    let merged = OrderView { first_stored_at: later, ..ready("merged", &line) };
    let twin = OrderView { token_id: Some(token(2)), ..merged.clone() };
    for view in [&first, &merged, &twin] {
        assert_eq!(book.observe(view.clone(), &rules), Outcome::Deducted);
    }
    assert_eq!(on_hand(&book, "wosk"), 3);
    assert_eq!(states(&book, "merged"), [(Kind::Deduction, Status::Pending)], "it is flagged all the same");

    book.observe(cancelled(&first), &rules);
    assert_eq!(on_hand(&book, "wosk"), 3, "another order decides about the line");
    book.observe(OrderView { read_at: later, ..cancelled(&twin) }, &rules);
    assert_eq!(on_hand(&book, "wosk"), 5, "the account that read last speaks for the order");
    book.observe(OrderView { read_at: later, ..cancelled(&merged) }, &rules);
    assert_eq!((on_hand(&book, "wosk"), is_flagged(&book, "merged")), (5, false));
}

#[test]
fn a_shipped_order_comes_back_when_a_person_confirms_it() {
    let (mut book, rules) = (book(&[("wosk", 9)]), rules());
    let [yes, no, again] = ["yes", "no", "again"].map(|it| ready(it, &[(it, Some("wosk"), 1)]));
    for order in [&yes, &no, &again] {
        book.observe(order.clone(), &rules);
        book.observe(OrderView { was_shipped: true, ..cancelled(order) }, &rules);
        let order = order.order_id.as_str();
        assert_eq!(states(&book, order)[1], (Kind::Refund, Status::Pending), "{order}");
        assert!(book.is_asked(&(order.to_owned().into(), Some(token(1)))));
    }
    assert_eq!(on_hand(&book, "wosk"), 6);
    book.retry(id_of(&book, "yes", Kind::Refund), None, &rules).unwrap();
    assert_eq!((on_hand(&book, "wosk"), is_flagged(&book, "yes")), (7, false));
    book.call_off(id_of(&book, "no", Kind::Refund), &rules).unwrap();
    book.observe(OrderView { was_shipped: true, ..cancelled(&no) }, &rules);
    assert_eq!((on_hand(&book, "wosk"), is_flagged(&book, "no")), (7, true), "declined: its unit stays out");
    let sent = OrderView { was_shipped: true, sequence: Some(3), ..again };
    book.observe(sent, &rules);
    assert_eq!(
        states(&book, "again"),
        [(Kind::Deduction, Status::Pending), (Kind::Refund, Status::Cancelled)]
    );
    assert_eq!(on_hand(&book, "wosk"), 7, "readiness withdraws the question");
    assert!(
        ["yes", "no", "again"].iter().all(|it| !book.is_asked(&((*it).to_owned().into(), Some(token(1)))))
    );
}

#[test]
fn a_cancelled_operation_holds_its_line_until_the_order_changes() {
    let (mut book, rules) = (book(&[("wosk", 9)]), rules());
    let order = ready("one", &[("a", Some("wosk"), 2)]);
    book.observe(order.clone(), &rules);
    book.call_off(id_of(&book, "one", Kind::Deduction), &rules).unwrap();
    assert_eq!((on_hand(&book, "wosk"), is_flagged(&book, "one")), (9, false));
    book.observe(order.clone(), &rules);
    book.mend(order.clone(), &rules);
    assert_eq!(on_hand(&book, "wosk"), 9, "events and corrections respect it");
    let refund = book.call_off(id_of(&book, "one", Kind::Refund), &rules);
    assert_eq!(refund, Err(Refusal::Refund));
    let off = cancelled(&order);
    book.observe(off.clone(), &rules);
    book.observe(then(&off, OrderStatus::Ready), &rules);
    assert_eq!((on_hand(&book, "wosk"), is_flagged(&book, "one")), (7, true));
}

#[test]
fn a_short_order_that_is_cancelled_closes_its_operations() {
    let (mut book, rules) = (book(&[("wosk", 1)]), rules());
    let order = ready("one", &[("a", Some("wosk"), 2)]);
    book.observe(order.clone(), &rules);
    book.observe(cancelled(&order), &rules);
    assert_eq!(states(&book, "one"), [(Kind::Deduction, Status::Cancelled)]);
    assert_eq!(book.changes.healed.len(), 1, "its alert is cleared");
    book.levels.values_mut().for_each(|level| level.on_hand = 2);
    assert_eq!(book.observe(OrderView { sequence: Some(3), ..order }, &rules), Outcome::Deducted);
    assert_eq!((on_hand(&book, "wosk"), states(&book, "one")), (0, vec![(Kind::Deduction, Status::Pending)]));
}

#[test]
fn a_flag_that_failed_is_sent_again_with_the_next_event() {
    let (mut book, rules) = (book(&[("wosk", 9)]), rules());
    let early = ready("early", &[("a", Some("wosk"), 2)]);
    assert_eq!(book.observe(early.clone(), &rules), Outcome::Deducted);
    book.change(0, NOW, |it| (it.status, it.retry_count) = (Status::Failed, 5));
    assert_eq!(book.observe(early, &rules), Outcome::AlreadyDone);
    assert_eq!(
        (on_hand(&book, "wosk"), states(&book, "early")),
        (7, vec![(Kind::Deduction, Status::Pending)])
    );
    assert_eq!((book.operations[0].retry_count, book.changes.healed.len()), (0, 1));
}

#[test]
fn a_correction_does_what_the_state_requires() {
    let (mut book, rules) = (book(&[("wosk", 9)]), rules());
    let [first, second] = ["one", "two"].map(|it| ready(it, &[(it, Some("wosk"), 2)]));
    book.mend(first.clone(), &rules);
    assert_eq!((on_hand(&book, "wosk"), states(&book, "one")), (7, vec![(Kind::Deduction, Status::Pending)]));
    book.change(0, NOW, |it| it.status = Status::Completed);
    assert_eq!(book.mend(first, &rules), Outcome::Deducted, "flagged again");
    assert_eq!((on_hand(&book, "wosk"), states(&book, "one")), (7, vec![(Kind::Deduction, Status::Pending)]));
    assert_eq!(book.observe(second.clone(), &rules), Outcome::Deducted);
    book.mend(cancelled(&second), &rules);
    assert_eq!(on_hand(&book, "wosk"), 7);
    // Taken so long ago that its operation is not kept: flagged, and not taken again.
    let later = Some(NOW + Duration::minutes(1));
    let of_then = OrderView { first_stored_at: later, ..ready("then", &[("one", Some("wosk"), 2)]) };
    book.mend(of_then, &rules);
    assert_eq!(
        (on_hand(&book, "wosk"), states(&book, "then")),
        (7, vec![(Kind::Deduction, Status::Pending)])
    );
}

#[test]
fn a_line_without_sku_or_quantity_moves_once_it_is_readable() {
    let (mut book, rules) = (book(&[("wosk", 5)]), rules());
    let mut order = ready("one", &[("a", None, 1), ("b", Some("wosk"), 3), ("c", Some("wosk"), 1)]);
    order.lines[2].quantity = None;
    assert_eq!(book.observe(order.clone(), &rules), Outcome::Deducted);
    let failed = [
        (Kind::Deduction, Status::Failed),
        (Kind::Deduction, Status::Pending),
        (Kind::Deduction, Status::Failed),
    ];
    assert_eq!((states(&book, "one"), on_hand(&book, "wosk")), (failed.to_vec(), 2));
    assert!(is_flagged(&book, "one"), "such lines do not hold the flag");
    order.lines[0].sku = Some(sku("wosk"));
    order.lines[2].quantity = Some(1);
    assert_eq!(book.observe(OrderView { sequence: Some(2), ..order }, &rules), Outcome::Deducted);
    assert_eq!((on_hand(&book, "wosk"), book.changes.healed.len()), (0, 1));
}

#[test]
fn a_bundle_moves_its_components_and_brings_back_what_it_moved() {
    let (mut book, mut rules) = (book(&[("wosk", 9), ("knot", 9)]), rules());
    let part = |name, quantity| Component { sku: sku(name), quantity };
    rules.bundles.insert(sku("set"), vec![part("wosk", 2), part("knot", 1)]);
    let order = ready("one", &[("a", Some("set"), 3)]);
    assert_eq!(book.observe(order.clone(), &rules), Outcome::Deducted);
    assert_eq!((on_hand(&book, "wosk"), on_hand(&book, "knot")), (3, 6));
    rules.bundles.insert(sku("set"), vec![part("wosk", 5)]);
    book.observe(cancelled(&order), &rules);
    assert_eq!((on_hand(&book, "wosk"), on_hand(&book, "knot")), (9, 9));
    let kinds = book.changes.movements.iter().map(|it| it.kind);
    assert_eq!(kinds.filter(|it| *it == MovementKind::Refund).count(), 2);
}

#[test]
fn a_submitted_order_decides_only_while_no_event_is_known() {
    let (mut book, rules) = (book(&[("wosk", 5)]), rules());
    let order = ready("one", &[("a", Some("wosk"), 2)]);
    let submitted = OrderView { sequence: None, ..order.clone() };
    assert_eq!(book.observe(submitted.clone(), &rules), Outcome::Deducted);
    let off = OrderView { status: OrderStatus::Cancelled, ..submitted.clone() };
    assert_eq!(book.observe(off.clone(), &rules), Outcome::Cancelled);
    assert_eq!(on_hand(&book, "wosk"), 5);
    assert_eq!(book.observe(order, &rules), Outcome::Deducted);
    assert_eq!(book.observe(off, &rules), Outcome::AlreadyDone);
    assert_eq!(on_hand(&book, "wosk"), 3);
}

#[test]
fn a_retried_flag_is_due_at_once() {
    let (mut book, rules) = (book(&[("wosk", 5)]), rules());
    book.observe(ready("one", &[("a", Some("wosk"), 2)]), &rules);
    let later = Some(NOW + Duration::minutes(1));
    book.change(0, NOW, |it| (it.retry_count, it.next_retry_at) = (1, later));
    book.retry(id_of(&book, "one", Kind::Deduction), None, &rules).unwrap();
    assert_eq!(book.operations[0].next_retry_at, Some(NOW));
}
