//! Answers with 429: the account that meets them pauses, and the others continue.

use serde_json::{Value, json};
use testkit::eventually;

use crate::support::{Shop, USER, USER_PATH};

const FIRST: &str = "1000001";

/// Connects the account of a seller and returns its id.
fn connect(shop: &Shop, seller: &str) -> String {
    let pair = shop.pair(seller);
    let account = json!({
        "user_id": USER, "access_token": pair["access_token"], "refresh_token": pair["refresh_token"],
    });
    let (status, account) = shop.service.post("/tokens", &account);
    assert_eq!(status, 201, "{account}");
    account["id"].as_str().unwrap().to_owned()
}

fn is_paused(shop: &Shop, account: &str) -> bool {
    shop.service.post(&format!("/tokens/{account}/validate"), &json!({})).0 == 503
}

fn throttle(shop: &Shop, sellers: &Value) {
    let fault = json!({ "sellers": sellers, "error_rate": 1.0, "status": 429, "retry_after": 300 });
    shop.admin("PUT", "/faults", &fault);
}

/// Sells orders of a seller, and waits until they are stored.
async fn sell(shop: &Shop, (seller, account): (&str, &str), count: i64) {
    let stored = format!("orders WHERE token_id = '{account}'");
    let before = shop.count(&stored).await;
    let live = json!({ "seller_id": seller, "count": count, "rate_per_second": 1000 });
    shop.admin("POST", "/live", &live);
    shop.until(&stored, before + count).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_one_account_pauses_no_other_and_that_of_two_pauses_all() {
    let shop = Shop::open().await;
    let seller = || shop.admin("POST", "/sellers", &json!({}))["id"].as_str().unwrap().to_owned();
    let another = seller();
    let (first, second) = (connect(&shop, FIRST), connect(&shop, &another));
    connect(&shop, &seller());
    sell(&shop, (FIRST, &first), 3).await;
    sell(&shop, (&another, &second), 3).await;

    throttle(&shop, &json!([FIRST]));
    eventually("the pause of the first account", async || is_paused(&shop, &first).then_some(())).await;
    sell(&shop, (&another, &second), 5).await;
    assert!(!is_paused(&shop, &second));
    shop.initialize();
    assert!(is_paused(&shop, &first));
    // The log is written asynchronously.
    eventually("the pause in the log", async || {
        shop.service.log().contains("Allegro's limit was met; its calls pause").then_some(())
    })
    .await;
    assert!(!shop.service.log().contains("all calls pause"));

    // The first account does not call Allegro any more, but the two others do.
    let replica = shop.service.replica();
    throttle(&shop, &json!([]));
    eventually("a pause of everyone", async || {
        let log = shop.service.log() + &replica.log();
        log.contains("Allegro's limit was met; all calls pause").then_some(())
    })
    .await;
    shop.admin("DELETE", "/faults", &json!({}));
    // Calls that concern no account pause, too.
    for program in [&shop.service, &replica] {
        eventually("everyone to pause", async || {
            let (status, _) = program.post("/tokens/auth/initialize", &json!({ "user_id": USER }));
            (status == 503).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_always_answered_429_is_quarantined_and_holds_nobody_up() {
    let mut shop = Shop::open().await;
    let bad = shop.admin("POST", "/orders", &json!({ "count": 5 }))["first_id"].as_str().unwrap().to_owned();
    shop.connect().await;
    shop.until_read().await;
    // A pause then ends with its process.
    shop.redis.refuse();
    shop.redis.cut();
    let fault = json!({ "routes": ["order"], "orders": [bad], "error_rate": 1.0, "status": 429 });
    shop.admin("PUT", "/faults", &fault);
    shop.admin("POST", &format!("/orders/{bad}/change-address"), &json!({}));
    shop.admin("POST", "/live", &json!({ "count": 10, "rate_per_second": 1000 }));
    for attempts in 1..3 {
        let suspected = format!("failed_orders WHERE status = 'suspected' AND attempts = {attempts}");
        shop.until(&suspected, 1).await;
        shop.service.kill();
        shop.run("UPDATE task_history SET run_at = now() WHERE status = 'retrying'").await;
        shop.start_again().await;
    }
    shop.until("failed_orders WHERE status = 'pending' AND error_class = 'throttled'", 1).await;
    shop.service.kill();
    shop.run("UPDATE task_history SET run_at = now() WHERE status = 'retrying'").await;
    shop.start_again().await;
    shop.until("orders", 15).await;

    shop.admin("DELETE", "/faults", &json!({}));
    shop.service.kill();
    shop.run("UPDATE failed_orders SET next_retry_at = now()").await;
    shop.run("UPDATE task_history SET run_at = now() WHERE status = 'retrying'").await;
    shop.start_again().await;
    shop.until("failed_orders WHERE status = 'resolved'", 1).await;
    let stored = shop.service.get(&format!("/orders/{USER_PATH}/{bad}")).1;
    assert_eq!(stored["order_data"]["delivery"]["address"]["street"], "Żurawia 7/12");
}
