//! Connecting accounts and keeping their tokens.

use diesel::sql_query;
use diesel_async::RunQueryDsl;
use sandbox::Settings;
use serde_json::json;
use testkit::{eventually, while_asking};

use crate::support::{BOT, OWNER, Shop, USER, USER_PATH};

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_connected_and_its_tokens_are_nowhere_in_clear() {
    let shop = Shop::open().await;
    let token_id = shop.connect().await;
    shop.until_read().await;
    let (status, account) = shop.service.get(&format!("/tokens/{token_id}"));
    assert_eq!((status, &account["user_id"], &account["is_active"]), (200, &json!(USER), &json!(true)));
    assert_eq!(account["account_name"], "Świece");
    assert_eq!(shop.count("outbox WHERE type = 'account.connected'").await, 1);

    // Tokens and their beginnings, as everything is written that could hold them.
    let mut written = shop
        .lines("SELECT encode(access_token, 'escape'), encode(refresh_token, 'escape') FROM user_tokens")
        .await;
    written.extend(shop.lines("SELECT encode(device_code, 'escape') FROM authorizations").await);
    written.extend(shop.lines("SELECT * FROM task_history").await);
    written.extend(shop.lines("SELECT convert_from(body, 'UTF8') FROM outbox").await);
    written.push(shop.service.log());
    written.push(account.to_string());
    for text in written {
        assert!(!text.contains("eyJ"), "a token stands in clear in: {text:.300}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_who_refuses_is_heeded() {
    let shop = Shop::open().await;
    let begun = shop.initialize();
    shop.admin("POST", &format!("/authorizations/{}/deny", begun["user_code"].as_str().unwrap()), &json!({}));
    let ended = shop.authorization(&begun).await;
    assert_eq!((&ended["status"], &ended["token_id"]), (&json!("denied"), &json!(null)));
    assert_eq!(shop.count("user_tokens").await, 0);
    let (_, task) = shop.service.get(&format!("/tokens/auth/task/{}", begun["task_id"].as_str().unwrap()));
    assert_eq!(task["status"], "SUCCESS");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poller_that_dies_is_followed_by_another() {
    let mut shop = Shop::open().await;
    let begun = shop.initialize();
    shop.until("task_history WHERE kind = 'poll_authorization_status' AND attempt > 0", 1).await;
    shop.service.kill();
    let path = format!("/authorizations/{}/approve", begun["user_code"].as_str().unwrap());
    shop.admin("POST", &path, &json!({}));
    shop.start_again().await;
    assert_eq!(shop.authorization(&begun).await["status"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_refreshed_in_time_by_one_of_two_replicas() {
    // One second more than the margin before which a token is refreshed: each second it is time again.
    let settings = Settings { device_interval: 1, access_token_seconds: 301, ..Settings::default() };
    let shop = Shop::open_with(settings).await;
    let _replica = shop.service.replica();
    shop.admin("POST", "/orders", &json!({ "count": 300 }));
    shop.connect().await;
    let early_polls = shop.refused();
    eventually("a few refreshes", async || (shop.refreshes() >= 4).then_some(())).await;
    shop.until_read().await;
    shop.until_equal().await;
    assert_eq!(shop.standing()["state"], "following_events");
    // The sandbox counts a pair when it sends it, and the service stores it a moment later. One that was given and never
    // stored would be missing for ever.
    eventually("each pair that was given to be stored", async || {
        let before = shop.refreshes();
        let generation = shop.lines("SELECT generation FROM user_tokens").await;
        (shop.refreshes() == before && generation == [format!("({})", before + 1)]).then_some(())
    })
    .await;
    assert_eq!(shop.refused(), early_polls, "a refresh was refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_whose_tokens_died_is_told_of_once_and_heals_by_connecting_again() {
    let shop = Shop::open().await;
    let replica = shop.service.replica();
    let token_id = shop.connect().await;
    shop.until_read().await;
    shop.admin("POST", "/sellers/1000001/revoke", &json!({}));
    eventually("the account to need its owner", async || {
        (shop.standing()["state"] == "needs_reauthorization").then_some(())
    })
    .await;
    assert_eq!(shop.count("outbox WHERE type = 'account.reauthorization_needed'").await, 1);
    shop.until("alert_deliveries WHERE status = 'sent'", 1).await;
    let beginning = "🚨 <b>Konto Allegro „Świece” trzeba połączyć ponownie</b>\n";
    assert!(shop.telegram.texts(OWNER)[0].starts_with(beginning), "{:?}", shop.telegram.texts(OWNER));

    shop.admin("POST", "/orders", &json!({ "count": 20 }));
    assert_eq!(shop.connect().await, token_id, "the same account");
    shop.until_equal().await;
    assert_eq!(shop.count("user_tokens").await, 1);
    shop.until("alert_deliveries WHERE status = 'sent'", 2).await;
    let told = shop.telegram.texts(OWNER);
    let end = "✅ Rozwiązane: <b>Konto Allegro „Świece” trzeba połączyć ponownie</b>\n";
    assert!(told.len() == 2 && told[1].starts_with(end), "{told:?}");
    let log = eventually("the end in the log", async || {
        let log = shop.service.log() + &replica.log();
        log.contains(r#""stage":"cleared""#).then_some(log)
    })
    .await;
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(r#""logger":"alerts""#)).collect();
    let stages = ["raised", "cleared"].map(|stage| lines.iter().filter(|line| line.contains(stage)).count());
    assert_eq!((lines.len(), stages), (2, [1, 1]), "{lines:?}");
    assert!(!log.contains(BOT), "the bot's token is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_removed_needs_nobody_any_more() {
    let shop = Shop::open().await;
    let token_id = shop.connect().await;
    shop.until_read().await;
    shop.admin("POST", "/sellers/1000001/revoke", &json!({}));
    shop.until("alerts WHERE cleared_at IS NULL", 1).await;
    assert_eq!(shop.service.delete(&format!("/tokens/{token_id}")).0, 204);
    assert_eq!(shop.count("alerts WHERE cleared_at IS NULL").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_changes_while_it_is_activated_is_looked_at_again() {
    let shop = Shop::open().await;
    let token_id = shop.connect().await;
    shop.until_read().await;
    let waiting = "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' \
                   AND query LIKE '%FROM user_tokens WHERE id = $1 FOR NO KEY UPDATE'";
    let wish = json!({ "token_id": token_id, "interval_minutes": 5 });
    for (change, expected) in [
        ("needs_reauthorization = true, reauthorization_reason = 'revoked'", (409, "needs_reauthorization")),
        ("is_active = false", (404, "token_not_found")),
    ] {
        let mut other = shop.pool.begin().await.unwrap();
        sql_query(format!("UPDATE user_tokens SET {change}")).execute(&mut *other).await.unwrap();
        let activate = || shop.service.post("/sync/activate", &wish);
        let (status, problem) = while_asking(activate, async {
            eventually("it to wait", async || (shop.count(waiting).await > 0).then_some(())).await;
            other.commit().await.unwrap();
        });
        assert_eq!((status, problem["code"].as_str().unwrap()), expected, "{problem}");
        shop.run("UPDATE user_tokens SET needs_reauthorization = false").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_is_at_any_more_is_begun_again() {
    let mut shop = Shop::open().await;
    shop.connect().await;
    shop.until_read().await;
    shop.service.kill();
    // As a refresh leaves it that died between Allegro's answer and its own commit, and a task that failed for good.
    shop.run("UPDATE user_tokens SET refresh_lease_until = now() - interval '1 second'").await;
    shop.run("UPDATE task_history SET status = 'failed' WHERE status <> 'succeeded'").await;
    shop.run("DELETE FROM schedules").await;
    shop.admin("POST", "/live", &json!({ "count": 20, "rate_per_second": 1000 }));
    shop.start_again().await;
    shop.until("user_tokens WHERE generation = 2 AND refresh_lease_until IS NULL", 1).await;
    shop.until("orders", 20).await;
    shop.until_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_removed_while_it_is_read_is_let_go_at_once() {
    let shop = Shop::open().await;
    let replica = shop.service.replica();
    shop.admin("POST", "/orders", &json!({ "count": 3000 }));
    shop.admin("PUT", "/faults", &json!({ "delay_ms": 300, "routes": ["orders"] }));
    let token_id = shop.connect().await;
    eventually("some progress", async || (shop.standing()["orders_read"].as_i64()? >= 1).then_some(())).await;
    assert_eq!(shop.service.delete(&format!("/tokens/{token_id}")).0, 204);
    let stood = shop.count("orders").await;
    assert!((1..3000).contains(&stood), "{stood}");
    shop.until("task_history WHERE queue LIKE 'sync_%' AND status IN ('queued', 'running', 'retrying')", 0)
        .await;
    shop.until("sync_history WHERE status = 'cancelled'", 1).await;
    shop.admin("DELETE", "/faults", &json!({}));
    // Whoever was at it hears of it at the next step at the latest, and writes nothing.
    eventually("whoever was at it to let go", async || {
        let told = shop.service.metrics() + &replica.metrics();
        let has_ended = |line: &str| {
            line.starts_with(r#"tasks_duration_seconds_count{kind="full_sync_all_orders""#)
                && ["lost", "failure"].iter().any(|it| line.contains(&format!(r#"outcome="{it}""#)))
        };
        told.lines().any(has_ended).then_some(())
    })
    .await;
    shop.run_schedule("retry_failed_orders").await;
    let asked = || shop.admin("GET", "/stats", &json!({}))["requests"]["GET orders"]["200"].clone();
    let before = asked();
    shop.run_schedule("cleanup_old_sync_history").await;
    assert_eq!((shop.count("orders").await, asked()), (stood, before));
    assert_eq!(shop.count("schedules WHERE queue LIKE 'sync_%'").await, 0);
    for (path, expected) in [
        (format!("/sync/manual/{USER_PATH}"), "no_account"),
        (format!("/sync/events/{USER_PATH}"), "no_account"),
    ] {
        assert_eq!(shop.service.post(&path, &json!({})).1["code"], expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_account_is_left_alone_and_its_orders_stay() {
    let shop = Shop::open().await;
    shop.admin("POST", "/orders", &json!({ "count": 20 }));
    let token_id = shop.connect().await;
    shop.until_equal().await;
    assert_eq!(shop.service.delete(&format!("/tokens/{token_id}")).0, 204);
    shop.until("task_history WHERE status IN ('queued', 'running', 'retrying')", 0).await;
    shop.until("schedules WHERE kind = 'sync_order_events'", 0).await;
    let (_, page) = shop.service.get(&format!("/orders/{USER_PATH}"));
    assert_eq!(page["items"].as_array().unwrap().len(), 20);
    assert_eq!(shop.service.get(&format!("/tokens/user/{USER_PATH}")).1, json!({ "items": [] }));
}
