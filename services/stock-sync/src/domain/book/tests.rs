#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::HashMap;

use domain::{AllegroOrderId, Sku, TokenId, UuidV7Source};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{Account, Book, Fact, Level, Outcome, Rules};
use crate::domain::operation::{Kind, Operation, Status};
use crate::domain::sale::{Line, Sale};

const NOW: OffsetDateTime = datetime!(2026-11-21 10:00 UTC);
const SHELF: &str = "Ирина";

fn token(number: u128) -> TokenId {
    Uuid::from_u128(number).into()
}

fn rules() -> Rules<'static> {
    let account = Account { stock_from: NOW - Duration::days(1), warehouse: None };
    let accounts = HashMap::from([(token(1), account.clone()), (token(2), account)]);
    Rules { now: NOW, ids: &UuidV7Source, default_warehouse: SHELF, accounts }
}

fn book(levels: &[(&str, i64)]) -> Book {
    let mut book = Book::default();
    for (sku, on_hand) in levels {
        let level = Level { on_hand: *on_hand, low_threshold: Some(1), ..Level::default() };
        book.levels.insert((Sku::parse(sku).unwrap(), SHELF.to_owned()), level);
    }
    book
}

fn sale(order: &str, lines: &[(&str, Option<&str>, i64)]) -> Sale {
    let line = |(id, sku, quantity): &(&str, Option<&str>, i64)| Line {
        line_item_id: (*id).to_owned(),
        sku: sku.map(|sku| Sku::parse(sku).unwrap()),
        quantity: *quantity,
    };
    Sale {
        token_id: Some(token(1)),
        user_id: None,
        order_id: AllegroOrderId::from(order.to_owned()),
        bought_at: Some(NOW),
        backfill: false,
        fulfilled_by_allegro: false,
        lines: lines.iter().map(line).collect(),
    }
}

fn lines_of(sale: &Sale) -> Vec<String> {
    sale.lines.iter().map(|line| line.line_item_id.clone()).collect()
}

fn on_hand(book: &Book, sku: &str) -> i64 {
    book.levels[&(Sku::parse(sku).unwrap(), SHELF.to_owned())].on_hand
}

fn states(book: &Book, order: &str) -> Vec<(Kind, Status)> {
    let operations = book.of(&AllegroOrderId::from(order.to_owned()), Some(token(1)));
    operations.into_iter().map(|(_, it): (usize, &Operation)| (it.kind, it.status)).collect()
}

#[test]
fn lines_of_one_sku_are_summed_and_an_order_is_taken_whole_or_not_at_all() {
    let (mut book, rules) = (book(&[("wosk", 5), ("knot", 9)]), rules());
    let lines = [("a", Some("wosk"), 3), ("b", Some("knot"), 1), ("c", Some("wosk"), 3)];
    assert_eq!(book.sell(&sale("one", &lines), &rules), Outcome::Shortage);
    assert_eq!((on_hand(&book, "wosk"), on_hand(&book, "knot")), (5, 9));
    assert_eq!(states(&book, "one"), [(Kind::Deduction, Status::Failed); 3]);
    let missing = book.changes.facts.iter().find_map(|fact| match fact {
        Fact::RanShort(short) => Some((short.0.missing[0].wanted, short.0.missing[0].on_hand)),
        _ => None,
    });
    assert_eq!(missing, Some((6, Some(5))));

    book.levels.values_mut().for_each(|level| level.on_hand += 1);
    assert_eq!(book.sell(&sale("one", &lines), &rules), Outcome::Deducted, "what failed is tried again");
    assert_eq!((on_hand(&book, "wosk"), on_hand(&book, "knot")), (0, 9));
    assert_eq!(book.sell(&sale("one", &lines), &rules), Outcome::AlreadyDone);
    assert_eq!(on_hand(&book, "wosk"), 0);
}

