//! Stock follows an order's current state, however often that changes.

use domain::events::OrderEvent;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use testkit::eventually;
use time::{Duration, OffsetDateTime};

use crate::support::{Desk, cancelled, order, ready, token};

/// The order as allegro-backup knows it at this version.
fn at(version: i64, order: &OrderEvent) -> OrderEvent {
    OrderEvent { version, ..order.clone() }
}

/// An order of the same lines that its buyer paid them with, stored later.
fn merged(id: &str, parts: &[&OrderEvent]) -> OrderEvent {
    let line_items = parts.iter().flat_map(|it| it.line_items.clone()).collect();
    let later = OffsetDateTime::now_utc() + Duration::minutes(1);
    OrderEvent { line_items, first_stored_at: Some(later), ..order(id, &[]) }
}

/// As Allegro shapes it.
fn shaped(order: &OrderEvent, fulfillment: &str) -> Value {
    let lines: Vec<Value> = order
        .line_items
        .iter()
        .map(|it| json!({ "id": it.id, "quantity": it.quantity, "offer": { "external": { "id": it.sku } } }))
        .collect();
    json!({ "id": order.order_id, "token_id": token(), "status": "READY_FOR_PROCESSING", "lineItems": lines,
            "fulfillment": { "status": fulfillment } })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_labelled_cancelled_and_then_sent_is_deducted() {
    let desk = Desk::open().await;
    desk.put("wosk", 10);
    let sold = order("sold", &[("wosk", 2)]);
    desk.tell_until_taken(&[ready(at(1, &sold)), cancelled(at(1, &sold))]).await;
    assert_eq!(desk.on_hand("wosk"), 10);
    let sent = OrderEvent { was_shipped: true, fulfillment_status: Some("SENT".to_owned()), ..at(3, &sold) };
    desk.tell_until_taken(&[ready(sent)]).await;
    assert_eq!(desk.on_hand("wosk"), 8);
    let flagged = async || (desk.backup.marks("sold").last() == Some(&true)).then_some(());
    eventually("the flag to be set", flagged).await;
    assert_eq!(desk.count("alerts WHERE cleared_at IS NULL AND severity <> 'info'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unpaid_order_labelled_cancelled_is_deducted_when_paid() {
    let desk = Desk::open().await;
    desk.put("wosk", 10);
    let sold = order("sold", &[("wosk", 2)]);
    desk.tell_until_taken(&[cancelled(at(1, &sold)), ready(at(3, &sold))]).await;
    desk.until("sold", &[("deduction", "completed")]).await;
    assert_eq!((desk.on_hand("wosk"), desk.backup.marks("sold")), (8, vec![true]));
}

#[tokio::test(flavor = "multi_thread")]
async fn unpaid_orders_paid_within_another_are_deducted_with_it() {
    let desk = Desk::open().await;
    desk.put("wosk", 10);
    let (one, two) = (order("one", &[("wosk", 2)]), order("two", &[("wosk", 3)]));
    desk.tell_until_taken(&[cancelled(one.clone()), cancelled(two.clone())]).await;
    let paid = merged("paid", &[&one, &two]);
    desk.tell_until_taken(&[ready(paid.clone())]).await;
    desk.until("paid", &[("deduction", "completed"); 2]).await;
    assert_eq!((desk.on_hand("wosk"), desk.backup.marks("paid")), (5, vec![true]));
    // Allegro ends the unpaid orders.
    desk.tell_until_taken(&[cancelled(at(5, &one)), cancelled(at(5, &two))]).await;
    assert_eq!(desk.on_hand("wosk"), 5, "the paid order keeps its units");
    desk.tell_until_taken(&[cancelled(paid)]).await;
    assert_eq!(desk.on_hand("wosk"), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submitted_cancellation_takes_nothing_and_brings_units_back() {
    let desk = Desk::open().await;
    desk.put("wosk", 10);
    let submit = |order: &OrderEvent, fulfillment: &str| {
        let (status, body) = desk.service.post("/orders/process", &shaped(order, fulfillment));
        (status, body["outcome"].as_str().unwrap_or_default().to_owned())
    };
    let (early, sold) = (order("early", &[("wosk", 1)]), order("sold", &[("wosk", 2)]));
    let is = |status: u16, outcome: &str| (status, outcome.to_owned());
    assert_eq!((submit(&early, "CANCELLED"), desk.on_hand("wosk")), (is(200, "cancelled"), 10));
    assert_eq!((submit(&sold, "NEW"), desk.on_hand("wosk")), (is(200, "deducted"), 8));
    assert_eq!((submit(&sold, "CANCELLED"), desk.on_hand("wosk")), (is(200, "cancelled"), 10));
    assert_eq!((submit(&early, "SENT"), desk.on_hand("wosk")), (is(200, "deducted"), 9));
    let unpaid = json!({ "id": "unpaid", "status": "FILLED_IN", "lineItems": [{ "id": "1", "quantity": 1, "offer": {} }] });
    assert_eq!(desk.service.post("/orders/process", &unpaid).0, 400);
    desk.tell_until_taken(&[ready(sold.clone())]).await;
    assert_eq!((submit(&sold, "CANCELLED"), desk.on_hand("wosk")), (is(200, "already_done"), 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn units_of_a_shipped_order_return_when_a_person_confirms() {
    let desk = Desk::open().await;
    desk.put("wosk", 10);
    let asked = "alerts WHERE kind = 'return_after_shipment' AND cleared_at IS NULL";
    for (name, units, flags) in [("confirmed", 1, vec![true, false]), ("declined", 2, vec![true])] {
        let before = desk.on_hand("wosk");
        let sold = order(name, &[("wosk", units)]);
        desk.tell(&[ready(sold.clone())]).await;
        desk.until(name, &[("deduction", "completed")]).await;
        desk.tell_until_taken(&[cancelled(OrderEvent { was_shipped: true, ..sold })]).await;
        desk.until(name, &[("deduction", "completed"), ("refund", "pending")]).await;
        let refund = desk.operations(name).remove(1);
        assert_eq!((&refund["error_message"], &refund["next_retry_at"]), (&json!("shipped"), &Value::Null));
        assert_eq!((desk.on_hand("wosk"), desk.count(asked).await), (before - units, 1), "{name}");
        let status = desk.service.get("/stock-sync/status").1;
        assert_eq!(status["statistics"]["pending_operations"], 0, "it waits for a person");
        let id = refund["id"].as_str().unwrap();
        if name == "confirmed" {
            assert_eq!(desk.service.post(&format!("/stock-sync/retry/{id}"), &json!({})).0, 200);
            desk.until(name, &[("deduction", "completed"), ("refund", "completed")]).await;
            assert_eq!(desk.on_hand("wosk"), before);
        } else {
            assert_eq!(desk.service.delete(&format!("/stock-sync/cancel/{id}")).0, 200);
            desk.until(name, &[("deduction", "completed"), ("refund", "cancelled")]).await;
            assert_eq!(desk.on_hand("wosk"), before - units);
        }
        assert_eq!((desk.backup.marks(name), desk.count(asked).await), (flags, 0), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn units_of_a_shipped_order_return_at_once_where_that_is_set() {
    let desk = Desk::open_with(&[("STOCK_SYNC_RETURN_AFTER_SHIPMENT", "return")]).await;
    desk.put("wosk", 10);
    let sold = OrderEvent { was_shipped: true, ..order("sold", &[("wosk", 1)]) };
    desk.tell_until_taken(&[ready(sold.clone()), cancelled(sold)]).await;
    assert_eq!(desk.on_hand("wosk"), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_first_seen_returned_takes_nothing_and_is_reported() {
    let desk = Desk::open().await;
    desk.put("wosk", 10);
    let returned = Some("RETURNED".to_owned());
    let order = OrderEvent { fulfillment_status: returned, ..order("returned", &[("wosk", 1)]) };
    desk.tell_until_taken(&[ready(order)]).await;
    assert_eq!((desk.on_hand("wosk"), desk.count("pending_stock_operations").await), (10, 0));
    assert_eq!(desk.count("alerts WHERE kind = 'first_seen_returned' AND cleared_at IS NULL").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_with_a_repeated_line_is_refused_by_name() {
    let desk = Desk::open().await;
    desk.put("wosk", 10);
    let mut twice = order("twice", &[("wosk", 1), ("wosk", 2)]);
    twice.line_items[1].id = twice.line_items[0].id.clone();
    desk.tell_until_taken(&[ready(twice.clone()), ready(at(2, &twice))]).await;
    assert_eq!(desk.on_hand("wosk"), 10);
    let refused = "alerts WHERE kind = 'order_refused' AND cleared_at IS NULL";
    assert_eq!(desk.count(refused).await, 1, "once for its cause");
    desk.tell_until_taken(&[ready(at(3, &order("twice", &[("wosk", 1)])))]).await;
    assert_eq!((desk.on_hand("wosk"), desk.count(refused).await), (9, 0), "corrected");

    let unreadable = order("unreadable", &[("wosk", 0), ("wosk", 1_000_000_001), ("wosk", 1)]);
    desk.tell(&[ready(unreadable)]).await;
    desk.until("unreadable", &[("deduction", "failed"), ("deduction", "failed"), ("deduction", "completed")])
        .await;
    let failed = desk.operations("unreadable").remove(0);
    assert_eq!(failed["error_message"], "the line's quantity must be from 1 to 1000000000");
    assert_eq!((desk.on_hand("wosk"), desk.backup.marks("unreadable")), (8, vec![true]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_reads_the_order_again() {
    let desk = Desk::open().await;
    desk.put("wosk", 10);
    let mut sold = order("sold", &[("wosk", 2)]);
    sold.line_items[0].sku = None;
    desk.tell(&[ready(sold.clone())]).await;
    desk.until("sold", &[("deduction", "failed")]).await;
    sold.line_items[0].sku = Some("wosk".to_owned());
    desk.backup.keep(&at(2, &sold), false);
    let id = desk.operations("sold")[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(desk.service.post(&format!("/stock-sync/retry/{id}"), &json!({})).0, 200);
    desk.until("sold", &[("deduction", "completed")]).await;
    assert_eq!((desk.on_hand("wosk"), desk.backup.marks("sold")), (8, vec![true]));
}

#[tokio::test(flavor = "multi_thread")]
async fn units_of_an_order_whose_status_cannot_be_read_stay_out() {
    let desk = Desk::open().await;
    desk.put("wosk", 10);
    let sold = order("sold", &[("wosk", 2)]);
    desk.tell(&[ready(sold.clone())]).await;
    desk.until("sold", &[("deduction", "completed")]).await;
    desk.backup.keep(&OrderEvent { status: None, ..at(2, &sold) }, true);
    let path = format!("/stock-sync/reconcile?token_id={}&fix=true", token());
    let (status, result) = desk.service.post(&path, &json!({}));
    assert_eq!((status, &result["discrepancies"]), (200, &json!([])), "{result}");
    assert_eq!((desk.on_hand("wosk"), desk.backup.marks("sold")), (8, vec![true]));
}

/// Everything that happens to some orders, and to orders that merge the lines of two of them.
fn history(random: &mut StdRng, orders: usize) -> Vec<(OrderEvent, bool)> {
    let singles: Vec<OrderEvent> =
        (0..orders).map(|number| order(&format!("single-{number}"), &[("wosk", 1), ("knot", 2)])).collect();
    let pairs = singles.chunks(4).enumerate();
    let merged: Vec<OrderEvent> = pairs
        .filter_map(|(number, four)| {
            Some(merged(&format!("merged-{number}"), &[four.first()?, four.get(1)?]))
        })
        .collect();
    let mut history = Vec::new();
    for order in singles.iter().chain(&merged) {
        for version in 1..=random.random_range(1..=5) {
            history.push((at(version, order), random.random_bool(0.4)));
        }
    }
    history
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_follows_the_state_through_kills_and_disorder() {
    let mut random = StdRng::seed_from_u64(16);
    let mut desk = Desk::open_with(&[("STOCK_SYNC_RETURN_AFTER_SHIPMENT", "return")]).await;
    desk.put("wosk", 10_000);
    desk.put("knot", 10_000);
    let history = history(&mut random, 40);
    let mut events: Vec<&(OrderEvent, bool)> = history.iter().filter(|_| random.random_bool(0.9)).collect();
    let repeated: Vec<_> = events.iter().copied().filter(|_| random.random_bool(0.3)).collect();
    events.extend(repeated);
    events.shuffle(&mut random);
    for part in events.chunks(30) {
        let told: Vec<_> =
            part.iter()
                .map(|(order, is_cancelled)| {
                    if *is_cancelled { cancelled(at(order.version - 1, order)) } else { ready(order.clone()) }
                })
                .collect();
        let dies = random.random_bool(0.5);
        if dies {
            desk.service.kill();
        }
        desk.tell(&told).await;
        if dies {
            let points = [
                "pg.before_commit",
                "pg.after_commit",
                "consumer.before_apply",
                "consumer.before_acknowledge",
            ];
            let point = points[random.random_range(0..points.len())];
            desk.service.start_to_die_at(point);
            let is_over = async || desk.service.has_died_at(point).then_some(());
            eventually(&format!("the death at {point}"), is_over).await;
            desk.service.start_again();
        }
    }
    let all = i64::try_from(events.len()).unwrap();
    eventually("all events", async || (desk.count("inbox").await == all + 1).then_some(())).await;
    let open = "pending_stock_operations WHERE status IN ('pending', 'processing')";
    eventually("all flags", async || (desk.count(open).await == 0).then_some(())).await;

    let latest = |id: &str| {
        events.iter().filter(|(it, _)| it.order_id.as_str() == id).max_by_key(|(it, _)| it.version)
    };
    let (mut wosk, mut out) = (0, 0);
    for number in 0..40 {
        let merged = (number % 4 < 2).then(|| latest(&format!("merged-{}", number / 4))).flatten();
        let name = format!("single-{number}");
        let Some((decides, is_cancelled)) = merged.or_else(|| latest(&name)) else { continue };
        let is_out = !is_cancelled;
        wosk += i64::from(is_out);
        out += usize::from(is_out);
        let flag = desk.backup.marks(decides.order_id.as_str()).last().copied().unwrap_or_default();
        assert_eq!(flag, is_out, "the flag of {}", decides.order_id);
    }
    assert!(out > 5, "{out} orders are out");
    assert_eq!((desk.on_hand("wosk"), desk.on_hand("knot")), (10_000 - wosk, 10_000 - 2 * wosk));
    let wrong = "(SELECT FROM stock_movements WHERE kind IN ('sale', 'refund') GROUP BY line_key, sku \
                 HAVING sum(delta) NOT IN (0, -1, -2)) AS wrong";
    assert_eq!(desk.count(wrong).await, 0);
}
