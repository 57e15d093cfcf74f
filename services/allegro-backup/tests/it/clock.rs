//! Allegro's clock: `updatedAt` has gone back and has been ahead, and no later content may wait for it.

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::support::{Shop, USER_PATH};

/// An order of the sandbox.
struct Order<'a> {
    shop: &'a Shop,
    id: String,
}

impl Order<'_> {
    /// Changes the message and `updatedAt`, with an event, and waits until the event is stored.
    async fn change(&self, message: &str, updated_at: OffsetDateTime) {
        let Self { shop, id } = self;
        let updated_at = updated_at.format(&Rfc3339).unwrap();
        for (pointer, value) in [("/messageToSeller", message), ("/updatedAt", &updated_at)] {
            let change = json!({ "pointer": pointer, "value": value, "silent": true });
            shop.admin("POST", &format!("/orders/{id}/set"), &change);
        }
        self.event().await;
    }

    async fn event(&self) {
        let Self { shop, id } = self;
        let events = "order_events WHERE type = 'BUYER_MODIFIED'";
        let known = shop.count(events).await;
        shop.admin("POST", &format!("/orders/{id}/event"), &json!({ "type": "BUYER_MODIFIED" }));
        shop.until(events, known + 1).await;
    }

    /// The stored message.
    fn message(&self) -> Value {
        let order = self.shop.service.get(&format!("/orders/{USER_PATH}/{}", self.id)).1;
        order["order_data"]["messageToSeller"].clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn content_older_by_the_clock_becomes_current_when_two_answers_agree() {
    let shop = Shop::open().await;
    let id = shop.admin("POST", "/orders", &json!({ "count": 1 }))["first_id"].as_str().unwrap().to_owned();
    shop.connect().await;
    shop.until_read().await;
    let order = Order { shop: &shop, id };
    let now = OffsetDateTime::now_utc();
    order.change("before", now).await;
    assert_eq!(order.message(), "before");
    order.change("after", now - Duration::days(1)).await;
    let late = "order_versions WHERE version IS NULL";
    shop.until(late, 1).await;
    assert_eq!(order.message(), "before", "one answer may be stale");
    // As if both had been requested a while ago.
    shop.run(
        "UPDATE orders SET asked_at = asked_at - interval '1 hour'; \
         UPDATE order_versions SET seen_at = seen_at - interval '1 minute' WHERE version IS NULL",
    )
    .await;
    order.event().await;
    assert_eq!(order.message(), "after");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_time_in_the_future_holds_back_no_later_content() {
    let shop = Shop::open().await;
    let id = shop.admin("POST", "/orders", &json!({ "count": 1 }))["first_id"].as_str().unwrap().to_owned();
    shop.connect().await;
    shop.until_read().await;
    let order = Order { shop: &shop, id };
    let now = OffsetDateTime::now_utc();
    order.change("ahead", now + Duration::days(3_650)).await;
    assert_eq!(order.message(), "ahead");
    order.change("later", now).await;
    assert_eq!(order.message(), "later");
    assert_eq!(shop.count("order_versions WHERE version IS NULL").await, 0);
}
