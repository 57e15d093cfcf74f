//! Input with instants that cannot be stored is refused and stops no other work.

use domain::events::Envelope;
use serde_json::{Value, json};
use testkit::eventually;

use crate::support::{Desk, connected, order, ready, token};

/// Valid RFC 3339, and outside the years 1 to 9999 in UTC.
const OUTSIDE: [&str; 3] = ["9999-12-31T23:59:59-00:01", "0001-01-01T00:00:00+00:01", "0000-06-01T00:00:00Z"];

/// An order as it is submitted by hand, bought at this instant.
fn submitted(id: &str, bought_at: &str) -> Value {
    json!({
        "id": id, "token_id": token(), "lineItems": [{
            "id": format!("{id}-line"), "quantity": 1, "offer": { "external": { "id": "wosk" } }, "boughtAt": bought_at,
        }],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn unstorable_instants_are_refused() {
    let desk = Desk::open().await;
    desk.put("wosk", 5);
    desk.tell_until_taken(&[connected(token())]).await;
    let account = format!("/stock-sync/accounts/{}", token());
    let pointer = |body: &Value| body["errors"][0]["pointer"].as_str().unwrap_or_default().to_owned();
    for at in OUTSIDE {
        let (status, body) = desk.service.patch(&account, &json!({ "stock_from": at }));
        assert_eq!((status, pointer(&body).as_str()), (400, "/stock_from"), "{at}: {body}");
        let (status, body) = desk.service.post("/orders/process", &submitted("sold", at));
        assert_eq!((status, pointer(&body).as_str()), (400, "/lineItems/0/boughtAt"), "{at}: {body}");
    }
    for at in ["9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00Z"] {
        let (status, body) = desk.service.patch(&account, &json!({ "stock_from": at }));
        assert_eq!((status, &body["stock_from"]), (200, &json!(at)), "{body}");
    }
    let (status, body) = desk.service.post("/orders/process", &submitted("sold", "0001-01-01T00:00:00Z"));
    assert_eq!((status, &body["outcome"]), (200, &json!("deducted")), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_with_an_unstorable_instant_is_dead_lettered() {
    let desk = Desk::open().await;
    desk.put("wosk", 5);
    let tell = async |event: &Envelope, body: Value| {
        desk.execute(&format!(
            "INSERT INTO outbox (id, type, subject, partition_key, body) \
             VALUES ('{}', 'order.ready', 's', 'p', '{body}')",
            event.id
        ))
        .await;
    };
    for at in OUTSIDE {
        for pointer in ["/time", "/data/order_date", "/data/updated_at"] {
            let event = ready(order("bad", &[("wosk", 1)]));
            let mut body = serde_json::to_value(&event).unwrap();
            *body.pointer_mut(pointer).unwrap() = json!(at);
            tell(&event, body).await;
        }
    }
    desk.tell(&[ready(order("good", &[("wosk", 2)]))]).await;
    desk.until("good", &[("deduction", "completed")]).await;
    let number = OUTSIDE.len() * 3;
    let listed = eventually("the others to be dead-lettered", async || {
        let listed = desk.service.run(&["dead", "list"]);
        listed.contains(&format!("{number} shown of {number}")).then_some(listed)
    })
    .await;
    assert_eq!(listed.matches("must be in the years 0001 to 9999 in UTC").count(), number, "{listed}");
    assert_eq!(desk.on_hand("wosk"), 3);
}
