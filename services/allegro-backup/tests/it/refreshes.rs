//! Refreshing: once for all replicas, and never at the price of the pair.

use std::time::Duration;

use sandbox::Settings;
use serde_json::json;
use testkit::{eventually, eventually_within, side_by_side};

use crate::support::Shop;

/// A lease of 24 s, and Allegro's grace of 60.
const GRACE: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_that_need_a_token_at_once_refresh_it_once() {
    let shop = Shop::open().await;
    let replica = shop.service.replica();
    let id = shop.connect().await;
    shop.until_read().await;
    shop.admin("PUT", "/faults", &json!({ "delay_ms": 300, "routes": ["token"] }));
    for round in 1..=3 {
        shop.admin("POST", "/sellers/1000001/expire-access", &json!({}));
        let validate = format!("/tokens/{id}/validate");
        std::thread::scope(|scope| {
            for program in [&shop.service, &replica].into_iter().cycle().take(8) {
                scope.spawn(|| {
                    let (status, checked) = program.post(&validate, &json!({}));
                    assert_eq!((status, &checked["is_valid"]), (200, &json!(true)), "{checked}");
                });
            }
        });
        assert_eq!(shop.refreshes(), round);
    }
    let log = shop.service.log() + &replica.log();
    assert!(!log.contains("eyJ"), "a token is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_changed_while_tokens_are_and_no_new_pair_is_lost() {
    let [old, new] = [
        "test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "next:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
    ];
    let (old_first, new_first) = (format!("{old},{new}"), format!("{new},{old}"));
    let settings = Settings { device_interval: 1, ..Settings::default() };
    let shop = Shop::open_told(settings, &[("ENCRYPTION_KEYS", &old_first)]).await;
    let id = shop.connect().await;
    let early_polls = shop.refused();
    shop.until_read().await;
    shop.admin("PUT", "/faults", &json!({ "delay_ms": 100, "routes": ["token"] }));
    let refresh = format!("/tokens/{id}/refresh");
    std::thread::scope(|scope| {
        let refreshing = scope.spawn(|| {
            for _ in 0..8 {
                let (status, account) = shop.service.post(&refresh, &json!({}));
                assert_eq!(status, 200, "{account}");
            }
        });
        // One after the other, over and over: each meets some refresh at some point.
        while !refreshing.is_finished() {
            shop.service.command(&["rotate-keys"], &[("ENCRYPTION_KEYS", &new_first)]);
        }
        refreshing.join().unwrap();
    });
    let done = shop.service.command(&["rotate-keys"], &[("ENCRYPTION_KEYS", &new_first)]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    // Sealed with the new key alone by now, and still the pair that Allegro gave last.
    let again = shop.service.command(&["rotate-keys"], &[("ENCRYPTION_KEYS", new)]);
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    assert_eq!(shop.service.post(&format!("/tokens/{id}/validate"), &json!({})).1["is_valid"], true);
    assert_eq!(shop.service.post(&refresh, &json!({})).0, 200);
    assert_eq!(shop.refreshes(), 9);
    assert_eq!(shop.refused(), early_polls, "a refresh was refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_whose_key_is_missing_is_answered_503() {
    let shop = Shop::open().await;
    let id = shop.connect().await;
    // A sealed value has the id of its key from the third byte on.
    let sealed_with = |id: &str| {
        format!("UPDATE user_tokens SET refresh_token = overlay(refresh_token PLACING '{id}'::bytea FROM 3)")
    };
    shop.run(&sealed_with("lost")).await;
    let refresh = format!("/tokens/{id}/refresh");
    let (status, problem) = shop.service.post(&refresh, &json!({}));
    assert_eq!((status, &problem["code"]), (503, &json!("encryption_key_missing")), "{problem}");
    assert_eq!(shop.count("user_tokens WHERE needs_reauthorization").await, 0);
    shop.run(&sealed_with("test")).await;
    assert_eq!(shop.service.post(&refresh, &json!({})).0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_lost_on_its_way_is_asked_for_again_within_the_grace() {
    let shop = Shop::open().await;
    let id = shop.connect().await;
    shop.until_read().await;
    shop.admin("PUT", "/faults", &json!({ "truncate_rate": 1.0, "routes": ["token"] }));
    let (status, away) = shop.service.post(&format!("/tokens/{id}/refresh"), &json!({}));
    assert_eq!((status, &away["code"]), (503, &json!("dependency_unavailable")), "{away}");
    assert!(shop.refreshes() >= 1, "Allegro has rotated");
    shop.admin("DELETE", "/faults", &json!({}));
    shop.until("user_tokens WHERE last_refreshed_at IS NOT NULL AND refresh_begun_at IS NULL", 1).await;
    shop.admin("POST", "/live", &json!({ "count": 5, "rate_per_second": 1000 }));
    shop.until("orders", 5).await;
    assert_eq!(shop.standing()["state"], "following_events");
    assert_eq!(shop.count("outbox WHERE type = 'account.reauthorization_needed'").await, 0);
}

async fn die_at(point: &'static str) {
    let mut shop = Shop::open().await;
    let id = shop.connect().await;
    shop.until_read().await;
    shop.service.kill();
    shop.start_to_die_at(point).await;
    let bearer = format!("Bearer {}", shop.service.token);
    let path = format!("/api/v1/tokens/{id}/refresh");
    let asked = shop.service.request("POST", &path, &[("Authorization", bearer.as_str())], b"{}");
    assert!(asked.is_err(), "{point}: it answered");
    eventually(&format!("the death at {point}"), async || shop.service.has_died_at(point).then_some(()))
        .await;
    shop.start_again().await;
    eventually_within(GRACE, &format!("the pair after {point}"), async || {
        (shop.count("user_tokens WHERE last_refreshed_at IS NOT NULL").await == 1).then_some(())
    })
    .await;
    let (_, checked) = shop.service.post(&format!("/tokens/{id}/validate"), &json!({}));
    assert_eq!(checked["is_valid"], true, "{point}: {checked}");
    shop.admin("POST", "/live", &json!({ "count": 5, "rate_per_second": 1000 }));
    shop.until("orders", 5).await;
}

#[test]
fn a_process_that_dies_with_the_pair_in_its_hands_costs_nothing() {
    side_by_side(&["allegro.before_refresh", "allegro.after_refresh"], die_at);
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_stand_still_until_the_owner_has_come_and_go_on_as_they_were() {
    let shop = Shop::open().await;
    let id = shop.connect().await;
    shop.until_read().await;
    let following = "schedules WHERE kind = 'sync_order_events' AND is_enabled";
    shop.until(following, 1).await;
    shop.run("UPDATE schedules SET every = interval '2 seconds' WHERE kind = 'sync_order_events'").await;
    shop.admin("POST", "/sellers/1000001/revoke", &json!({}));
    shop.until(following, 0).await;
    assert_eq!(shop.count("schedules WHERE kind = 'sync_order_events'").await, 1);
    shop.until("task_history WHERE queue LIKE 'sync_%' AND status IN ('queued', 'running', 'retrying')", 0)
        .await;
    assert_eq!(shop.connect().await, id);
    shop.until(following, 1).await;
    shop.admin("POST", "/live", &json!({ "count": 5, "rate_per_second": 1000 }));
    shop.until_equal().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_sync_that_ends_after_its_account_died_follows_nothing() {
    // The account dies with a step of the list that others come after, or with the last word of all.
    for (moment, end) in
        [("NEW.pass_done > 0", "failed"), ("NEW.last_complete_list_sync IS NOT NULL", "succeeded")]
    {
        let shop = Shop::open().await;
        shop.admin("POST", "/orders", &json!({ "count": 1500 }));
        // The owner is needed though the tokens still work.
        shop.run(&format!(
            "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                 UPDATE user_tokens SET needs_reauthorization = true, reauthorization_reason = 'test' \
                 WHERE id = NEW.token_id; RETURN NULL; END $$; \
             CREATE TRIGGER die AFTER INSERT OR UPDATE ON sync_cursors FOR EACH ROW WHEN ({moment}) \
             EXECUTE FUNCTION die()"
        ))
        .await;
        shop.connect().await;
        shop.until(
            "task_history WHERE queue LIKE 'sync_%' AND status IN ('queued', 'running', 'retrying')",
            0,
        )
        .await;
        let ended = shop.lines("SELECT status FROM task_history WHERE kind = 'full_sync_all_orders'").await;
        assert_eq!(ended, [format!("({end})")], "{moment}");
        assert_eq!(shop.count("schedules WHERE kind = 'sync_order_events'").await, 0, "{moment}");
        shop.run("DROP TRIGGER die ON sync_cursors").await;
        shop.connect().await;
        shop.until("schedules WHERE kind = 'sync_order_events' AND is_enabled", 1).await;
        shop.until_equal().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_soon_is_refreshed_before_anybody_needs_it() {
    let settings = Settings { device_interval: 1, access_token_seconds: 3600, ..Settings::default() };
    let told =
        [("ALLEGRO_BACKUP_REFRESH_INTERVAL_SECONDS", "1"), ("ALLEGRO_BACKUP_REFRESH_MARGIN_SECONDS", "5400")];
    let shop = Shop::open_told(settings, &told).await;
    shop.connect().await;
    let early_polls = shop.refused();
    eventually("two rounds", async || (shop.refreshes() >= 2).then_some(())).await;
    let done = "task_history WHERE kind = 'refresh_all_tokens' AND status = 'succeeded' \
         AND result = '{\"refreshed\": 1, \"failed\": 0}'";
    assert!(shop.count(done).await >= 1);
    assert_eq!(shop.refused(), early_polls, "a refresh was refused");
    assert_eq!(shop.count("user_tokens WHERE needs_reauthorization").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_ends_though_a_key_is_missing() {
    let settings = Settings { device_interval: 1, access_token_seconds: 3600, ..Settings::default() };
    let told =
        [("ALLEGRO_BACKUP_REFRESH_INTERVAL_SECONDS", "1"), ("ALLEGRO_BACKUP_REFRESH_MARGIN_SECONDS", "5400")];
    let shop = Shop::open_told(settings, &told).await;
    shop.connect().await;
    shop.run("UPDATE user_tokens SET refresh_token = overlay(refresh_token PLACING 'lost'::bytea FROM 3)")
        .await;
    let postponed = "token refresh postponed";
    eventually(postponed, async || shop.service.log().contains(postponed).then_some(())).await;
    let done = "task_history WHERE kind = 'refresh_all_tokens' AND status = 'succeeded' \
         AND result = '{\"refreshed\": 0, \"failed\": 0}'";
    let before = shop.count(done).await;
    eventually("another round", async || (shop.count(done).await > before).then_some(())).await;
    assert_eq!(shop.count("user_tokens WHERE needs_reauthorization").await, 0);
    let refreshes = shop.refreshes();
    shop.run("UPDATE user_tokens SET refresh_token = overlay(refresh_token PLACING 'test'::bytea FROM 3)")
        .await;
    eventually("a refresh", async || (shop.refreshes() > refreshes).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_answers_while_a_dead_replica_holds_the_lease() {
    // After a request to Allegro the old access token is revoked, so that `validate` needs a new one as well. Allegro issues
    // tokens once after the lease's end, and once before if the replica died after its request.
    for (point, needing, pairs) in [
        ("allegro.before_refresh", vec!["refresh"], 1),
        ("allegro.after_refresh", vec!["refresh", "validate"], 2),
    ] {
        let mut shop = Shop::open().await;
        let id = shop.connect().await;
        let early_polls = shop.refused();
        shop.until_read().await;
        let replica = shop.service.replica();
        shop.service.kill();
        shop.service.start_to_die_at(point);
        let bearer = format!("Bearer {}", shop.service.token);
        let ask = |program: &testkit::Program, what: &str| {
            let path = format!("/api/v1/tokens/{id}/{what}");
            program.request("POST", &path, &[("Authorization", bearer.as_str())], b"{}")
        };
        assert!(ask(&shop.service, "refresh").is_err(), "{point}: it answered");
        eventually(&format!("the death at {point}"), async || shop.service.has_died_at(point).then_some(()))
            .await;
        // The lease outlasts the callers, even on a slow machine.
        shop.run("UPDATE user_tokens SET refresh_lease_until = refresh_lease_until + interval '1 hour'")
            .await;
        let answers: Vec<_> = std::thread::scope(|scope| {
            let asking: Vec<_> =
                needing.iter().map(|what| scope.spawn(|| ask(&replica, what).unwrap())).collect();
            asking.into_iter().map(|it| it.join().unwrap()).collect()
        });
        for answer in answers {
            let problem = answer.json();
            assert_eq!((answer.status, answer.header("retry-after")), (503, "5"), "{point}: {problem}");
            assert_eq!(problem["code"], "dependency_unavailable", "{point}: {problem}");
            assert_eq!(problem["detail"], "the account's tokens are still being refreshed", "{point}");
        }
        shop.run("UPDATE user_tokens SET refresh_lease_until = now()").await;
        shop.until("user_tokens WHERE last_refreshed_at IS NOT NULL AND refresh_begun_at IS NULL", 1).await;
        assert_eq!(shop.refreshes(), pairs, "{point}");
        assert_eq!(ask(&replica, "refresh").unwrap().status, 200, "{point}");
        assert_eq!(shop.refreshes(), pairs + 1, "{point}");
        assert_eq!(shop.refused(), early_polls, "{point}: a refresh was refused");
        assert_eq!(shop.count("user_tokens WHERE needs_reauthorization").await, 0, "{point}");
    }
}
