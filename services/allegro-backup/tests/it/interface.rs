//! The HTTP interface as its document tells of it.

use allegro_backup::AllegroBackup;
use runtime::Service;
use serde_json::{Value, json};
use testkit::every_route_guards_itself;
use testkit::openapi::{committed, lint};

use crate::support::{Shop, USER, USER_PATH};

#[test]
fn the_document_lacks_nothing_and_is_the_committed_one() {
    let document = AllegroBackup::openapi();
    assert_eq!(lint(&document), Vec::<String>::new());
    committed("openapi/allegro-backup.json", &document);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_lets_in_whom_it_should_not() {
    every_route_guards_itself(&Shop::open().await.service, "allegro-backup");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_begun_again_under_its_key_is_not_begun_twice() {
    let mut shop = Shop::open().await;
    let post = |shop: &Shop, path: &str, key: &str, body: &Value| {
        shop.service.call("POST", path, Some(&shop.service.token), key, body)
    };
    let (connect, wish) = ("/api/v1/tokens/auth/initialize", json!({ "user_id": USER }));
    let (status, begun) = post(&shop, connect, "connect", &wish);
    assert_eq!(status, 202, "{begun}");
    shop.service.kill();
    shop.start_again().await;
    assert_eq!(post(&shop, connect, "connect", &wish), (202, begun));
    assert_eq!(post(&shop, connect, "connect", &json!({ "user_id": "another" })).0, 422);
    assert_eq!(shop.count("authorizations").await, 1);
    let asked = shop.admin("GET", "/stats", &json!({}))["requests"]["POST device"].clone();
    assert_eq!(asked, json!({ "200": 1 }), "Allegro is not asked for a second code");

    shop.connect().await;
    shop.until_read().await;
    let sync = format!("/api/v1/sync/manual/{USER_PATH}");
    let (status, started) = post(&shop, &sync, "sync", &json!({}));
    assert_eq!(status, 202, "{started}");
    let task = format!(
        "task_history WHERE id = '{}' AND status = 'succeeded'",
        started["task_id"].as_str().unwrap()
    );
    shop.until(&task, 1).await;
    // It has ended, so nothing else would keep a second one from being started.
    assert_eq!(post(&shop, &sync, "sync", &json!({})), (202, started));
    assert_eq!(shop.count("task_history WHERE kind = 'sync_user_orders'").await, 1, "the one asked for");
}
