//! Redis cut and frozen under load: the service is worse and says so, is ready all the same, and loses nothing.

use serde_json::json;
use testkit::{Proxy, eventually};

use crate::support::Shop;

async fn redis(worsen: impl Fn(&Proxy)) {
    let shop = Shop::open().await;
    shop.admin("POST", "/orders", &json!({ "count": 300 }));
    worsen(&shop.redis);
    shop.connect().await;
    eventually("/health to name redis", async || {
        let answer = shop.service.request("GET", "/health", &[], &[]).ok()?;
        let report = answer.json();
        (report["status"] == "degraded" && report["dependencies"]["redis"]["status"] == "down").then_some(())
    })
    .await;
    assert_eq!(shop.service.request("GET", "/readyz", &[], &[]).unwrap().status, 200);
    shop.until_read().await;
    shop.admin("POST", "/live", &json!({ "count": 20, "rate_per_second": 100 }));
    eventually("the new orders to arrive", async || (shop.journal().len() == 320).then_some(())).await;
    shop.until_equal().await;
    shop.redis.pass();
    shop.redis.cut();
    eventually("redis to be back", async || {
        let answer = shop.service.request("GET", "/health", &[], &[]).ok()?;
        (answer.json()["status"] == "healthy").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_the_backup_goes_on() {
    redis(|proxy| {
        proxy.refuse();
        proxy.cut();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_redis_frozen_the_backup_goes_on() {
    redis(Proxy::stall).await;
}
