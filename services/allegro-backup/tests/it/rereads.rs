//! Orders that an event named are read again, because an answer right after an event can be stale.

use serde_json::{Value, json};
use testkit::eventually;

use crate::support::{Shop, USER_PATH};

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_answer_right_after_an_event_is_corrected_although_the_process_died() {
    let mut shop = Shop::open().await;
    let id = shop.admin("POST", "/orders", &json!({ "count": 3 }))["first_id"].as_str().unwrap().to_owned();
    shop.connect().await;
    shop.until_read().await;
    let street = |shop: &Shop| -> Value {
        let order = shop.service.get(&format!("/orders/{USER_PATH}/{id}")).1;
        order["order_data"]["delivery"]["address"]["street"].clone()
    };
    let before = street(&shop);
    let stale_for = |shop: &Shop, milliseconds: u32| {
        shop.admin("PATCH", "/rules", &json!({ "api": { "stale_read_ms": milliseconds } }));
    };
    stale_for(&shop, 600_000);
    let planned = format!("order_rereads WHERE allegro_order_id = '{id}'");
    shop.admin("POST", &format!("/orders/{id}/change-address"), &json!({}));
    shop.until(&planned, 2).await;
    assert_eq!(street(&shop), before, "the answer was stale");
    shop.service.kill();
    stale_for(&shop, 0);
    shop.run("UPDATE order_rereads SET due_at = now() WHERE NOT is_last").await;
    shop.start_again().await;
    shop.until(&planned, 1).await;
    assert_eq!(street(&shop), "Żurawia 7/12");

    // Another event within the five minutes plans a first reading anew, and moves the last one.
    let last = "SELECT due_at FROM order_rereads WHERE is_last";
    let moved_from = shop.lines(last).await;
    shop.admin("POST", &format!("/orders/{id}/event"), &json!({ "type": "BUYER_MODIFIED" }));
    shop.until(&planned, 2).await;
    assert_ne!(shop.lines(last).await, moved_from);
    shop.run("UPDATE order_rereads SET due_at = now()").await;
    shop.until("order_rereads", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_read_again_although_others_meet_trouble() {
    let shop = Shop::open().await;
    shop.admin("POST", "/orders", &json!({ "count": 6 }));
    let ids: Vec<String> =
        shop.journal().iter().map(|order| order["order_id"].as_str().unwrap().to_owned()).collect();
    shop.connect().await;
    shop.until_read().await;
    for id in &ids {
        shop.admin("POST", &format!("/orders/{id}/event"), &json!({ "type": "BUYER_MODIFIED" }));
    }
    shop.until("order_rereads", 12).await;
    let fault = json!({ "routes": ["order"], "orders": [ids[0]], "error_rate": 1.0, "status": 422 });
    shop.admin("PUT", "/faults", &fault);
    shop.run("UPDATE order_rereads SET due_at = now()").await;
    shop.until("order_rereads", 0).await;
    assert_eq!(
        shop.lines("SELECT allegro_order_id FROM failed_orders WHERE status = 'pending'").await,
        [format!("({})", ids[0])]
    );
    eventually("the order that failed to be read at last", async || {
        shop.admin("DELETE", "/faults", &json!({}));
        shop.run("UPDATE failed_orders SET next_retry_at = now() WHERE status = 'pending'").await;
        (shop.count("failed_orders WHERE status = 'resolved'").await == 1).then_some(())
    })
    .await;
}
