//! An order's own trouble holds nobody up, and what Allegro does not tell is found all the same.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{eventually, eventually_within};

use crate::support::{Shop, USER_PATH};

const PATIENCE: Duration = Duration::from_mins(2);

fn last_event(shop: &Shop) -> u64 {
    shop.standing()["last_event_id"].as_str().and_then(|id| id.parse().ok()).unwrap_or_default()
}

fn generated(shop: &Shop, count: usize) -> String {
    shop.admin("POST", "/orders", &json!({ "count": count }))["first_id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_never_answered_is_blamed_at_last_and_holds_nobody_up() {
    let mut shop = Shop::open().await;
    let bad = generated(&shop, 5);
    shop.connect().await;
    shop.until_read().await;
    let before = last_event(&shop);
    let fault = json!({ "routes": ["order"], "orders": [bad], "error_rate": 1.0, "status": 503 });
    shop.admin("PUT", "/faults", &fault);
    shop.admin("POST", &format!("/orders/{bad}/change-address"), &json!({}));
    shop.admin("POST", "/live", &json!({ "count": 10, "rate_per_second": 1000 }));
    eventually("a first suspicion", async || {
        (shop.count("failed_orders WHERE status = 'suspected'").await == 1).then_some(())
    })
    .await;
    assert_eq!(last_event(&shop), before, "the run is stopped");
    // What is suspected is written down: it is no matter who goes on.
    shop.service.kill();
    shop.start_again().await;
    eventually_within(PATIENCE, "the others to be stored", async || {
        (shop.count("orders").await == 15).then_some(())
    })
    .await;
    assert_eq!(
        shop.lines("SELECT error_class, status, attempts FROM failed_orders").await,
        ["(unavailable,pending,1)"]
    );
    assert!(last_event(&shop) > before);

    shop.admin("DELETE", "/faults", &json!({}));
    shop.run("UPDATE failed_orders SET next_retry_at = now()").await;
    shop.until("failed_orders WHERE status = 'resolved'", 1).await;
    let stored = shop.service.get(&format!("/orders/{USER_PATH}/{bad}")).1;
    assert_eq!(stored["order_data"]["delivery"]["address"]["street"], "Żurawia 7/12");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_tried_again_less_and_less_often_and_never_forgotten() {
    let shop = Shop::open().await;
    let bad = generated(&shop, 3);
    shop.connect().await;
    shop.until_read().await;
    let fault = json!({ "routes": ["order"], "orders": [bad], "error_rate": 1.0, "status": 422 });
    shop.admin("PUT", "/faults", &fault);
    shop.admin("POST", &format!("/orders/{bad}/change-address"), &json!({}));
    let waits = "SELECT attempts, status, round(extract(epoch FROM next_retry_at - updated_at) / 60) FROM failed_orders";
    for (attempt, wait, status) in [
        (1, 1, "pending"),
        (2, 5, "pending"),
        (3, 15, "pending"),
        (4, 60, "pending"),
        (5, 240, "pending"),
        (6, 1440, "abandoned"),
        (7, 1440, "abandoned"),
    ] {
        shop.until(&format!("failed_orders WHERE attempts = {attempt}"), 1).await;
        assert_eq!(shop.lines(waits).await, [format!("({attempt},{status},{wait})")]);
        shop.run("UPDATE failed_orders SET next_retry_at = now()").await;
    }
    shop.admin("DELETE", "/faults", &json!({}));
    shop.run("UPDATE failed_orders SET next_retry_at = now()").await;
    shop.until("failed_orders WHERE status = 'resolved'", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_larger_than_any_should_be_costs_one_order_alone_and_is_told() {
    let shop = Shop::open().await;
    shop.admin("POST", "/orders", &json!({ "count": 230 }));
    let ids: Vec<String> =
        shop.journal().iter().map(|order| order["order_id"].as_str().unwrap().to_owned()).collect();
    // The first of the list, by which it is measured.
    let bloat = |id: &String, bytes: u32| {
        shop.admin("POST", &format!("/orders/{id}/bloat"), &json!({ "bytes": bytes }));
    };
    bloat(&ids[0], 33 << 20);
    let token_id = shop.connect().await;
    eventually_within(PATIENCE, "the list to be read", async || {
        shop.standing()["last_complete_list_sync"].is_string().then_some(())
    })
    .await;
    assert_eq!(shop.count("orders").await, 229);
    let large = "failed_orders WHERE status = 'pending' AND error_class = 'unreadable' \
         AND error_text = 'Allegro''s answer is larger than any should be'";
    assert_eq!(shop.count(large).await, 1);
    let (_, gaps) = shop.service.get(&format!("/sync/gaps/{token_id}"));
    assert_eq!(gaps["is_green"], false, "{gaps}");

    // An event of that kind holds up neither those before nor those behind it.
    shop.admin("POST", "/live", &json!({ "count": 3, "rate_per_second": 1000 }));
    shop.until("orders", 232).await;
    let before = last_event(&shop);
    bloat(&ids[7], 33 << 20);
    shop.admin("POST", "/live", &json!({ "count": 3, "rate_per_second": 1000 }));
    shop.until("orders", 235).await;
    assert!(last_event(&shop) > before);
    assert_eq!(shop.count("order_events WHERE type = 'UNREADABLE' AND event_data ? 'unreadable'").await, 1);
    let told = || shop.service.log().matches("an event cannot be read").count();
    shop.run_schedule(&format!("sync_order_events:{token_id}")).await;
    let before = told();
    shop.run_schedule(&format!("sync_order_events:{token_id}")).await;
    assert_eq!((before > 0, told()), (true, before), "the overlap does not reach behind it");
    assert_eq!(shop.count("failed_orders").await, 1, "an order that is stored stays as it was");

    for id in [&ids[0], &ids[7]] {
        bloat(id, 20);
    }
    shop.run("UPDATE failed_orders SET next_retry_at = now()").await;
    shop.until("failed_orders WHERE status = 'resolved'", 1).await;
    shop.until_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn merged_orders_are_found_by_their_lines() {
    let shop = Shop::open().await;
    let token_id = shop.connect().await;
    shop.until_read().await;
    shop.admin("POST", "/live", &json!({ "count": 4, "rate_per_second": 1000 }));
    shop.until("orders", 4).await;
    let ids: Vec<String> =
        shop.journal().iter().map(|order| order["order_id"].as_str().unwrap().to_owned()).collect();

    // Stored before they were merged: the new order's lines show it.
    let merged = shop.admin("POST", "/orders/merge", &json!({ "orders": ids[..2] }));
    let into = merged["order_id"].as_str().unwrap();
    shop.until(&format!("orders WHERE is_deleted AND merged_into = '{into}'"), 2).await;
    let told = format!(
        "outbox WHERE type = 'order.updated' AND convert_from(body, 'UTF8')::jsonb #>> '{{data,merged_into}}' = '{into}'"
    );
    shop.until(&told, 2).await;
    let versions = format!(
        "order_versions v JOIN orders o ON o.id = v.order_id WHERE o.merged_into = '{into}' AND v.version = o.version - 1"
    );
    assert_eq!(shop.count(&versions).await, 2, "the content is kept");

    // Merged before they were ever read: their events name the lines.
    shop.service.post("/sync/deactivate", &json!({ "token_id": token_id }));
    shop.until(
        "task_history WHERE kind = 'sync_order_events' AND status IN ('queued', 'running', 'retrying')",
        0,
    )
    .await;
    shop.admin("POST", "/live", &json!({ "count": 2, "rate_per_second": 1000 }));
    let ids = eventually("two more orders", async || {
        let journal = shop.journal();
        let ids: Vec<Value> = journal.iter().skip(3).map(|order| order["order_id"].clone()).collect();
        (ids.len() == 2).then_some(ids)
    })
    .await;
    let merged = shop.admin("POST", "/orders/merge", &json!({ "orders": ids }));
    let into = merged["order_id"].as_str().unwrap().to_owned();
    let (status, answer) =
        shop.service.post("/sync/activate", &json!({ "token_id": token_id, "interval_minutes": 1 }));
    assert_eq!(status, 200, "{answer}");
    shop.until(&format!("failed_orders WHERE status = 'resolved' AND merged_into = '{into}'"), 2).await;
    shop.until(&format!("orders WHERE allegro_order_id = '{into}' AND NOT is_deleted"), 1).await;
    assert_eq!(shop.count("failed_orders WHERE status <> 'resolved'").await, 0);

    // Nothing is missing, as soon as a list says so.
    shop.start(&format!("/sync/manual/{USER_PATH}"), &json!({})).await;
    let (_, gaps) = shop.service.get(&format!("/sync/gaps/{token_id}"));
    assert_eq!((&gaps["open"], &gaps["is_green"]), (&json!([]), &json!(true)), "{gaps}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_events_do_not_tell_the_sweep_finds_and_readiness_is_told_once() {
    let shop = Shop::open().await;
    let token_id = shop.connect().await;
    shop.until_read().await;
    shop.service.post("/sync/deactivate", &json!({ "token_id": token_id }));
    shop.until(
        "task_history WHERE kind = 'sync_order_events' AND status IN ('queued', 'running', 'retrying')",
        0,
    )
    .await;
    let from = time_ago(1);
    shop.admin("POST", "/orders", &json!({ "count": 30, "from": from, "seed": 11 }));
    shop.start(&format!("/sync/manual/{USER_PATH}"), &json!({})).await;
    assert_eq!(shop.count("orders").await, 30);
    let ready = "outbox WHERE type = 'order.ready'";
    let (was_ready, unpaid) = (shop.count(ready).await, "orders WHERE status IN ('BOUGHT', 'FILLED_IN')");
    let waiting =
        shop.lines("SELECT allegro_order_id FROM orders WHERE status IN ('BOUGHT', 'FILLED_IN')").await;
    assert!(!waiting.is_empty(), "some are not paid yet");
    for id in &waiting {
        shop.admin("POST", &format!("/orders/{}/pay", id.trim_matches(['(', ')'])), &json!({}));
    }
    shop.service.post("/sync/activate", &json!({ "token_id": token_id, "interval_minutes": 1440 }));
    let (status, _) =
        shop.service.post(&format!("/sync/schedules/sweep_open_orders:{token_id}/run"), &json!({}));
    assert_eq!(status, 202);
    shop.until(unpaid, 0).await;
    shop.until("sync_history WHERE kind = 'sweep' AND status = 'completed'", 1).await;
    shop.run_schedule(&format!("sync_order_events:{token_id}")).await;
    shop.until_equal().await;
    let now_ready = was_ready + i64::try_from(waiting.len()).unwrap();
    assert_eq!(shop.count(ready).await, now_ready, "told once, by sweep or by event");
}

fn time_ago(hours: u64) -> String {
    let at = std::time::SystemTime::now() - Duration::from_secs(hours * 3600);
    let seconds = at.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    time::OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).unwrap())
        .unwrap()
        .format(&time::format_description::well_known::Rfc3339)
        .unwrap()
}