#[test]
fn what_is_no_sale_of_ours_takes_nothing() {
    let (mut book, rules) = (book(&[("wosk", 5)]), rules());
    let lines = [("a", Some("wosk"), 1)];
    let sales = [
        Sale { backfill: true, ..sale("one", &lines) },
        Sale { bought_at: Some(NOW - Duration::days(2)), ..sale("two", &lines) },
        Sale { fulfilled_by_allegro: true, ..sale("three", &lines) },
    ];
    for sale in &sales {
        assert!(matches!(book.sell(sale, &rules), Outcome::NotCounted(_)), "{sale:?}");
    }
    assert_eq!(on_hand(&book, "wosk"), 5);
    assert!(book.changed(true).is_empty());
}

#[test]
fn a_cancelled_order_comes_back_once_and_one_cancelled_before_it_is_ready_never_leaves() {
    let (mut book, rules) = (book(&[("wosk", 5)]), rules());
    let (first, second) = (sale("one", &[("a", Some("wosk"), 2)]), sale("two", &[("b", Some("wosk"), 2)]));
    book.cancel(&second.order_id, token(1), &lines_of(&second), &rules);
    assert_eq!(book.sell(&second, &rules), Outcome::Cancelled);
    assert_eq!(book.sell(&first, &rules), Outcome::Deducted);
    assert_eq!(on_hand(&book, "wosk"), 3);
    book.cancel(&first.order_id, token(1), &lines_of(&first), &rules);
    book.cancel(&first.order_id, token(1), &lines_of(&first), &rules);
    assert_eq!(on_hand(&book, "wosk"), 5);
    assert_eq!(states(&book, "one"), [(Kind::Deduction, Status::Cancelled), (Kind::Refund, Status::Pending)]);
    assert_eq!(book.sell(&first, &rules), Outcome::Cancelled);
    assert_eq!(on_hand(&book, "wosk"), 5);
}

#[test]
fn a_line_sold_with_another_order_or_account_is_not_sold_again() {
    let (mut book, rules) = (book(&[("wosk", 5)]), rules());
    let line = [("a", Some("wosk"), 2)];
    assert_eq!(book.sell(&sale("one", &line), &rules), Outcome::Deducted);
    assert_eq!(book.sell(&sale("merged", &line), &rules), Outcome::Deducted);
    let twin = Sale { token_id: Some(token(2)), ..sale("one", &line) };
    assert_eq!(book.sell(&twin, &rules), Outcome::Deducted);
    assert_eq!(on_hand(&book, "wosk"), 3);
    assert_eq!(states(&book, "merged"), [(Kind::Deduction, Status::Pending)], "its mark is set all the same");

    book.cancel(&"merged".to_owned().into(), token(1), &["a".to_owned()], &rules);
    book.cancel(&twin.order_id, token(2), &lines_of(&twin), &rules);
    assert_eq!(on_hand(&book, "wosk"), 5, "its units come back once, with whichever is cancelled first");
}

#[test]
fn a_merged_order_cancelled_before_it_was_ready_gives_back_what_left_with_its_parts_and_keeps_what_had_not() {
    let (mut book, rules) = (book(&[("wosk", 9)]), rules());
    let (first, late) = (sale("one", &[("a", Some("wosk"), 2)]), sale("late", &[("b", Some("wosk"), 3)]));
    assert_eq!(book.sell(&first, &rules), Outcome::Deducted);
    let merged = ["a".to_owned(), "b".to_owned()];
    book.cancel(&"merged".to_owned().into(), token(1), &merged, &rules);
    assert_eq!(on_hand(&book, "wosk"), 9);
    book.sell(&late, &rules);
    assert_eq!(on_hand(&book, "wosk"), 9, "told of too late");
    book.cancel(&"merged".to_owned().into(), token(2), &merged, &rules);
    assert_eq!(on_hand(&book, "wosk"), 9, "once");
}

#[test]
fn what_could_not_be_marked_is_marked_again_when_the_order_is_told_of_again() {
    let (mut book, rules) = (book(&[("wosk", 9)]), rules());
    let early = sale("early", &[("a", Some("wosk"), 2)]);
    assert_eq!(book.sell(&early, &rules), Outcome::Deducted);
    book.change(0, NOW, |it| (it.status, it.retry_count) = (Status::Failed, 5));
    assert_eq!(book.sell(&early, &rules), Outcome::AlreadyDone);
    assert_eq!(
        (on_hand(&book, "wosk"), states(&book, "early")),
        (7, vec![(Kind::Deduction, Status::Pending)])
    );
    assert_eq!((book.operations[0].retry_count, book.changes.healed.len()), (0, 1));
}

