//! A stored row that cannot be read stops what depends on it, and nothing else.

use serde_json::{Value, json};
use testkit::eventually;

use crate::support::{Shop, USER_PATH};

impl Shop {
    /// A shop with two orders, and their ids.
    async fn with_two_orders() -> (Self, Vec<Value>) {
        let shop = Self::open().await;
        shop.connect().await;
        shop.until_read().await;
        shop.admin("POST", "/live", &json!({ "count": 2, "rate_per_second": 1000 }));
        shop.until("orders", 2).await;
        let ids = shop.journal().iter().map(|order| order["order_id"].clone()).collect();
        (shop, ids)
    }

    async fn until_reported(&self, column: &str) {
        let cause =
            format!("alerts WHERE severity = 'critical' AND cause LIKE 'corrupt_row/orders/%/{column}'");
        self.until(&cause, 1).await;
        let counted = format!("db_corrupt_rows_total{{table=\"orders\",column=\"{column}\"}}");
        assert!(self.service.metrics().contains(&counted), "{counted}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_cannot_be_read_is_not_merged_and_stops_no_other() {
    let (shop, ids) = Shop::with_two_orders().await;
    let corrupt = ids[0].as_str().unwrap();
    shop.run(&format!(
        "CREATE TABLE readable AS SELECT id, order_data FROM orders WHERE allegro_order_id = '{corrupt}'; \
         UPDATE orders SET order_data = '{{}}' WHERE allegro_order_id = '{corrupt}'"
    ))
    .await;

    let merged = shop.admin("POST", "/orders/merge", &json!({ "orders": ids }));
    let into = merged["order_id"].as_str().unwrap();
    shop.until(&format!("orders WHERE is_deleted AND merged_into = '{into}'"), 1).await;
    let quarantined =
        format!("failed_orders WHERE allegro_order_id = '{corrupt}' AND error_class = 'corrupt'");
    shop.until(&quarantined, 1).await;
    shop.until_reported("order_data").await;

    // Once it is repaired, the next try merges it and publishes that.
    shop.run(
        "UPDATE orders o SET order_data = r.order_data FROM readable r WHERE r.id = o.id; \
         UPDATE failed_orders SET next_retry_at = now()",
    )
    .await;
    shop.until(&format!("orders WHERE is_deleted AND merged_into = '{into}'"), 2).await;
    let published = format!(
        "outbox WHERE type = 'order.updated' AND convert_from(body, 'UTF8')::jsonb #>> '{{data,merged_into}}' = '{into}'"
    );
    shop.until(&published, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_total_that_cannot_be_read_is_not_left_out() {
    let (shop, ids) = Shop::with_two_orders().await;
    let path = |at: usize| format!("/orders/{USER_PATH}/{}", ids[at].as_str().unwrap());
    let total = shop.service.get(&path(0)).1["total"].clone();
    assert!(total.is_object(), "{total}");
    shop.run(&format!(
        "UPDATE orders SET total_currency = 'zł' WHERE allegro_order_id = '{}'",
        ids[0].as_str().unwrap()
    ))
    .await;
    assert_eq!(shop.service.get(&path(0)).0, 500);
    assert_eq!(shop.service.get(&path(1)).0, 200);
    assert_eq!(shop.service.get(&format!("/orders/{USER_PATH}/statistics")).0, 500);
    let alerts = "alerts WHERE severity = 'critical' AND cause LIKE 'corrupt_row/orders/%/total_currency'";
    eventually("alerts", async || (shop.count(alerts).await >= 1).then_some(())).await;
}
