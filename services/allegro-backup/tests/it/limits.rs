//! Limits of requests, and what Allegro answers in place of what was asked for.

use std::ops::RangeInclusive;
use std::time::Instant;

use sandbox::Settings;
use serde_json::{Value, json};
use testkit::eventually;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

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

/// What may be left of a pause of so many seconds that has begun since.
fn left(pause: u64, since: Instant) -> RangeInclusive<u64> {
    pause.saturating_sub(since.elapsed().as_secs() + 1)..=pause
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_one_limit_and_wait_for_their_place() {
    // If Redis is silent for 250 ms, each replica counts for itself, and the round proves less.
    for _ in 0..3 {
        if is_one_limit_shared().await {
            return;
        }
    }
}

/// True when two replicas shared one limit; false when Redis was unavailable and each obeyed the limit alone.
async fn is_one_limit_shared() -> bool {
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
    let is_shared = u128::from(answered) <= most;
    if !is_shared {
        // The log is written asynchronously.
        let away = format!(
            "{answered} requests, {most} are allowed while Redis answers; a log to say that it did not"
        );
        eventually(&away, async || {
            (shop.service.log() + &replica.log()).contains("Redis is away").then_some(())
        })
        .await;
        assert!(u128::from(answered) <= 2 * most, "{answered} requests, {most} are allowed to each replica");
    }
    let waited = outcomes.iter().filter(|status| **status == 200).count();
    assert!(waited >= 7 && outcomes.iter().all(|status| [200, 503].contains(status)), "{outcomes:?}");
    assert_eq!(shop.count("user_tokens WHERE needs_reauthorization").await, 0);
    is_shared
}

#[tokio::test(flavor = "multi_thread")]
async fn after_429_nobody_asks_for_as_long_as_allegro_wants() {
    let shop = Shop::open().await;
    let replica = shop.service.replica();
    let begun = shop.initialize();
    let id = shop.connect().await;
    shop.until_read().await;
    let (stopwatch, since) = (Instant::now(), OffsetDateTime::now_utc().format(&Rfc3339).unwrap());
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
    assert!(left(300, stopwatch).contains(&wait), "{wait}");
    // Polls and readings wait too: they are put off, not given up.
    eventually("the readings to be put off", async || {
        let until = format!("timestamptz '{since}' + interval '299 seconds'");
        let put_off = format!("task_history WHERE status = 'retrying' AND run_at > {until}");
        (shop.count(&put_off).await >= 2).then_some(())
    })
    .await;
    shop.admin("DELETE", "/faults", &json!({}));
    eventually("the other replica to hear of it", async || (post(&replica).status == 503).then_some(()))
        .await;
    let before = asked(&shop);
    for program in [&shop.service, &replica] {
        assert_eq!(post(program).status, 503);
    }
    assert_eq!(asked(&shop), before, "Allegro is not asked");
    let path = format!("/tokens/auth/status/{}", begun["authorization_id"].as_str().unwrap());
    assert_eq!(shop.service.get(&path).1["status"], "pending");
    let log = shop.service.log() + &replica.log();
    let told = log.lines().find(|line| line.contains("limit was met; its calls pause")).unwrap();
    let told: Value = serde_json::from_str(told).unwrap();
    assert_eq!(
        (told["extra"]["wait_seconds"].as_u64(), told["extra"]["route"].is_string()),
        (Some(300), true)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_without_a_word_of_its_end_is_waited_out_and_never_lengthened() {
    let shop = Shop::open().await;
    let id = shop.connect().await;
    shop.until_read().await;
    let stopwatch = Instant::now();
    shop.admin("PATCH", "/rules", &json!({ "limits": { "requests_per_minute": 20 } }));
    let bearer = format!("Bearer {}", shop.service.token);
    let path = format!("/api/v1/tokens/{id}/validate");
    let refused = eventually("the block", async || {
        let answer = shop.service.request("POST", &path, &[("Authorization", &bearer)], b"{}").unwrap();
        (answer.status == 503).then_some(answer)
    })
    .await;
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!(left(60, stopwatch).contains(&wait), "{wait}");
    let blocked = || {
        let stats = shop.admin("GET", "/stats", &json!({}));
        let routes = stats["requests"].as_object().unwrap().values();
        routes.filter_map(|route| route["429"].as_u64()).sum::<u64>()
    };
    // What was on its way already could not be called back: the journal's and this one.
    shop.until("task_history WHERE kind = 'sync_order_events' AND status = 'retrying'", 1).await;
    let before = blocked();
    assert!((1..=2).contains(&before), "{before}");
    for _ in 0..10 {
        assert_eq!(shop.service.post(&format!("/tokens/{id}/validate"), &json!({})).0, 503);
    }
    assert_eq!(blocked(), before, "nobody asks within the block");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_requests_has_a_limit_of_its_own_where_one_is_set() {
    let told = [
        ("ALLEGRO_LIMIT_GENERAL_PER_MINUTE", "20"),
        ("ALLEGRO_LIMIT_DEVICE_PER_MINUTE", "10"),
        ("ALLEGRO_BACKUP_EVENTS_INTERVAL_SECONDS", "3600"),
    ];
    let shop = Shop::open_told(settings(), &told).await;
    shop.admin("POST", "/orders", &json!({ "count": 900 }));
    let pair = shop.pair("1000001");
    let wish = json!({
        "user_id": crate::support::USER, "access_token": pair["access_token"], "refresh_token": pair["refresh_token"],
    });
    let (status, account) = shop.service.post("/tokens", &wish);
    assert_eq!(status, 201, "{account}");
    shop.until_read().await;
    // Pages of the list were none of them: they had no limit. Accounts have, and so has the device flow.
    let many = |path: &str, body: &Value| -> Vec<u16> {
        std::thread::scope(|scope| {
            let asking: Vec<_> = (0..12).map(|_| scope.spawn(|| shop.service.post(path, body).0)).collect();
            asking.into_iter().map(|it| it.join().unwrap()).collect()
        })
    };
    let validate = format!("/tokens/{}/validate", account["id"].as_str().unwrap());
    let begin = json!({ "user_id": "someone" });
    for (path, body, good) in [(validate.as_str(), json!({}), 200), ("/tokens/auth/initialize", begin, 202)] {
        let outcomes = many(path, &body);
        assert!(outcomes.contains(&503), "{path}: {outcomes:?}");
        assert!(outcomes.iter().all(|status| [good, 503].contains(status)), "{path}: {outcomes:?}");
    }
    let listed = shop.start(&format!("/sync/manual/{}", crate::support::USER_PATH), &json!({})).await;
    assert_eq!(listed["result"]["orders"], 900);
    let metrics = shop.service.metrics();
    for limit in ["all", "general", "device"] {
        assert!(metrics.contains(&format!("allegro_limit_headroom{{limit=\"{limit}\"}}")), "{limit}");
    }
    assert!(!metrics.contains(r#"allegro_limit_headroom{limit="orders"}"#));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_we_say_we_are_is_what_allegro_wants() {
    let shop = Shop::open().await;
    let rules =
        json!({ "api": { "check_user_agent": true, "check_accept": true, "check_content_type": true } });
    shop.admin("PATCH", "/rules", &rules);
    shop.admin("POST", "/orders", &json!({ "count": 10 }));
    shop.connect().await;
    shop.until_read().await;
    shop.admin("POST", "/live", &json!({ "count": 3, "rate_per_second": 1000 }));
    shop.until("orders", 13).await;
    let stats = shop.admin("GET", "/stats", &json!({}));
    for route in ["GET me", "GET events", "GET orders", "GET order", "GET event-stats"] {
        let answered: Vec<&String> = stats["requests"][route].as_object().unwrap().keys().collect();
        assert_eq!(answered, ["200"], "{route}");
    }
    // One that Allegro turns away everywhere is nobody's order's fault, and loses nothing.
    let refused = json!({ "error_rate": 1.0, "status": 403, "routes": ["me", "events", "orders", "order", "event-stats"] });
    shop.admin("PUT", "/faults", &refused);
    shop.admin("POST", "/live", &json!({ "count": 2, "rate_per_second": 1000 }));
    eventually("refusals", async || {
        (shop.admin("GET", "/stats", &json!({}))["requests"]["GET events"]["403"].as_u64()? >= 1)
            .then_some(())
    })
    .await;
    assert_eq!(shop.count("failed_orders").await, 0);
    assert_eq!(shop.count("user_tokens WHERE needs_reauthorization").await, 0);
    shop.admin("DELETE", "/faults", &json!({}));
    shop.run("UPDATE task_history SET run_at = now() WHERE status = 'retrying'").await;
    shop.until("orders", 15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_request_allegro_takes_is_the_last_that_is_made() {
    // The journal is read once, and nothing else asks meanwhile.
    let shop = Shop::open_told(settings(), &[("ALLEGRO_BACKUP_EVENTS_INTERVAL_SECONDS", "3600")]).await;
    let id = shop.connect().await;
    shop.until_read().await;
    shop.until("task_history WHERE kind = 'sync_order_events' AND status = 'succeeded'", 1).await;
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
        // The log is written behind the answer.
        eventually(name, async || shop.service.log().contains(name).then_some(())).await;
    }
    shop.admin("DELETE", "/faults", &json!({}));
    assert_eq!(shop.service.post(&validate, &json!({})).0, 200);

    for line in [
        r#"allegro_requests_total{route="me",status="503"} 3"#,
        r#"allegro_requests_total{route="device",status="200"} 1"#,
        r#"allegro_accounts{state="active"} 1"#,
        r#"allegro_limit_headroom{limit="all"}"#,
    ] {
        // Accounts are counted every few seconds.
        eventually(line, async || shop.service.metrics().contains(line).then_some(())).await;
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
