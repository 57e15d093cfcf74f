//! A field that cannot be read changes that field only: the order is stored, listed and exported.

use serde_json::{Value, json};

use crate::support::{Shop, USER_PATH};

fn set(shop: &Shop, order: &str, pointer: &str, value: &Value) {
    shop.admin("POST", &format!("/orders/{order}/set"), &json!({ "pointer": pointer, "value": value }));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_without_an_id_do_not_stop_the_journal() {
    let shop = Shop::open().await;
    shop.connect().await;
    shop.until_read().await;
    shop.admin("POST", "/live", &json!({ "count": 3, "rate_per_second": 1000 }));
    shop.until("orders", 3).await;
    shop.admin("PATCH", "/rules", &json!({ "journal": { "without_id": true } }));
    shop.admin("POST", "/live", &json!({ "count": 3, "rate_per_second": 1000 }));
    shop.until("orders", 6).await;
    assert!(shop.count("order_events WHERE event_id LIKE 'nameless-%'").await >= 3);
    shop.admin("PATCH", "/rules", &json!({ "journal": { "without_id": false } }));
    shop.admin("POST", "/live", &json!({ "count": 3, "rate_per_second": 1000 }));
    shop.until("orders", 9).await;
    shop.until_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_with_unreadable_fields_are_stored_and_exported() {
    let shop = Shop::open().await;
    shop.admin("POST", "/orders", &json!({ "count": 23, "seed": 7 }));
    let ids: Vec<String> =
        shop.journal().iter().map(|order| order["order_id"].as_str().unwrap().to_owned()).collect();
    let mutations = [
        ("/status", Value::Null),
        ("/status", json!(7)),
        ("/status", json!({})),
        ("/status", json!("UNHEARD_OF")),
        ("/fulfillment", json!([])),
        ("/fulfillment/status", json!(true)),
        ("/fulfillment/provider", json!({})),
        ("/updatedAt", json!("2026-11-20")),
        ("/updatedAt", json!("")),
        ("/updatedAt", json!("yesterday")),
        ("/buyer", json!({})),
        ("/buyer/login", json!("\u{0}x")),
        ("/summary/totalToPay", json!({})),
        ("/summary/totalToPay/amount", json!(12.5)),
        ("/lineItems", json!({})),
        ("/lineItems/0/id", Value::Null),
        ("/lineItems/0/offer", json!({})),
        ("/lineItems/0/offer/external", json!({})),
        ("/lineItems/0/quantity", json!(2.0)),
        ("/lineItems/0/quantity", json!("many")),
        ("/lineItems/0/price", json!({ "amount": null })),
        ("/lineItems/0/boughtAt", json!("9999-12-31T23:59:59-01:00")),
        ("/payment", json!("none")),
    ];
    for (id, (pointer, value)) in ids.iter().zip(&mutations) {
        set(&shop, id, pointer, value);
    }
    let token_id = shop.connect().await;
    shop.until_read().await;
    assert_eq!(shop.count("orders").await, 23);
    assert_eq!(shop.count("failed_orders").await, 0);
    let listed = shop.service.get(&format!("/orders/{USER_PATH}?limit=200")).1;
    assert_eq!(listed["items"].as_array().unwrap().len(), 23);
    for (id, (pointer, value)) in ids.iter().zip(&mutations) {
        let order = shop.service.get(&format!("/orders/{USER_PATH}/{id}")).1;
        let expected =
            if value.is_null() && *pointer == "/lineItems/0/id" { Value::Null } else { value.clone() };
        assert_eq!(order["order_data"].pointer(pointer), Some(&expected), "{pointer}: {order}");
    }
    // An event about a changed field brings it, too.
    set(&shop, &ids[0], "/status", &json!("READY_FOR_PROCESSING"));
    set(&shop, &ids[1], "/buyer", &json!(0));
    shop.service.post("/sync/activate", &json!({ "token_id": token_id, "interval_minutes": 1 }));
    shop.run_schedule(&format!("sync_order_events:{token_id}")).await;
    shop.until("orders WHERE version = 2", 2).await;
    let noted = shop.service.get(&format!("/orders/{USER_PATH}/{}", ids[1])).1;
    let fields: Vec<&str> =
        noted["parse_notes"].as_array().unwrap().iter().map(|note| note["field"].as_str().unwrap()).collect();
    assert!(fields.contains(&"/buyer"), "{noted}");
    assert_eq!(shop.count("failed_orders").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_and_cancelled_follow_the_current_state() {
    let shop = Shop::open().await;
    let id = shop.admin("POST", "/orders", &json!({ "count": 1, "seed": 7 }))["first_id"]
        .as_str()
        .unwrap()
        .to_owned();
    set(&shop, &id, "/status", &json!("FILLED_IN"));
    set(&shop, &id, "/fulfillment/status", &json!("NEW"));
    let token_id = shop.connect().await;
    shop.until_read().await;
    let mut expected: Vec<&str> = Vec::new();
    for (pointer, value, event) in [
        ("/fulfillment/status", "CANCELLED", Some("order.cancelled")),
        ("/status", "READY_FOR_PROCESSING", None),
        ("/fulfillment/status", "READY_FOR_SHIPMENT", Some("order.ready")),
        ("/fulfillment/status", "SENT", None),
        ("/fulfillment/status", "CANCELLED", Some("order.cancelled")),
        ("/fulfillment/status", "SENT", Some("order.ready")),
        ("/status", "CANCELLED", Some("order.cancelled")),
    ] {
        set(&shop, &id, pointer, &json!(value));
        shop.run_schedule(&format!("sync_order_events:{token_id}")).await;
        shop.until(
            &format!(
                "orders WHERE order_data::jsonb #>> '{{{}}}' = '{value}'",
                pointer[1..].replace('/', ",")
            ),
            1,
        )
        .await;
        expected.extend(event);
        let found = shop
            .lines("SELECT type FROM outbox WHERE type IN ('order.ready', 'order.cancelled') ORDER BY id")
            .await;
        let found: Vec<&str> = found.iter().map(|line| line.trim_matches(['(', ')'])).collect();
        assert_eq!(found, expected, "{pointer} {value}");
    }
    let order = shop.service.get(&format!("/orders/{USER_PATH}/{id}")).1;
    assert_eq!(order["was_shipped"], true, "{order}");
    assert!(order["ready_at"].is_string() && order["read_at"].is_string(), "{order}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_on_one_order_quarantines_that_order() {
    let mut shop = Shop::open().await;
    shop.admin("POST", "/orders", &json!({ "count": 5, "seed": 7 }));
    shop.service.kill();
    shop.service.start_to_panic_at(&["order.read@3"]);
    shop.connect().await;
    shop.until("orders", 4).await;
    shop.until(
        "failed_orders WHERE status = 'pending' AND error_class = 'panicked' AND document IS NOT NULL",
        1,
    )
    .await;
    shop.run("UPDATE failed_orders SET next_retry_at = now()").await;
    shop.until("failed_orders WHERE status = 'resolved'", 1).await;
    assert_eq!(shop.count("orders").await, 5);
}
