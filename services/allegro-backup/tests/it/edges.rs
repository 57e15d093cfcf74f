//! Where Allegro's memory ends: lists after twelve months, the journal after sixty days, ten thousand orders in a window.

use std::time::Duration;

use serde_json::json;
use testkit::{eventually, eventually_within};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::support::{Shop, USER_PATH};

const PATIENCE: Duration = Duration::from_mins(2);
const DAY: i64 = 86_400;

fn days_ago(days: f64) -> String {
    (OffsetDateTime::now_utc() - time::Duration::seconds_f64(days * 86_400.0)).format(&Rfc3339).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_allegro_is_too_young_to_show_is_neither_gone_nor_missed() {
    let shop = Shop::open().await;
    let old = json!({ "count": 3, "from": days_ago(364.9), "to": days_ago(364.5) });
    let old = shop.admin("POST", "/orders", &old)["first_id"].as_str().unwrap().to_owned();
    let past = json!({ "count": 2, "from": days_ago(368.0), "to": days_ago(367.0) });
    let past = shop.admin("POST", "/orders", &past)["first_id"].as_str().unwrap().to_owned();
    shop.admin("POST", "/orders", &json!({ "count": 5, "from": days_ago(20.0), "to": days_ago(10.0) }));
    let token_id = shop.connect().await;
    shop.until_read().await;
    assert_eq!(shop.count("orders").await, 8, "all that Allegro lists");
    assert_eq!(shop.service.get(&format!("/orders/{USER_PATH}/{past}")).0, 404);

    // A day later Allegro knows nothing of the three any more.
    shop.admin("POST", "/clock/advance", &json!({ "seconds": DAY }));
    let asked = shop.start(&format!("/orders/{USER_PATH}/{old}/sync"), &json!({})).await;
    assert_eq!(asked["result"]["failed"], 0, "{asked}");
    let requests = shop.admin("GET", "/stats", &json!({}))["requests"]["GET order"].clone();
    assert!(requests["404"].as_u64() >= Some(1), "{requests}");
    // As by an earlier failure.
    shop.run(&format!(
        "INSERT INTO failed_orders (token_id, allegro_order_id, error_class, error_text, next_retry_at, attempts) \
         VALUES ('{token_id}', '{old}', 'unavailable', 'a test', now(), 5)"
    ))
    .await;
    shop.until("failed_orders WHERE status = 'resolved'", 1).await;
    shop.start(&format!("/sync/manual/{USER_PATH}"), &json!({})).await;
    assert_eq!(shop.count("orders WHERE is_deleted").await, 0);
    assert_eq!(shop.count("failed_orders WHERE status <> 'resolved'").await, 0);
    let (status, kept) = shop.service.get(&format!("/orders/{USER_PATH}/{old}"));
    assert_eq!((status, &kept["is_deleted"], &kept["order_data"]["id"]), (200, &json!(false), &json!(old)));
    let (_, gaps) = shop.service.get(&format!("/sync/gaps/{token_id}"));
    assert_eq!((&gaps["is_green"], &gaps["open"]), (&json!(true), &json!([])), "{gaps}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_has_forgotten_where_we_stood_is_read_from_its_beginning() {
    let mut shop = Shop::open().await;
    shop.connect().await;
    shop.until_read().await;
    shop.admin("POST", "/live", &json!({ "count": 3, "rate_per_second": 1000 }));
    shop.until("orders", 3).await;
    shop.until("sync_cursors WHERE last_events_sync IS NOT NULL", 1).await;
    for (round, unknown_from) in ["compare", "beginning", "empty", "refuse"].into_iter().enumerate() {
        shop.service.kill();
        shop.admin("PATCH", "/rules", &json!({ "journal": { "unknown_from": unknown_from } }));
        // Away for 61 days, within which Allegro forgets every event there was, and no token ends.
        shop.admin("POST", "/clock/advance", &json!({ "seconds": 61 * DAY }));
        shop.run(
            "UPDATE sync_cursors SET last_event_at = last_event_at - interval '61 days', \
             last_events_sync = last_events_sync - interval '61 days'",
        )
        .await;
        shop.admin("POST", "/live", &json!({ "count": 2, "rate_per_second": 1000 }));
        let all = 3 + 2 * (round + 1);
        eventually("the new orders", async || (shop.journal().len() == all).then_some(())).await;
        shop.start_again().await;
        eventually_within(PATIENCE, &format!("all orders, {unknown_from}"), async || {
            (shop.count("orders").await == i64::try_from(all).unwrap()).then_some(())
        })
        .await;
        // What happened while nobody listened, the journal does not tell: the whole list is read.
        let whole = "task_history WHERE kind = 'full_resync_user_orders' AND status = 'succeeded'";
        let done = i64::try_from(round).unwrap();
        eventually(&format!("the whole list, {unknown_from}"), async || {
            (shop.count(whole).await > done).then_some(())
        })
        .await;
    }
    let (source, stored) = shop.compare().await;
    assert_eq!(source, stored);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_are_empty_though_there_is_more_hide_nothing() {
    let shop = Shop::open().await;
    shop.admin("PATCH", "/rules", &json!({ "list": { "hole_rate": 0.3 } }));
    shop.admin("POST", "/orders", &json!({ "count": 1750, "seed": 4 }));
    shop.connect().await;
    eventually_within(PATIENCE, "the list to be read", async || {
        shop.standing()["last_complete_list_sync"].is_string().then_some(())
    })
    .await;
    assert_eq!(shop.count("orders").await, 1750);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_holds_more_than_allegro_shows_is_split() {
    let shop = Shop::open().await;
    let orders = json!({ "count": 1_030, "from": days_ago(9.0), "to": days_ago(8.9) });
    for _ in 0..10 {
        shop.admin("POST", "/orders", &orders);
    }
    shop.connect().await;
    eventually_within(PATIENCE, "the list to be read", async || {
        shop.standing()["last_complete_list_sync"].is_string().then_some(())
    })
    .await;
    assert_eq!(shop.count("orders").await, 10_300);
    let requests = shop.admin("GET", "/stats", &json!({}))["requests"]["GET orders"].clone();
    assert_eq!(requests["422"], json!(null), "nothing beyond the depth was asked for: {requests}");
}
