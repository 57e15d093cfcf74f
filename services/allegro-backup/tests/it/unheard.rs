//! What the journal tells twice, late, in another order or not at all.

use serde_json::{Value, json};
use testkit::eventually;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::support::{Shop, USER_PATH};

const TOLD_TWICE: &str = "(SELECT 1 FROM outbox WHERE type IN ('order.created', 'order.ready', 'order.cancelled') \
      GROUP BY type, subject HAVING count(*) > 1) AS twice";

/// An hour ago.
fn lately() -> String {
    (OffsetDateTime::now_utc() - Duration::HOUR).format(&Rfc3339).unwrap()
}

/// A shop whose journal was read to its end, and is read only when asked for from now on.
async fn read_once(orders: &Value) -> (Shop, String) {
    let shop = Shop::open().await;
    shop.admin("POST", "/orders", orders);
    let token_id = shop.connect().await;
    shop.until_read().await;
    // Once more now, and then tomorrow.
    let rarely = json!({ "token_id": token_id, "interval_minutes": 1440 });
    assert_eq!(shop.service.post("/sync/activate", &rarely).0, 200);
    let name = format!("sync_order_events:{token_id}");
    eventually("the last reading", async || {
        let at = shop.schedule(&name)["next_run_at"].as_str()?.to_owned();
        let is_tomorrow =
            OffsetDateTime::parse(&at, &Rfc3339).unwrap() > OffsetDateTime::now_utc() + Duration::HOUR;
        let living =
            "task_history WHERE kind = 'sync_order_events' AND status IN ('queued', 'running', 'retrying')";
        (is_tomorrow && shop.count(living).await == 0).then_some(())
    })
    .await;
    (shop, token_id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_at_its_worst_tells_every_order_once() {
    let shop = Shop::open().await;
    let token_id = shop.connect().await;
    shop.until_read().await;
    let journal = json!({
        "duplicate_rate": 0.5, "disorder_rate": 0.4, "cancel_first_rate": 0.5, "late_ids": true,
        "delay_rate": 0.3, "delay_seconds": 2, "missing_rate": 0.3, "resend_seconds": 3, "hold_seconds": 1,
    });
    shop.admin("PATCH", "/rules", &json!({ "journal": journal }));
    let live = json!({
        "count": 120, "rate_per_second": 60, "cancel_percent": 10, "change_percent": 30, "merge_percent": 10, "seed": 9,
    });
    shop.admin("POST", "/live", &live);
    eventually("all of them", async || {
        (shop.admin("GET", "/live", &json!({}))["running"] == false).then_some(())
    })
    .await;
    shop.admin("POST", "/journal/flush", &json!({}));
    // Returns, what was sent, and events whose ids were passed already are found by the list.
    shop.run_schedule(&format!("sync_order_events:{token_id}")).await;
    shop.run_schedule(&format!("full_sync_all_orders:{token_id}")).await;
    let stored = "orders WHERE NOT is_deleted";
    shop.until(stored, i64::try_from(shop.journal().len()).unwrap()).await;
    assert!(shop.count("order_events WHERE is_duplicate").await > 20);
    assert_eq!(shop.count(TOLD_TWICE).await, 0);
    let silent = "orders WHERE NOT is_deleted AND status = 'READY_FOR_PROCESSING' AND allegro_order_id NOT IN \
         (SELECT subject FROM outbox WHERE type = 'order.ready')";
    assert_eq!(shop.count(silent).await, 0, "and every one that is ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ready_event_that_comes_hours_late_tells_nothing_again() {
    let (shop, token_id) = read_once(&json!({ "count": 30, "from": lately(), "seed": 11 })).await;
    let waiting =
        shop.lines("SELECT allegro_order_id FROM orders WHERE status IN ('BOUGHT', 'FILLED_IN')").await;
    let waiting: Vec<&str> = waiting.iter().map(|it| it.trim_matches(['(', ')'])).collect();
    assert!(waiting.len() >= 2, "some are not paid yet");
    let ready = "outbox WHERE type = 'order.ready'";
    let before = shop.count(ready).await;
    shop.admin("PATCH", "/rules", &json!({ "journal": { "missing_rate": 1.0, "resend_seconds": 14_400 } }));
    for id in &waiting {
        shop.admin("POST", &format!("/orders/{id}/pay"), &json!({}));
    }
    shop.start(&format!("/sync/events/{USER_PATH}"), &json!({})).await;
    assert_eq!(shop.count(ready).await, before, "no event tells of it");
    shop.run_schedule(&format!("sweep_open_orders:{token_id}")).await;
    let all = before + i64::try_from(waiting.len()).unwrap();
    assert_eq!(shop.count(ready).await, all, "the sweep found them");

    let events = "order_events WHERE type = 'READY_FOR_PROCESSING'";
    let known = shop.count(events).await;
    shop.admin("POST", "/clock/advance", &json!({ "seconds": 14_500 }));
    shop.service.post("/sync/activate", &json!({ "token_id": token_id, "interval_minutes": 1 }));
    shop.until(events, known + i64::try_from(waiting.len()).unwrap()).await;
    shop.until_equal().await;
    assert_eq!(shop.count(ready).await, all, "told once");
    assert_eq!(shop.count(TOLD_TWICE).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_event_tells_sweep_and_list_find() {
    let (shop, token_id) = read_once(&json!({ "count": 12, "from": lately(), "seed": 3 })).await;
    let open = shop
        .lines(
            "SELECT allegro_order_id FROM orders WHERE fulfillment_status = 'NEW' AND status <> 'CANCELLED'",
        )
        .await;
    let id = open[0].trim_matches(['(', ')']).to_owned();
    let path = format!("/orders/{USER_PATH}/{id}");
    let stands = || {
        let order = shop.service.get(&path).1;
        (order["fulfillment_status"].clone(), order["allegro_updated_at"].clone())
    };
    let (_, updated_at) = stands();
    shop.admin("POST", &format!("/orders/{id}/fulfill"), &json!({ "status": "SENT", "silent": true }));
    shop.run_schedule(&format!("sweep_open_orders:{token_id}")).await;
    assert_eq!(stands(), (json!("SENT"), updated_at.clone()), "and `updatedAt` has not moved");
    // The seller's label is no end: the sweep reads it again for three days, then only the list's last days do.
    shop.admin(
        "POST",
        &format!("/orders/{id}/fulfill"),
        &json!({ "status": "READY_FOR_SHIPMENT", "silent": true }),
    );
    shop.run_schedule(&format!("sweep_open_orders:{token_id}")).await;
    assert_eq!(stands(), (json!("READY_FOR_SHIPMENT"), updated_at.clone()));
    shop.admin("POST", &format!("/orders/{id}/fulfill"), &json!({ "status": "SENT", "silent": true }));
    shop.run_schedule(&format!("sweep_open_orders:{token_id}")).await;
    shop.run("UPDATE orders SET updated_at = now() - interval '4 days'").await;
    shop.admin("POST", &format!("/orders/{id}/return"), &json!({}));
    shop.run_schedule(&format!("sweep_open_orders:{token_id}")).await;
    assert_eq!(stands().0, "SENT");
    shop.run_schedule(&format!("full_sync_all_orders:{token_id}")).await;
    assert_eq!(stands(), (json!("RETURNED"), updated_at));
    assert_eq!(shop.count(&format!("outbox WHERE type = 'order.cancelled' AND subject = '{id}'")).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_says_less_or_came_too_late_is_kept_and_can_be_read() {
    let (shop, token_id) = read_once(&json!({ "count": 20, "from": lately(), "seed": 5 })).await;
    let several = shop.lines("SELECT allegro_order_id FROM orders WHERE line_items > 1 LIMIT 1").await;
    let id = several[0].trim_matches(['(', ')']).to_owned();
    let path = format!("/orders/{USER_PATH}/{id}");
    let first = shop.service.get(&path).1;
    shop.admin("POST", &format!("/orders/{id}/lose-data"), &json!({}));
    shop.start(&format!("{path}/sync"), &json!({})).await;
    let second = shop.service.get(&path).1;
    assert_eq!((&second["lost_data"], &second["version"]), (&json!(true), &json!(2)));
    assert!(second["line_items"].as_array().unwrap().len() < first["line_items"].as_array().unwrap().len());
    assert_eq!(shop.service.get(&format!("{path}?version=1")).1["order_data"], first["order_data"]);

    // The list is ahead of single orders: what they say is older than what is stored.
    shop.admin("POST", &format!("/orders/{id}/change-address"), &json!({}));
    shop.start(&format!("/sync/manual/{USER_PATH}"), &json!({})).await;
    let third = shop.service.get(&path).1;
    assert_eq!(third["version"], 3);
    shop.admin("PATCH", "/rules", &json!({ "api": { "stale_read_ms": 600_000 } }));
    shop.admin("POST", &format!("/orders/{id}/event"), &json!({ "type": "BUYER_MODIFIED" }));
    shop.service.post("/sync/activate", &json!({ "token_id": token_id, "interval_minutes": 1 }));
    shop.run_schedule(&format!("sync_order_events:{token_id}")).await;
    shop.until("order_versions WHERE version IS NULL", 1).await;
    assert_eq!(shop.service.get(&path).1, third, "an order never goes back");

    let versions = shop.service.get(&format!("{path}/versions")).1["items"].clone();
    let told: Vec<(&Value, &Value, &Value)> = versions
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (&it["version"], &it["source"], &it["is_current"]))
        .collect();
    let [event, list, manual] = [json!("event"), json!("list"), json!("manual")];
    // The late one was asked for last.
    let expected = [
        (&json!(null), &event, &json!(false)),
        (&json!(3), &manual, &json!(true)),
        (&json!(2), &manual, &json!(false)),
        (&json!(1), &list, &json!(false)),
    ];
    assert_eq!(told, expected, "{versions}");
    let key = versions[0]["key"].as_str().unwrap();
    assert!(key.starts_with("late-"), "{key}");
    let late = shop.service.get(&format!("{path}?version={key}")).1;
    assert_eq!((&late["version"], &late["order_data"]), (&json!(null), &second["order_data"]));
    let (status, difference) = shop.service.get(&format!("{path}/versions/diff?from={key}&to=3"));
    assert_eq!((status, &difference["from"]), (200, &json!(key)), "{difference}");
    assert!(difference["changes"].to_string().contains("Żurawia 7/12"), "{difference}");

    for version in ["zwei", "-1", "late-", "late-x", "1.5", "99999999999", "%D1%8F"] {
        let (status, problem) = shop.service.get(&format!("{path}?version={version}"));
        assert_eq!(
            (status, &problem["errors"][0]["pointer"]),
            (400, &json!("version")),
            "{version}: {problem}"
        );
    }
    for version in ["0", "4", "late-0", "late-4000000000"] {
        let (status, problem) = shop.service.get(&format!("{path}?version={version}"));
        assert_eq!((status, &problem["code"]), (404, &json!("version_not_found")), "{version}");
    }
    // Another order's late content is not this one's.
    let another = shop
        .lines(&format!("SELECT allegro_order_id FROM orders WHERE allegro_order_id <> '{id}' LIMIT 1"))
        .await;
    let another = format!("/orders/{USER_PATH}/{}?version={key}", another[0].trim_matches(['(', ')']));
    assert_eq!(shop.service.get(&another).1["code"], "version_not_found");

    // A person's request decides, whatever Allegro's clock says.
    shop.start(&format!("{path}/sync"), &json!({})).await;
    let requested = shop.service.get(&path).1;
    assert_eq!((&requested["version"], &requested["order_data"]), (&json!(4), &second["order_data"]));
}
