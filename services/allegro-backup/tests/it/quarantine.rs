//! Quarantined orders are visible: over HTTP, in the completeness report and as an alert.

use serde_json::{Value, json};
use testkit::eventually;
use time::OffsetDateTime;

use crate::support::{Shop, USER_PATH};

fn quarantine(shop: &Shop, query: &str) -> Value {
    let (status, page) = shop.service.get(&format!("/orders/{USER_PATH}/quarantine{query}"));
    assert_eq!(status, 200, "{page}");
    page
}

#[tokio::test(flavor = "multi_thread")]
async fn quarantined_orders_are_listed_with_their_documents_and_announced() {
    let mut shop = Shop::open().await;
    shop.admin("POST", "/orders", &json!({ "count": 4, "seed": 3 }));
    let ids: Vec<String> =
        shop.journal().iter().map(|order| order["order_id"].as_str().unwrap().to_owned()).collect();
    let set = |order: &str, pointer: &str, value: &Value| {
        shop.admin("POST", &format!("/orders/{order}/set"), &json!({ "pointer": pointer, "value": value }));
    };
    set(&ids[0], "/id", &Value::Null);
    set(&ids[0], "/messageToSeller", &json!("Zażółć gęślą jaźń, привет, \u{0}"));
    let token_id = shop.connect().await;
    shop.until_read().await;
    shop.until("orders", 3).await;
    let fault = json!({ "routes": ["order"], "orders": [ids[1]], "error_rate": 1.0, "status": 422 });
    shop.admin("PUT", "/faults", &fault);
    shop.admin("POST", &format!("/orders/{}/change-address", ids[1]), &json!({}));
    shop.until("failed_orders WHERE status = 'pending'", 2).await;

    let first = quarantine(&shop, "?limit=1");
    let second = quarantine(&shop, &format!("?limit=1&cursor={}", first["next_cursor"].as_str().unwrap()));
    assert_eq!(
        (&first["items"][0]["order_id"], &first["items"][0]["class"], &first["items"][0]["status"]),
        (&json!(ids[1]), &json!("refused"), &json!("pending"))
    );
    assert_eq!((&second["items"][0]["class"], &second["next_cursor"]), (&json!("nameless"), &Value::Null));
    let one_account = quarantine(&shop, &format!("?token_id={token_id}"));
    assert_eq!(one_account["items"].as_array().unwrap().len(), 2);
    let another = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f";
    assert_eq!(quarantine(&shop, &format!("?token_id={another}"))["items"], json!([]));

    let name = second["items"][0]["order_id"].as_str().unwrap();
    let (status, found) = shop.service.get(&format!("/orders/{USER_PATH}/quarantine/{name}"));
    assert_eq!(status, 200, "{found}");
    let document: Value = serde_json::from_str(found["document"].as_str().unwrap()).unwrap();
    assert_eq!(document["id"], Value::Null);
    assert_eq!(document["messageToSeller"], "Zażółć gęślą jaźń, привет, \u{0}");
    let (_, refused) = shop.service.get(&format!("/orders/{USER_PATH}/quarantine/{}", ids[1]));
    assert_eq!((&refused["document"], &refused["attempts"]), (&Value::Null, &json!(1)));
    for path in
        [format!("/orders/{USER_PATH}/quarantine/{}", ids[2]), format!("/orders/somebody/quarantine/{name}")]
    {
        let (status, problem) = shop.service.get(&path);
        assert_eq!((status, &problem["code"]), (404, &json!("order_not_found")), "{path}");
    }

    // An event names the refused order: it is quarantined, not missing.
    let from = OffsetDateTime::now_utc().date() - time::Duration::days(365);
    let (_, gaps) = shop.service.get(&format!("/sync/gaps/{token_id}?from={from}"));
    let count = |field: &str| -> u64 {
        gaps["days"].as_array().unwrap().iter().map(|day| day[field].as_u64().unwrap()).sum()
    };
    assert_eq!((count("quarantined"), count("missing")), (2, 0), "{gaps}");

    let alert = format!("alerts WHERE cause = 'orders_quarantined/{token_id}' AND cleared_at IS");
    shop.service.kill();
    shop.start_again().await;
    shop.until(&format!("{alert} NULL"), 1).await;
    shop.admin("DELETE", "/faults", &json!({}));
    shop.run("UPDATE failed_orders SET next_retry_at = now()").await;
    shop.admin("POST", &format!("/orders/{}/set", ids[0]), &json!({ "pointer": "/id", "value": ids[0] }));
    shop.start(&format!("/sync/manual/{USER_PATH}"), &json!({})).await;
    shop.until("orders", 4).await;
    eventually("an empty quarantine", async || {
        (quarantine(&shop, "")["items"].as_array().unwrap().is_empty()).then_some(())
    })
    .await;
    shop.service.kill();
    shop.start_again().await;
    shop.until(&format!("{alert} NOT NULL"), 1).await;
}
