//! Backing orders up: whatever dies, whatever Allegro does.

use diesel_async::SimpleAsyncConnection;
use serde_json::json;
use testkit::eventually;

use crate::support::{Shop, USER_PATH};

/// While the test holds the lock 4711, no reading comes further.
const HOLD: &str = "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     PERFORM pg_advisory_xact_lock_shared(4711); RETURN NULL; END $$; \
     CREATE TRIGGER hold AFTER INSERT OR UPDATE ON sync_cursors FOR EACH ROW WHEN (NEW.pass_done > 2400) \
     EXECUTE FUNCTION hold()";
const ANNOUNCED_TWICE: &str = "(SELECT 1 FROM outbox WHERE type IN ('order.created', 'order.ready', 'order.cancelled') \
      GROUP BY type, subject HAVING count(*) > 1) AS twice";

#[tokio::test(flavor = "multi_thread")]
async fn every_order_of_the_past_is_stored_and_announced_once_though_the_service_is_killed() {
    let mut shop = Shop::open().await;
    shop.admin("POST", "/orders", &json!({ "count": 3000, "seed": 7 }));
    shop.admin("PUT", "/faults", &json!({ "delay_ms": 60 }));
    shop.run(HOLD).await;
    let mut holder = shop.pool.get().await.unwrap();
    holder.batch_execute("SELECT pg_advisory_lock(4711)").await.unwrap();
    shop.connect().await;
    for at_least in [1, 900, 1800] {
        eventually("some progress", async || {
            (shop.standing()["orders_read"].as_i64()? >= at_least).then_some(())
        })
        .await;
        shop.service.kill();
        assert!(shop.count("orders").await < 3000, "killed in the middle");
        if at_least == 1800 {
            holder.batch_execute("SELECT pg_advisory_unlock(4711)").await.unwrap();
        }
        shop.start_again().await;
    }
    shop.until_read().await;
    let (source, stored) = shop.compare().await;
    assert_eq!(source, stored);
    assert_eq!(shop.count("outbox WHERE type = 'order.created'").await, 3000);
    assert_eq!(shop.count(ANNOUNCED_TWICE).await, 0);
    let history = "outbox WHERE type = 'order.created' \
         AND (convert_from(body, 'UTF8')::jsonb #>> '{data,backfill}')::bool";
    assert_eq!(shop.count(history).await, 3000);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_orders_and_changes_follow_through_the_journal() {
    let shop = Shop::open().await;
    shop.connect().await;
    shop.until_read().await;
    shop.admin("POST", "/live", &json!({ "count": 40, "rate_per_second": 200, "cancel_percent": 10 }));
    shop.until("orders", 40).await;
    shop.until_equal().await;
    let id = shop.journal()[0]["order_id"].as_str().unwrap().to_owned();

    // The seller's own status does not move `updatedAt`; the buyer's change of address does.
    let path = format!("/orders/{USER_PATH}/{id}");
    shop.admin("POST", &format!("/orders/{id}/fulfill"), &json!({ "status": "SENT" }));
    eventually("the seller's status", async || {
        let (_, order) = shop.service.get(&path);
        (order["fulfillment_status"] == "SENT").then_some(())
    })
    .await;
    shop.admin("POST", &format!("/orders/{id}/change-address"), &json!({}));
    let order = eventually("the new address", async || {
        let (_, order) = shop.service.get(&path);
        (order["order_data"]["delivery"]["address"]["street"] == "Żurawia 7/12").then_some(order)
    })
    .await;
    assert_eq!((&order["fulfillment_status"], &order["lost_data"]), (&json!("SENT"), &json!(false)));
    let replaced =
        format!("order_versions v JOIN orders o ON o.id = v.order_id WHERE o.allegro_order_id = '{id}'");
    let version = order["version"].as_i64().unwrap();
    assert!(version >= 3, "{version}");
    assert_eq!(shop.count(&replaced).await, version - 1, "every replaced content is kept");
    assert_eq!(shop.count(ANNOUNCED_TWICE).await, 0);

    for _ in 0..2 {
        shop.admin("POST", &format!("/orders/{id}/seller-cancel"), &json!({}));
    }
    shop.until_equal().await;
    let told = format!("outbox WHERE type = 'order.cancelled' AND subject = '{id}'");
    shop.until(&told, 1).await;
    assert_eq!(shop.count("outbox WHERE type = 'order.cancelled'").await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_allegro_does_wrong_is_survived() {
    let shop = Shop::open().await;
    shop.connect().await;
    shop.until_read().await;
    let faults =
        json!({ "error_rate": 0.4, "status": 502, "html": true, "routes": ["events", "order"], "seed": 3 });
    shop.admin("PUT", "/faults", &faults);
    shop.admin("POST", "/live", &json!({ "count": 30, "rate_per_second": 100 }));
    eventually("failures to be met", async || {
        (shop.admin("GET", "/stats", &json!({}))["requests"]["GET order"]["502"].as_u64()? >= 5).then_some(())
    })
    .await;
    shop.admin("DELETE", "/faults", &json!({}));
    shop.until_equal().await;
    assert_eq!(shop.count("failed_orders").await, 0, "no order was at fault itself");
    assert_eq!(shop.count(ANNOUNCED_TWICE).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_read_again_when_asked_for_and_says_nothing_twice() {
    let shop = Shop::open().await;
    shop.admin("POST", "/orders", &json!({ "count": 250 }));
    shop.connect().await;
    shop.until_read().await;
    let told = shop.count("outbox").await;
    let (status, started) = shop.service.post(&format!("/sync/manual/{USER_PATH}"), &json!({}));
    assert_eq!(status, 202, "{started}");
    let path = format!("/sync/tasks/{}", started["task_id"].as_str().unwrap());
    let task = eventually("the second reading", async || {
        let (_, task) = shop.service.get(&path);
        (task["status"] == "SUCCESS").then_some(task)
    })
    .await;
    let result = &task["result"];
    assert_eq!(
        (&result["orders"], &result["added"], &result["unchanged"]),
        (&json!(250), &json!(0), &json!(250))
    );
    assert_eq!(shop.count("outbox").await, told + 1, "but that it was read");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_orders_is_paged_without_gaps() {
    let shop = Shop::open().await;
    shop.admin("POST", "/orders", &json!({ "count": 130 }));
    shop.connect().await;
    shop.until_read().await;
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let (status, page) = shop.service.get(&format!("/orders/{USER_PATH}?limit=50{cursor}"));
        assert_eq!(status, 200, "{page}");
        let items = page["items"].as_array().unwrap();
        seen.extend(items.iter().map(|order| order["allegro_order_id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let mut source: Vec<String> =
        shop.journal().iter().rev().map(|order| order["order_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(seen, source, "newest first");
    source.dedup();
    assert_eq!(source.len(), 130);
}
