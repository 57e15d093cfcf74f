//! The steps of `docs/guides/reauthorize-an-account.md`, walked.

use serde_json::{Value, json};
use testkit::eventually;

use crate::support::{OWNER, Shop, USER, USER_PATH};

/// Everything that follows an account.
const SCHEDULES: &str = "schedules WHERE queue LIKE 'sync_%'";
const LIVING: &str = "task_history WHERE queue LIKE 'sync_%' AND status IN ('queued', 'running', 'retrying')";

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_refresh_token_stops_one_account_loudly_until_its_owner_has_come() {
    let shop = Shop::open().await;
    shop.admin("POST", "/orders", &json!({ "count": 30 }));
    let token_id = shop.connect().await;
    shop.until_read().await;
    shop.until(&format!("{SCHEDULES} AND is_enabled"), 3).await;
    let other = shop.admin("POST", "/sellers", &json!({}))["id"].as_str().unwrap().to_owned();
    let begun = shop.initialize();
    let path = format!("/authorizations/{}/approve", begun["user_code"].as_str().unwrap());
    shop.admin("POST", &path, &json!({ "seller_id": other }));
    let healthy = shop.authorization(&begun).await["token_id"].as_str().unwrap().to_owned();
    shop.until(&format!("{SCHEDULES} AND is_enabled"), 6).await;

    // 1. The owner takes the application's permission away: the next call is answered 401, the refresh invalid_grant.
    shop.admin("POST", "/sellers/1000001/unlink", &json!({}));
    let account = eventually("the account to need its owner", async || {
        let (_, account) = shop.service.get(&format!("/tokens/{token_id}"));
        (account["needs_reauthorization"] == true).then_some(account)
    })
    .await;
    assert_eq!(
        (&account["reauthorization_reason"], &account["is_active"]),
        (&json!("invalid_grant"), &json!(true))
    );

    // 2. It is told once: the fact, and the alert.
    let facts = "outbox WHERE type = 'account.reauthorization_needed'";
    shop.until(facts, 1).await;
    shop.until("alert_deliveries WHERE status = 'sent'", 1).await;
    assert!(shop.telegram.texts(OWNER)[0].contains("trzeba połączyć ponownie"));

    // 3. Its schedules and its queue stand still; the user's other account goes on.
    shop.until(&format!("{SCHEDULES} AND NOT is_enabled"), 3).await;
    shop.until(&format!("{LIVING} AND queue = 'sync_{token_id}'"), 0).await;
    let (_, active) = shop.service.get("/sync/active");
    let followed: Vec<&Value> =
        active["items"].as_array().unwrap().iter().map(|it| &it["token_id"]).collect();
    assert_eq!(followed, [&json!(healthy)]);
    shop.admin("POST", "/live", &json!({ "count": 3, "rate_per_second": 1000, "seller_id": other }));
    shop.until(&format!("orders WHERE token_id = '{healthy}'"), 3).await;

    // 4. What is stored is served; what would ask Allegro says what is needed, and asks nobody.
    let before = shop.admin("GET", "/stats", &json!({}))["requests"]["POST token"]["400"].clone();
    let order = shop.journal()[0]["order_id"].as_str().unwrap().to_owned();
    let (status, page) = shop.service.get(&format!("/orders/{USER_PATH}?token_id={token_id}&limit=200"));
    assert_eq!((status, page["items"].as_array().unwrap().len()), (200, 30));
    assert_eq!(shop.service.get(&format!("/orders/{USER_PATH}/{order}")).0, 200);
    let flag = json!({ "is_stock_updated": true });
    assert_eq!(shop.service.patch(&format!("/orders/{token_id}/{order}/stock-status"), &flag).0, 200);
    for (path, body) in [
        (format!("/tokens/{token_id}/refresh"), json!({})),
        (format!("/sync/manual/{USER_PATH}"), json!({ "token_id": token_id })),
        (format!("/sync/events/{USER_PATH}"), json!({ "token_id": token_id })),
        ("/sync/activate".to_owned(), json!({ "token_id": token_id, "interval_minutes": 5 })),
        (format!("/orders/{USER_PATH}/{order}/sync"), json!({})),
    ] {
        let (status, problem) = shop.service.post(&path, &body);
        assert_eq!((status, &problem["code"]), (409, &json!("needs_reauthorization")), "{path}");
    }
    let (status, checked) = shop.service.post(&format!("/tokens/{token_id}/validate"), &json!({}));
    assert_eq!((status, &checked["is_valid"]), (200, &json!(false)));
    let standings = shop.service.get(&format!("/sync/status/{USER_PATH}")).1["accounts"].clone();
    let of = |id: &str| {
        standings.as_array().unwrap().iter().find(|it| it["token_id"] == id).unwrap()["state"].clone()
    };
    assert_eq!((of(&token_id), of(&healthy)), (json!("needs_reauthorization"), json!("following_events")));
    let (code, told) = shop.command(&["sync", "--user", USER, "--token", &token_id]);
    assert!(code == 1 && told.contains("its owner must connect it again"), "{told}");
    assert_eq!(shop.admin("GET", "/stats", &json!({}))["requests"]["POST token"]["400"], before);
    assert_eq!(shop.count(facts).await, 1, "told once");

    // 5. The owner connects it: the same account, everything as it was, and what happened meanwhile.
    shop.admin("POST", "/live", &json!({ "count": 4, "rate_per_second": 1000, "seller_id": "1000001" }));
    assert_eq!(shop.connect().await, token_id);
    shop.until(&format!("{SCHEDULES} AND is_enabled"), 6).await;
    shop.until(&format!("orders WHERE token_id = '{token_id}'"), 34).await;
    shop.until("alert_deliveries WHERE status = 'sent'", 2).await;
    assert_eq!(shop.count("alerts WHERE cleared_at IS NULL").await, 0);
    assert_eq!(shop.service.post(&format!("/tokens/{token_id}/validate"), &json!({})).1["is_valid"], true);
    assert_eq!(shop.count("user_tokens").await, 2);
    let flags = shop.service.get(&format!("/orders/{token_id}/{order}/technical-flags")).1;
    assert_eq!(flags["is_stock_updated"], true, "what was noted meanwhile stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_its_owner_stopped_while_it_was_dead_stays_stopped() {
    let shop = Shop::open().await;
    let token_id = shop.connect().await;
    shop.until_read().await;
    shop.until(&format!("{SCHEDULES} AND is_enabled"), 3).await;
    shop.admin("POST", "/sellers/1000001/revoke", &json!({}));
    shop.until(&format!("{SCHEDULES} AND NOT is_enabled"), 3).await;
    assert_eq!(shop.service.post("/sync/deactivate", &json!({ "token_id": token_id })).0, 200);
    shop.connect().await;
    // The list is read at once, as after every connecting; nothing follows it.
    shop.until(
        "task_history WHERE kind = 'full_sync_all_orders' AND status = 'succeeded' AND payload @> '{\"whole\": true}'",
        2,
    )
    .await;
    assert_eq!(shop.count(&format!("{SCHEDULES} AND is_enabled")).await, 0);
    assert_eq!(shop.service.get("/sync/active").1["items"], json!([]));
}
