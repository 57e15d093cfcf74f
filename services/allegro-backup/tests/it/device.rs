//! The device flow, with everything Allegro says and does not say.

use std::time::Duration;

use sandbox::Settings;
use serde_json::{Value, json};
use testkit::{eventually, eventually_within};

use crate::support::Shop;

/// A poll that was not answered is followed by the next within six seconds.
const PATIENCE: Duration = Duration::from_mins(1);

fn approve(shop: &Shop, begun: &Value) {
    let path = format!("/authorizations/{}/approve", begun["user_code"].as_str().unwrap());
    shop.admin("POST", &path, &json!({}));
}

async fn ended(shop: &Shop, begun: &Value) -> Value {
    let path = format!("/tokens/auth/status/{}", begun["authorization_id"].as_str().unwrap());
    eventually_within(PATIENCE, "the authorization to end", async || {
        let (_, authorization) = shop.service.get(&path);
        (authorization["status"] != "pending").then_some(authorization)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_ends_the_flow_and_is_told() {
    let mut shop = Shop::open().await;
    for (status, word, expected) in [
        (400, "access_denied", ("denied", "the account's owner refused")),
        (400, "expired_token", ("expired", "the code was not used in time")),
        (400, "Invalid device code", ("failed", "Invalid device code")),
        (400, "unauthorized_client", ("failed", "unauthorized_client")),
        (401, "Unauthorized", ("failed", "Unauthorized")),
    ] {
        let faults = json!({ "error_rate": 1.0, "status": status, "oauth_error": word, "routes": ["token"] });
        shop.admin("PUT", "/faults", &faults);
        let authorization = ended(&shop, &shop.initialize()).await;
        let told = (authorization["status"].as_str().unwrap(), authorization["error"].as_str().unwrap());
        assert_eq!(told, expected, "{word}");
    }
    let refused =
        json!({ "error_rate": 1.0, "status": 401, "oauth_error": "Unauthorized", "routes": ["device"] });
    shop.admin("PUT", "/faults", &refused);
    let (status, problem) = shop.service.post("/tokens/auth/initialize", &json!({ "user_id": "u" }));
    assert_eq!((status, &problem["code"]), (503, &json!("allegro_refused")));

    // A code of ours that nobody used, and whose task somebody called off.
    shop.admin("DELETE", "/faults", &json!({}));
    let begun = shop.initialize();
    let task = format!("/sync/tasks/{}/stop", begun["task_id"].as_str().unwrap());
    assert_eq!(shop.service.post(&task, &json!({})).0, 200);
    shop.run("UPDATE authorizations SET expires_at = now() WHERE status = 'pending'").await;
    // Once a minute somebody looks, and first of all at the start.
    shop.service.kill();
    shop.start_again().await;
    assert_eq!(ended(&shop, &begun).await["status"], "expired");
    assert_eq!(shop.count("user_tokens").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_told_to_slow_down_stays_slow_after_a_restart() {
    let mut shop = Shop::open().await;
    let faults = json!({
        "error_rate": 1.0, "status": 400, "oauth_error": "slow_down", "routes": ["token"],
    });
    shop.admin("PUT", "/faults", &faults);
    shop.admin("PATCH", "/rules", &json!({ "auth": { "numbers_as_text": true } }));
    let begun = shop.initialize();
    assert_eq!((&begun["interval"], &begun["expires_in"]), (&json!(1), &json!(3600)), "numbers sent as text");
    shop.until("authorizations WHERE poll_seconds = 6 AND poll_lease_until IS NULL", 1).await;
    shop.service.kill();
    shop.admin("DELETE", "/faults", &json!({}));
    approve(&shop, &begun);
    shop.start_again().await;
    assert_eq!(ended(&shop, &begun).await["status"], "completed");
    assert_eq!(shop.count("authorizations WHERE poll_seconds = 6").await, 1);
    let polls = shop.admin("GET", "/stats", &json!({}))["requests"]["POST token"].clone();
    assert_eq!(polls, json!({ "200": 1, "400": 1 }), "neither asked too early nor twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_on_the_way_is_waited_out_and_a_lost_pair_is_owned_up_to() {
    let mut shop = Shop::open().await;
    shop.admin(
        "PUT",
        "/faults",
        &json!({ "error_rate": 1.0, "status": 502, "html": true, "routes": ["token"] }),
    );
    let begun = shop.initialize();
    shop.until("authorizations WHERE poll_seconds > 1", 1).await;
    shop.admin("DELETE", "/faults", &json!({}));
    approve(&shop, &begun);
    assert_eq!(ended(&shop, &begun).await["status"], "completed");

    // The code is used up by an answer that breaks off: only another code helps, and the user is told so.
    shop.admin("PUT", "/faults", &json!({ "truncate_rate": 1.0, "routes": ["token"] }));
    let begun = shop.initialize();
    approve(&shop, &begun);
    eventually("the pair to be given", async || {
        (shop.admin("GET", "/stats", &json!({}))["tokens_issued"] == 2).then_some(())
    })
    .await;
    shop.admin("DELETE", "/faults", &json!({}));
    let lost = ended(&shop, &begun).await;
    assert_eq!(lost["status"], "failed");
    assert!(lost["error"].as_str().unwrap().contains("lost on the way"), "{lost}");

    // As when the process dies with the answer in its hands.
    shop.service.kill();
    shop.start_to_die_at("allegro.after_poll").await;
    let begun = shop.initialize();
    approve(&shop, &begun);
    eventually("the death", async || shop.service.has_died_at("allegro.after_poll").then_some(())).await;
    shop.start_again().await;
    assert_eq!(ended(&shop, &begun).await["error"], lost["error"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_pollers_one_asks_and_its_pair_is_kept() {
    // Often enough somebody looks whether a worker is dead while Allegro thinks.
    let told = [("ALLEGRO_BACKUP_TASK_SILENCE_SECONDS", "2")];
    let shop = Shop::open_told(Settings { device_interval: 1, ..Settings::default() }, &told).await;
    let _replica = shop.service.replica();
    shop.admin("PUT", "/faults", &json!({ "delay_ms": 3000, "routes": ["token"] }));
    let begun = shop.initialize();
    approve(&shop, &begun);
    // Again and again, until Allegro has answered, the worker that waits for it is taken for dead.
    let polls = || shop.admin("GET", "/stats", &json!({}))["requests"]["POST token"].clone();
    eventually("Allegro's answer", async || {
        shop.run(
            "UPDATE task_history SET heartbeat_at = now() - interval '1 minute' \
             WHERE kind = 'poll_authorization_status' AND status = 'running'",
        )
        .await;
        polls().is_object().then_some(())
    })
    .await;
    let authorization = ended(&shop, &begun).await;
    assert_eq!(authorization["status"], "completed", "{authorization}");
    assert!(shop.count("task_history WHERE kind = 'poll_authorization_status' AND attempt > 1").await > 0);
    assert_eq!(polls(), json!({ "200": 1 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_flow_waits_for_a_missing_key() {
    let shop = Shop::open().await;
    let begun = shop.initialize();
    // A sealed value has the id of its key from the third byte on.
    let sealed_with = |id: &str| {
        format!("UPDATE authorizations SET device_code = overlay(device_code PLACING '{id}'::bytea FROM 3)")
    };
    shop.run(&sealed_with("lost")).await;
    let polls = "task_history WHERE kind = 'poll_authorization_status'";
    shop.until(&format!("{polls} AND status = 'retrying' AND error LIKE '%\"lost\"%'"), 1).await;
    shop.until("authorizations WHERE status = 'pending' AND poll_lease_until IS NULL", 1).await;
    shop.run(&sealed_with("test")).await;
    approve(&shop, &begun);
    assert_eq!(ended(&shop, &begun).await["status"], "completed");
}
