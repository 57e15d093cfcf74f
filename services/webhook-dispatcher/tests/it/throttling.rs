//! A receiver that throttles gets every event, and throttled tries use no attempt.

use std::sync::Mutex;
use std::time::Instant;

use domain::events::Envelope;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::support::{Desk, PATIENCE, Receiver, event};

/// Rate of a throttling receiver in requests a second, and the size of its burst.
const RATE: f64 = 5.0;

/// A receiver with a token bucket; beyond it, it answers 429 with this `Retry-After`.
fn throttling(retry_after: Option<&'static str>) -> Receiver {
    let bucket = Mutex::new((RATE, Instant::now()));
    Receiver::new(move |_| {
        let mut bucket = bucket.lock().unwrap();
        let tokens = (bucket.0 + RATE * bucket.1.elapsed().as_secs_f64()).min(RATE);
        let is_taken = tokens >= 1.0;
        *bucket = (if is_taken { tokens - 1.0 } else { tokens }, Instant::now());
        if is_taken { (200, None) } else { (429, retry_after.map(str::to_owned)) }
    })
}

async fn gets_all(retry_after: Option<&'static str>) {
    let desk = Desk::open().await;
    let receiver = throttling(retry_after);
    // The first attempt used is the last.
    let (id, _) = desk.subscribe(&json!({ "url": receiver.url, "events": ["*"], "retry_count": 0 }));
    let events: Vec<Envelope> = (0..100).map(event).collect();
    desk.tell(&events).await;
    desk.until_within(PATIENCE, "webhook_deliveries WHERE status = 'success' AND attempts = 1", 100).await;

    let tries = i64::try_from(receiver.hits().len()).unwrap();
    assert!(tries > 100, "it has not throttled");
    desk.until("delivery_attempts", tries).await;
    assert_eq!(desk.count("delivery_attempts WHERE response_status = 429").await, tries - 100);
    let (_, shown) = desk.service.get(&format!("/webhooks/{id}"));
    assert_eq!(shown["health"]["consecutive_failures"], 0, "throttling is no failure");
    assert!(shown["health"]["first_failure_at"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn throttled_receiver_gets_all_events() {
    gets_all(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn throttled_receiver_with_retry_after_gets_all_events() {
    gets_all(Some("1")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn throttling_uses_no_attempt_until_76_hours_have_passed() {
    let desk = Desk::open().await;
    for (status, retry_after) in [(429, None), (503, Some("1"))] {
        let receiver = Receiver::new(move |_| (status, retry_after.map(str::to_owned)));
        let wish = json!({ "url": receiver.url, "events": ["account.*"], "retry_count": 0 });
        let (id, _) = desk.subscribe(&wish);
        desk.tell(&[event(1)]).await;
        let throttled = desk.delivery(&id, "pending").await;
        assert_eq!((&throttled["attempts"], &throttled["response_status"]), (&json!(0), &json!(status)));
        assert_eq!(throttled["tries"][0]["response_status"], status);

        let age = async |hours: u32, column: &str| {
            desk.execute(&format!(
                "UPDATE webhook_deliveries SET {column} = now() - interval '{hours} hours', next_attempt_at = now() \
                 WHERE subscription_id = '{id}'"
            ))
            .await;
            let over = "UPDATE webhook_subscriptions SET circuit_until = now() WHERE circuit_state = 'open'";
            desk.execute(&format!("{over} AND id = '{id}'")).await;
        };
        age(75, "created_at").await;
        let tries = receiver.hits().len();
        receiver.until_hits(tries + 1).await;
        assert_eq!(desk.delivery(&id, "pending").await["attempts"], 0);
        age(77, "created_at").await;
        let failed = desk.delivery(&id, "failed").await;
        assert_eq!(failed["attempts"], 1);

        // A retry by hand starts a new run.
        let path = format!("/deliveries/{}/retry", failed["id"].as_str().unwrap());
        desk.service.post(&path, &json!({}));
        let tries = receiver.hits().len();
        age(75, "restarted_at").await;
        receiver.until_hits(tries + 1).await;
        assert_eq!(desk.delivery(&id, "pending").await["attempts"], 1);
        age(77, "restarted_at").await;
        assert_eq!(desk.delivery(&id, "failed").await["attempts"], 2);
        desk.service.delete(&format!("/webhooks/{id}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unavailable_receiver_without_retry_after_uses_attempts() {
    let desk = Desk::open().await;
    let receiver = Receiver::answering(503);
    let (id, _) = desk.subscribe(&json!({ "url": receiver.url, "events": ["*"], "retry_count": 0 }));
    desk.tell(&[event(1)]).await;
    assert_eq!(desk.delivery(&id, "failed").await["attempts"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_never_shortens_the_schedule() {
    let desk = Desk::open().await;
    for (wait, retry_after, least) in [(3600, "1", 2880), (1, "7200", 7200)] {
        let receiver = Receiver::new(move |_| (500, Some(retry_after.to_owned())));
        let wish = json!({ "url": receiver.url, "events": ["account.*"], "retry_schedule": [wait] });
        let (id, _) = desk.subscribe(&wish);
        let before = OffsetDateTime::now_utc();
        desk.tell(&[event(1)]).await;
        let waiting = desk.delivery(&id, "pending").await;
        let at = moment(&waiting).unwrap();
        assert!(at >= before + time::Duration::seconds(least), "{at} for {retry_after} and {wait}");
        assert_eq!(waiting["attempts"], 1);
        desk.service.delete(&format!("/webhooks/{id}"));
    }
}

/// The `next_attempt_at` of a delivery.
fn moment(delivery: &Value) -> Option<OffsetDateTime> {
    Some(OffsetDateTime::parse(delivery["next_attempt_at"].as_str()?, &Rfc3339).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn next_attempt_at_is_the_time_of_the_next_request() {
    let desk = Desk::open().await;
    let receiver = Receiver::answering(500);
    let wish =
        json!({ "url": receiver.url, "events": ["*"], "retry_schedule": [3600], "rate_limit_per_second": 1 });
    let (id, _) = desk.subscribe(&wish);
    desk.tell(&[event(1), event(2)]).await;
    desk.until("webhook_deliveries WHERE status = 'pending' AND attempts = 1", 2).await;
    let list = || {
        let (_, page) = desk.service.get(&format!("/webhooks/{id}/deliveries"));
        let mut moments: Vec<_> = page["items"].as_array().unwrap().iter().map(moment).collect();
        moments.sort();
        moments
    };
    let hours = |number| OffsetDateTime::now_utc() + time::Duration::hours(number);
    assert!(list().iter().all(|at| at.is_some_and(|at| at < hours(2))));

    let set = async |what: &str| desk.execute(&format!("UPDATE webhook_subscriptions SET {what}")).await;
    set("circuit_state = 'open', circuit_until = now() + interval '5 hours'").await;
    assert!(
        list().iter().all(|at| at.is_some_and(|at| at > hours(4))),
        "deliveries to its endpoint pause until then"
    );
    set("circuit_state = 'closed', circuit_until = NULL, rate_used_until = now() + interval '9 hours'").await;
    let limited = list();
    assert!(limited.iter().all(|at| at.is_some_and(|at| at > hours(8))), "its rate is used up until then");
    assert!(limited[0] < limited[1], "each has its turn: {limited:?}");
    set("is_active = false, rate_used_until = NULL").await;
    assert_eq!(list(), [None, None], "nothing is sent while it is not active");
    set("is_active = true").await;
    desk.execute(
        "UPDATE webhook_deliveries SET ordering_key = 'k', place = nextval('webhook_deliveries_place')",
    )
    .await;
    let ordered = list();
    assert!(ordered[0].is_none() && ordered[1].is_some(), "one of them is blocked: {ordered:?}");
}
