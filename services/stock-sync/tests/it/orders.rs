//! Orders leave the shelf once, come back once, and allegro-backup is told.

use std::thread;

use serde_json::{Value, json};
use testkit::eventually;

use crate::support::{Desk, cancelled, order, ready, token};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_leaves_once_and_comes_back_once_whatever_is_told_how_often() {
    let desk = Desk::open().await;
    desk.put("wosk", 10);
    desk.put("świeca", 10);
    let sold = order("sold", &[("wosk", 2), ("świeca", 1), ("wosk", 3)]);
    desk.tell(&[ready(sold.clone()), ready(sold.clone())]).await;
    desk.until("sold", &[("deduction", "completed"); 3]).await;
    assert_eq!((desk.on_hand("wosk"), desk.on_hand("świeca")), (5, 9));
    assert_eq!(desk.backup.marks("sold"), [true], "the order is marked once, not its lines");
    assert_eq!(desk.count("order_states WHERE order_id = 'sold' AND version = 1").await, 1, "its first fact");

    desk.tell(&[cancelled(sold.clone()), ready(sold.clone()), cancelled(sold)]).await;
    desk.until(
        "sold",
        &[
            ("deduction", "completed"),
            ("deduction", "completed"),
            ("deduction", "completed"),
            ("refund", "completed"),
            ("refund", "completed"),
            ("refund", "completed"),
        ],
    )
    .await;
    assert_eq!((desk.on_hand("wosk"), desk.on_hand("świeca")), (10, 10));
    assert_eq!(desk.backup.marks("sold"), [true, false]);
    assert_eq!(
        desk.count("order_states WHERE order_id = 'sold' AND version = 3").await,
        1,
        "and what followed"
    );

    let early = order("early", &[("wosk", 1)]);
    desk.tell(&[cancelled(early.clone()), ready(early)]).await;
    // Told after them, so that it is known when they have been taken.
    desk.tell(&[ready(order("last", &[("wosk", 1)]))]).await;
    desk.until("last", &[("deduction", "completed")]).await;
    assert_eq!(desk.on_hand("wosk"), 9);
    assert_eq!(desk.operations("early"), Vec::<Value>::new());
    let unequal = "stock_levels AS l WHERE on_hand <> (SELECT coalesce(sum(delta), 0) FROM stock_movements AS m \
                   WHERE m.sku = l.sku AND m.warehouse = l.warehouse)";
    assert_eq!(desk.count(unequal).await, 0, "a level is the sum of its movements");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_there_is_too_little_for_is_left_whole_until_it_is_tried_again() {
    let desk = Desk::open().await;
    desk.put("wosk", 5);
    desk.put("knot", 1);
    desk.tell(&[ready(order("big", &[("wosk", 2), ("knot", 2)]))]).await;
    desk.until("big", &[("deduction", "failed"); 2]).await;
    assert_eq!((desk.on_hand("wosk"), desk.on_hand("knot")), (5, 1));
    let operation = desk.operations("big").remove(0);
    assert_eq!(operation["error_message"], "knot: 2 wanted, 1 in Ирина");

    desk.put("knot", 2);
    let id = operation["id"].as_str().unwrap();
    let (status, body) = desk.service.post(&format!("/stock-sync/retry/{id}"), &json!({}));
    assert_eq!((status, &body["operation_id"]), (200, &json!(id)), "{body}");
    desk.until("big", &[("deduction", "completed"); 2]).await;
    assert_eq!((desk.on_hand("wosk"), desk.on_hand("knot")), (3, 0));
    assert_eq!(desk.backup.marks("big"), [true]);
    let (_, shown) = desk.service.get(&format!("/stock-sync/operations/{id}"));
    let log = shown["log"].as_array().unwrap().iter().map(|it| it["action"].as_str().unwrap().to_owned());
    let log: Vec<String> = log.collect();
    assert_eq!(log, ["created", "failed", "manual_retry", "deducted", "sync_success", "completed"]);
    let timed = shown["log"].as_array().unwrap().iter().all(|it| it["execution_time_ms"].is_u64());
    assert!(timed, "each action has its time: {shown}");
    for (method, path) in [("POST", "retry"), ("DELETE", "cancel")] {
        let path = format!("/api/v1/stock-sync/{path}/{id}");
        let (status, problem) = desk.service.call(method, &path, Some(&desk.service.token), "", &json!({}));
        assert_eq!((status, &problem["code"]), (400, &json!("operation_state")), "{path} of a completed one");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_allegro_backup_is_away_tries_are_not_used_up_and_what_it_refuses_fails_at_once() {
    let desk = Desk::open().await;
    desk.put("wosk", 9);
    desk.backup.fail_with(Some(503));
    desk.tell(&[ready(order("held", &[("wosk", 1)])), ready(order("called-off", &[("wosk", 1)]))]).await;
    let away = async || {
        (desk.count("stock_synchronization_logs WHERE action = 'sync_error'").await >= 3).then_some(())
    };
    eventually("allegro-backup to be found away", away).await;
    assert_eq!(desk.on_hand("wosk"), 7);
    let id = desk.operations("called-off")[0]["id"].as_str().unwrap().to_owned();
    let (status, body) = desk.service.delete(&format!("/stock-sync/cancel/{id}"));
    assert_eq!(status, 200, "{body}");
    assert_eq!(desk.on_hand("wosk"), 8, "called off: its unit is back");
    desk.backup.fail_with(None);
    desk.until("held", &[("deduction", "completed")]).await;
    assert_eq!(desk.operations("held")[0]["retry_count"], 0);
    desk.until("called-off", &[("deduction", "cancelled"), ("refund", "completed")]).await;
    assert_eq!(desk.backup.marks("called-off"), [false]);

    desk.backup.fail_with(Some(404));
    desk.tell(&[ready(order("unknown", &[("wosk", 1)]))]).await;
    desk.until("unknown", &[("deduction", "failed")]).await;
    let failed = desk.operations("unknown").remove(0);
    assert_eq!(failed["error_message"], "allegro-backup refused with 404: as_told: as told");
    desk.backup.fail_with(Some(500));
    desk.tell(&[ready(order("trouble", &[("wosk", 1)]))]).await;
    let tried = async || {
        desk.operations("trouble").pop().filter(|it| it["retry_count"] == 1 && it["status"] == "pending")
    };
    let tried = eventually("a first try that failed", tried).await;
    assert!(tried["next_retry_at"].is_string());
    desk.backup.fail_with(None);
    for order in ["unknown", "trouble"] {
        let id = desk.operations(order)[0]["id"].as_str().unwrap().to_owned();
        assert_eq!(desk.service.post(&format!("/stock-sync/retry/{id}"), &json!({})).0, 200);
        desk.until(order, &[("deduction", "completed")]).await;
    }
    assert_eq!(desk.on_hand("wosk"), 6, "a try at allegro-backup takes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_unit_is_sold_once_however_many_want_it() {
    let desk = Desk::open().await;
    desk.put("ostatnia", 1);
    let replicas = [&desk.service, &desk.service.replica()];
    let process = &|number: usize| {
        let wanted = json!({ "id": format!("order-{number}"), "token_id": token(), "lineItems": [
            { "id": format!("line-{number}"), "quantity": 1, "offer": { "external": { "id": "ostatnia" } } }] });
        // Who has waited for the others for long may be asked to come back.
        let mut answers = (0..9).map(|_| replicas[number % 2].post("/orders/process", &wanted));
        let (status, body) = answers.find(|(status, _)| *status != 503).unwrap();
        assert_eq!(status, 200, "{body}");
        body["outcome"].as_str().unwrap().to_owned()
    };
    let outcomes: Vec<String> = thread::scope(|scope| {
        let asked: Vec<_> = (0..64).map(|number| scope.spawn(move || process(number))).collect();
        asked.into_iter().map(|it| it.join().unwrap()).collect()
    });
    let sold = outcomes.iter().filter(|outcome| *outcome == "deducted").count();
    assert_eq!((sold, outcomes.iter().filter(|outcome| *outcome == "shortage").count()), (1, 63));
    assert_eq!(desk.on_hand("ostatnia"), 0);
    assert_eq!(desk.count("stock_movements WHERE kind = 'sale'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_with_u0000_are_dead_lettered_at_once() {
    let desk = Desk::open().await;
    desk.put("wosk", 10);
    let mut unstorable = ready(order("a\0b", &[("wosk", 1)]));
    unstorable.subject = "a".to_owned();
    desk.tell(&[ready(order("before", &[("wosk", 1)])), unstorable, ready(order("after", &[("wosk", 1)]))])
        .await;
    let dead = eventually("a dead letter", async || desk.vhost.take("stock-sync.events.dead").pop()).await;
    assert!(dead.contains(r"a\u0000b"), "{dead}");
    for order in ["before", "after"] {
        desk.until(order, &[("deduction", "completed")]).await;
    }
    assert_eq!(desk.on_hand("wosk"), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_is_not_healthy_while_a_message_is_dead_lettered() {
    let desk = Desk::open().await;
    let mut unstorable = ready(order("a\0b", &[("wosk", 1)]));
    unstorable.subject = "a".to_owned();
    desk.tell(&[unstorable]).await;
    let status = || desk.service.get("/stock-sync/status").1["status"].clone();
    eventually("a warning", async || (status() == "warning").then_some(())).await;
    let alert = "alerts WHERE kind = 'dead_letters' AND cleared_at IS NULL";
    assert_eq!(desk.count(alert).await, 1);
    desk.service.run(&["dead", "drop", "--all", "--yes"]);
    eventually("it to be healthy", async || (status() == "healthy").then_some(())).await;
    assert_eq!(desk.count(alert).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sku_with_u0000_matches_no_stock() {
    let desk = Desk::open().await;
    desk.tell(&[ready(order("unknown", &[("wo\0sk", 1)]))]).await;
    desk.until("unknown", &[("deduction", "failed")]).await;
}