#[test]
fn mending_does_what_was_to_be_done_and_leaves_what_was_given_back() {
    let (mut book, rules) = (book(&[("wosk", 9)]), rules());
    let [first, second, third] = ["one", "two", "three"].map(|it| sale(it, &[(it, Some("wosk"), 2)]));
    book.mend(&first, &rules);
    assert_eq!((on_hand(&book, "wosk"), states(&book, "one")), (7, vec![(Kind::Deduction, Status::Pending)]));
    assert_eq!(book.sell(&second, &rules), Outcome::Deducted);
    book.cancel(&second.order_id, token(1), &lines_of(&second), &rules);
    book.mend(&second, &rules);
    assert_eq!(states(&book, "two"), [(Kind::Deduction, Status::Cancelled), (Kind::Refund, Status::Pending)]);
    book.cancel(&third.order_id, token(1), &lines_of(&third), &rules);
    book.mend(&third, &rules);
    assert_eq!((on_hand(&book, "wosk"), states(&book, "three")), (7, vec![]));
    // Taken so long ago that its operation is not kept: marked, and not taken again.
    let of_then = sale("then", &[("one", Some("wosk"), 2)]);
    book.mend(&of_then, &rules);
    assert_eq!(
        (on_hand(&book, "wosk"), states(&book, "then")),
        (7, vec![(Kind::Deduction, Status::Pending)])
    );
}

#[test]
fn a_line_without_a_sku_is_told_of_and_the_rest_goes_on() {
    let (mut book, rules) = (book(&[("wosk", 5)]), rules());
    assert_eq!(book.sell(&sale("one", &[("a", None, 1), ("b", Some("wosk"), 4)]), &rules), Outcome::Deducted);
    assert_eq!(states(&book, "one"), [(Kind::Deduction, Status::Failed), (Kind::Deduction, Status::Pending)]);
    let lows = book.changes.facts.iter().filter(|fact| matches!(fact, Fact::IsLow(_))).count();
    assert_eq!((on_hand(&book, "wosk"), lows), (1, 1));
}

#[test]
fn whatever_comes_in_whatever_order_the_ledger_adds_up_and_each_line_moves_once() {
    let rules = rules();
    for seed in 0..200 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut book = book(&[("wosk", 20), ("knot", 20)]);
        for _ in 0..60 {
            let number = random.random_range(0..8_u8);
            // Lines are shared by two orders each, as merged orders share them.
            let (order, line) = (format!("order-{number}"), format!("line-{}", number / 2));
            let token_id = token(random.random_range(1..=2));
            let sku = if number % 4 < 2 { "wosk" } else { "knot" };
            let lines = [(line.as_str(), Some(sku), i64::from(number / 2) + 1)];
            if random.random_bool(0.3) {
                book.cancel(&order.into(), token_id, &[line], &rules);
            } else {
                book.sell(&Sale { token_id: Some(token_id), ..sale(&order, &lines) }, &rules);
            }
        }
        let mut moved: HashMap<(String, &str), i64> = HashMap::new();
        for movement in &book.changes.movements {
            let again = moved.insert((movement.line_item_id.clone(), movement.kind.word()), movement.delta);
            assert_eq!(again, None, "seed {seed}: {movement:?}");
        }
        for sku in ["wosk", "knot"] {
            let of = book.changes.movements.iter().filter(|it| it.place.0.as_str() == sku);
            assert_eq!(20 + of.map(|it| it.delta).sum::<i64>(), on_hand(&book, sku), "seed {seed}");
        }
        for ((line, _), delta) in moved.iter().filter(|((_, kind), _)| *kind == "refund") {
            assert_eq!(
                moved.get(&(line.clone(), "sale")),
                Some(&-delta),
                "seed {seed}: what comes back had left"
            );
        }
    }
}
