//! Limits of requests, and what Allegro answers in place of what was asked for.

use std::time::Instant;

use sandbox::Settings;
use serde_json::{Value, json};
use testkit::eventually;

use crate::support::Shop;

fn settings() -> Settings {
    Settings { device_interval: 1, ..Settings::default() }
}

/// Requests the sandbox has answered, all routes together.
fn asked(shop: &Shop) -> u64 {
    let stats = shop.admin("GET", "/stats", &json!({}));
    let counts = stats["requests"].as_object().unwrap().values();
    counts.flat_map(|route| route.as_object().unwrap().values()).map(|count| count.as_u64().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_one_limit_and_wait_for_their_place() {
    // Six at once, and 54 more in the minute.
    // Nothing else asks meanwhile.
    let told = [("ALLEGRO_LIMIT_PER_MINUTE", "60"), ("ALLEGRO_BACKUP_EVENTS_INTERVAL_SECONDS", "3600")];
    let shop = Shop::open_told(settings(), &told).await;
    let replica = shop.service.replica();
    let started = Instant::now();
    let before = asked(&shop);
    let id = shop.connect().await;
    shop.until_read().await;
    let validate = format!("/tokens/{id}/validate");
    let outcomes: Vec<u16> = std::thread::scope(|scope| {
        let asking: Vec<_> = [&shop.service, &replica]
            .into_iter()
            .cycle()
            .take(30)
            .map(|program| scope.spawn(|| program.post(&validate, &json!({})).0))
            .collect();
        asking.into_iter().map(|it| it.join().unwrap()).collect()
    });
    let answered = asked(&shop) - before;
    let most = 6 + started.elapsed().as_millis() * 54 / 60_000 + 1;
    assert!(u128::from(answered) <= most, "{answered} requests, {most} are allowed");
    let waited = outcomes.iter().filter(|status| **status == 200).count();
    assert!(waited >= 7 && outcomes.iter().all(|status| [200, 503].contains(status)), "{outcomes:?}");
    assert_eq!(shop.count("user_tokens WHERE needs_reauthorization").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_429_nobody_asks_for_as_long_as_allegro_wants() {
    let shop = Shop::open().await;
    let replica = shop.service.replica();
    let begun = shop.initialize();
    let id = shop.connect().await;
    shop.until_read().await;
    shop.admin("PUT", "/faults", &json!({ "error_rate": 1.0, "status": 429, "retry_after": 300 }));
    let validate = format!("/tokens/{id}/validate");
    let post = |program: &testkit::Program| {
        let bearer = format!("Bearer {}", program.token);
        let path = format!("/api/v1{validate}");
        program.request("POST", &path, &[("Authorization", bearer.as_str())], b"{}").unwrap()
    };
    let refused = eventually("the pause", async || {
        let answer = post(&shop.service);
        (answer.status == 503).then_some(answer)
    })
    .await;
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((290..=300).contains(&wait), "{wait}");
    shop.admin("DELETE", "/faults", &json!({}));
    eventually("the other replica to hear of it", async || (post(&replica).status == 503).then_some(()))
        .await;
    // Polls and readings wait too: they are put off, not given up.
    eventually("the readings to be put off", async || {
        let put_off = "task_history WHERE status = 'retrying' AND run_at > now() + interval '280 seconds'";
        (shop.count(put_off).await >= 2).then_some(())
    })
    .await;
    let before = asked(&shop);
    for program in [&shop.service, &replica] {
        assert_eq!(post(program).status, 503);
    }
    assert_eq!(asked(&shop), before, "Allegro is not asked");
    let path = format!("/tokens/auth/status/{}", begun["authorization_id"].as_str().unwrap());
    assert_eq!(shop.service.get(&path).1["status"], "pending");
    let log = shop.service.log() + &replica.log();
    let told = log.lines().find(|line| line.contains("limit was met; all calls pause")).unwrap();
    let told: Value = serde_json::from_str(told).unwrap();
    assert_eq!(
        (told["extra"]["wait_seconds"].as_u64(), told["extra"]["route"].is_string()),
        (Some(300), true)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_request_allegro_takes_is_the_last_that_is_made() {
    let shop = Shop::open().await;
    let id = shop.connect().await;
    shop.until_read().await;
    shop.admin("PUT", "/faults", &json!({ "remaining": 0 }));
    let validate = format!("/tokens/{id}/validate");
    eventually("the pause", async || (shop.service.post(&validate, &json!({})).0 == 503).then_some(())).await;
    let before = asked(&shop);
    assert_eq!(shop.service.post(&validate, &json!({})).0, 503);
    assert_eq!(asked(&shop), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_answer_is_called_by_its_name_and_asked_for_again() {
    let shop = Shop::open().await;
    let id = shop.connect().await;
    shop.until_read().await;
    let validate = format!("/tokens/{id}/validate");
    for (faults, name) in [
        (json!({ "error_rate": 1.0, "status": 200, "html": true }), "instead of JSON"),
        (json!({ "truncate_rate": 1.0 }), "its answer is cut off"),
        (json!({ "error_rate": 1.0, "status": 503 }), "it answered 503"),
    ] {
        let mut faults = faults;
        faults["routes"] = json!(["me"]);
        shop.admin("PUT", "/faults", &faults);
        let before = asked_of_me(&shop);
        assert_eq!(shop.service.post(&validate, &json!({})).0, 503);
        assert_eq!(asked_of_me(&shop) - before, 3, "{name}");
        assert!(shop.service.log().contains(name), "{name}");
    }
    shop.admin("DELETE", "/faults", &json!({}));
    assert_eq!(shop.service.post(&validate, &json!({})).0, 200);

    let metrics = shop.service.request("GET", "/metrics", &[], &[]).unwrap();
    let metrics = String::from_utf8(metrics.body).unwrap();
    for line in [
        r#"allegro_requests_total{route="me",status="503"} 3"#,
        r#"allegro_requests_total{route="device",status="200"} 1"#,
        r#"allegro_accounts{state="active"} 1"#,
        r#"allegro_limit_headroom{limit="all"}"#,
    ] {
        assert!(metrics.contains(line), "{line}");
    }
}

fn asked_of_me(shop: &Shop) -> u64 {
    let stats = shop.admin("GET", "/stats", &json!({}));
    stats["requests"]["GET me"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn health_tells_of_allegro_and_readiness_does_not_depend_on_it() {
    let shop = Shop::open().await;
    let health = || shop.service.request("GET", "/health", &[], &[]).unwrap().json();
    eventually("health", async || (health()["status"] == "healthy").then_some(())).await;
    assert_eq!(health()["dependencies"]["allegro"]["required"], false);
    shop.allegro.refuse();
    shop.allegro.cut();
    assert_eq!(shop.service.post("/tokens/auth/initialize", &json!({ "user_id": "u" })).0, 503);
    eventually("health to tell of it", async || {
        (health()["dependencies"]["allegro"]["status"] == "down").then_some(())
    })
    .await;
    assert_eq!(shop.service.request("GET", "/readyz", &[], &[]).unwrap().status, 200);
    shop.allegro.pass();
    // Nothing else is asked: it is found out all the same.
    eventually("health", async || (health()["status"] == "healthy").then_some(())).await;
}
