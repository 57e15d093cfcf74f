//! What one endpoint does is felt by no other: rates, order, circuits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use domain::events::Envelope;
use serde_json::json;
use testkit::{eventually, eventually_within};

use crate::support::{Desk, PATIENCE, Receiver, all_to, event};

/// Answers what it is told to, until it is told otherwise.
fn changeable(status: u16) -> (Receiver, Arc<AtomicU16>) {
    let answer = Arc::new(AtomicU16::new(status));
    let shared = Arc::clone(&answer);
    (Receiver::new(move |_| (shared.load(Ordering::SeqCst), None)), answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_together_keep_to_a_rate() {
    let desk = Desk::open().await;
    let _replica = desk.service.replica();
    let receiver = Receiver::answering(200);
    desk.subscribe(&json!({ "url": receiver.url, "events": ["*"], "rate_limit_per_second": 10 }));
    let events: Vec<Envelope> = (0..80).map(event).collect();
    desk.tell(&events).await;
    desk.until_within(PATIENCE, "webhook_deliveries WHERE status = 'success'", 80).await;
    // Half a second's worth may go at once; the other 75 take seven and a half seconds, less what passed between the first
    // claim and its try.
    let kept = "(SELECT 1 FROM delivery_attempts \
                 HAVING max(attempted_at) - min(attempted_at) >= interval '6.5 seconds') AS it";
    assert_eq!(desk.count(kept).await, 1, "80 of ten a second came in less than six and a half seconds");
    assert_eq!(receiver.hits().len(), 80);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bounded_concurrency_is_never_exceeded() {
    let desk = Desk::open().await;
    let receiver = Receiver::answering(200);
    receiver.close_gate();
    desk.subscribe(
        &json!({ "url": receiver.url, "events": ["*"], "max_concurrency": 2, "timeout_seconds": 30 }),
    );
    desk.tell(&(0..20).map(event).collect::<Vec<_>>()).await;
    desk.until("webhook_deliveries WHERE status IN ('delivering', 'pending')", 20).await;
    receiver.until_hits(2).await;
    assert_eq!(receiver.hits().len(), 2);
    receiver.open_gate();
    desk.until("webhook_deliveries WHERE status = 'success'", 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_endpoint_is_left_alone_and_its_deliveries_keep_their_attempts() {
    let desk = Desk::open().await;
    let (receiver, answer) = changeable(500);
    let (id, _) = desk.subscribe(&all_to(&receiver));
    desk.tell(&(0..200).map(event).collect::<Vec<_>>()).await;
    desk.until("webhook_subscriptions WHERE circuit_state = 'open' AND circuit_until > now()", 1).await;
    desk.until("webhook_deliveries", 200).await;
    // What was under way when it opened may still come: ten open it, eight are sent at once, and of each set of events
    // that was accepted meanwhile one is tried.
    let untried = format!("webhook_deliveries WHERE subscription_id = '{id}' AND attempts = 0");
    assert!(desk.count(&untried).await >= 200 - 40, "{} untried", desk.count(&untried).await);
    answer.store(200, Ordering::SeqCst);
    // Its time is over: one is tried, succeeds, and the others follow. A failure of before that is recorded only now opens it
    // once more.
    let over = "UPDATE webhook_subscriptions SET circuit_until = now() WHERE circuit_state = 'open' AND circuit_until > now()";
    eventually("all to be tried", async || {
        desk.execute(over).await;
        (desk.count(&untried).await == 0).then_some(())
    })
    .await;
    desk.until("webhook_subscriptions WHERE circuit_state = 'closed' AND consecutive_failures = 0", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_delivery_at_a_time_tries_a_half_open_circuit() {
    let desk = Desk::open().await;
    let _replica = desk.service.replica();
    let receiver = Receiver::answering(500);
    desk.subscribe(&all_to(&receiver));
    desk.tell(&(0..50).map(event).collect::<Vec<_>>()).await;
    desk.until("webhook_subscriptions WHERE circuit_state = 'open' AND circuit_until > now()", 1).await;
    // It stays open until all events are taken in, and what was handed over of them is given back.
    desk.execute("UPDATE webhook_subscriptions SET circuit_until = now() + interval '1 hour'").await;
    desk.until("webhook_deliveries", 50).await;
    desk.until("webhook_deliveries WHERE status = 'delivering'", 0).await;
    let before = receiver.hits().len();
    desk.execute("UPDATE webhook_subscriptions SET circuit_until = now()").await;
    desk.until("webhook_subscriptions WHERE circuit_state = 'open' AND circuit_openings = 2", 1).await;
    assert_eq!(receiver.hits().len(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overloaded_endpoint_is_left_alone_as_a_whole() {
    let desk = Desk::open().await;
    let (receiver, answer) = changeable(429);
    let (id, _) = desk.subscribe(&json!({ "url": receiver.url, "events": ["*"], "max_concurrency": 1 }));
    let started = Instant::now();
    desk.tell(&(0..50).map(event).collect::<Vec<_>>()).await;
    desk.until("webhook_subscriptions WHERE circuit_state <> 'closed'", 1).await;
    // One answer was enough; another delivery is tried after a second, and then less often.
    let (requests, seconds) = (receiver.hits().len(), started.elapsed().as_secs());
    assert!(u64::try_from(requests).unwrap() <= 2 + seconds, "{requests} requests in {seconds} s");
    answer.store(200, Ordering::SeqCst);
    desk.until(&format!("webhook_deliveries WHERE subscription_id = '{id}' AND attempts = 0"), 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_one_key_keep_their_order_and_other_keys_go_on() {
    let desk = Desk::open().await;
    let _replica = desk.service.replica();
    // The first request of all fails, whichever key it is of.
    let receiver = Receiver::new(|number| (if number == 0 { 500 } else { 200 }, None));
    let (id, _) = desk.subscribe(&json!({
        "url": receiver.url, "events": ["*"], "ordered": true, "retry_schedule": [3600],
    }));
    // Ten events of each of five keys, the keys taking turns.
    let events: Vec<Envelope> = (0..50).map(|number| event(number % 5)).collect();
    desk.tell(&events).await;
    let failed = eventually("the first one to fail", async || {
        let hits = receiver.hits();
        Some(hits.first()?.content()["data"]["token_id"].to_string())
    })
    .await;
    let delivered = format!("webhook_deliveries WHERE subscription_id = '{id}' AND status = 'success'");
    desk.until_within(PATIENCE, &delivered, 40).await;
    // It waited for as long as the others needed.
    desk.until("webhook_deliveries WHERE status = 'pending' AND attempts = 1", 1).await;
    desk.execute(
        "UPDATE webhook_deliveries SET next_attempt_at = now() WHERE attempts = 1 AND status = 'pending'",
    )
    .await;
    desk.until_within(PATIENCE, &delivered, 50).await;

    let mut order: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut ended: Vec<String> = Vec::new();
    for hit in receiver.hits() {
        let key = hit.content()["data"]["token_id"].to_string();
        ended.push(key.clone());
        order.entry(key).or_default().push(hit.id().to_owned());
    }
    for (key, mut ids) in order {
        // A repeated one is the first of the key that failed.
        ids.dedup();
        let told: Vec<String> = events
            .iter()
            .filter(|told| key.contains(&told.subject))
            .map(|told| told.id.to_string())
            .collect();
        assert_eq!(ids, told, "{key}");
    }
    let others = ended.iter().skip(1).position(|key| *key == failed).unwrap();
    assert_eq!(others, 40, "the other keys were done before the failed one was tried again");
}

/// Events come in many small sets, as both replicas would like to take them; the one that does dies in the middle.
#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_that_take_events_in_keep_the_order_in_which_they_were_told() {
    let mut desk = Desk::open().await;
    let replica = desk.service.replica();
    let receiver = Receiver::answering(200);
    desk.subscribe(&json!({
        "url": receiver.url, "events": ["*"], "ordered": true, "ordering_key": "/user_id", "timeout_seconds": 2,
    }));
    let events: Vec<Envelope> = (0..120).map(event).collect();
    for (set, part) in events.chunks(4).enumerate() {
        desk.tell(part).await;
        if set == 15 {
            receiver.until_hits(10).await;
            desk.service.kill();
        }
    }
    // The lease of what the dead one had in hand ends after twelve seconds; then they go one after another.
    eventually_within(Duration::from_mins(1), "all to arrive", async || {
        (desk.count("webhook_deliveries WHERE status = 'success'").await == 120).then_some(())
    })
    .await;
    drop(replica);

    let mut seen = BTreeSet::new();
    // What was under way to it when the one died came again; it was the last then, too.
    let first: Vec<String> =
        receiver.hits().iter().map(|hit| hit.id().to_owned()).filter(|id| seen.insert(id.clone())).collect();
    let told: Vec<String> = events.iter().map(|event| event.id.to_string()).collect();
    assert_eq!(first, told);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_that_wait_for_one_hold_up_no_other() {
    let desk = Desk::open().await;
    let (hanging, healthy) = (Receiver::answering(200), Receiver::answering(200));
    hanging.close_gate();
    let (stuck, _) =
        desk.subscribe(&json!({ "url": hanging.url, "events": ["order.*"], "timeout_seconds": 30 }));
    desk.subscribe(&all_to(&healthy));
    desk.execute(
        "INSERT INTO messages (id, type, subject, body, occurred_at, received_at) \
         SELECT gen_random_uuid(), 'order.created', 'x', '{}', now(), now() FROM generate_series(1, 50000)",
    )
    .await;
    desk.execute(&format!(
        "INSERT INTO webhook_deliveries (id, message_id, subscription_id, event_type, status, next_attempt_at, \
             created_at, updated_at) \
         SELECT gen_random_uuid(), id, '{stuck}', type, 'pending', now() - interval '1 hour', now(), now() \
         FROM messages"
    ))
    .await;
    hanging.until_hits(8).await;
    desk.tell(&[event(1)]).await;
    healthy.until_hits(1).await;
    assert!(hanging.hits().len() <= 8);
    let in_hand = format!("webhook_deliveries WHERE subscription_id = '{stuck}' AND status = 'delivering'");
    assert!(desk.count(&in_hand).await <= 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_events_for_one_endpoint_waits_for_no_lease() {
    let desk = Desk::open().await;
    let receiver = Receiver::answering(200);
    desk.subscribe(&json!({ "url": receiver.url, "events": ["*"], "timeout_seconds": 30 }));
    let events: Vec<Envelope> = (0..2000).map(event).collect();
    desk.tell(&events).await;
    // More than may be in hand at once: the fan-out and the claims compete for every place that is free again.
    desk.until_within(PATIENCE, "webhook_deliveries WHERE status = 'success' AND attempts = 1", 2000).await;
    assert_eq!(desk.metric("webhook_leases_ended_total").as_deref(), Some("0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_deliveries_are_released_before_their_leases_end() {
    let desk = Desk::open().await;
    // One request at a time, one answer per query: a thousand take longer than a lease allows them to wait.
    let (permits, permitted) = mpsc::channel();
    let permitted = Mutex::new(permitted);
    let receiver = Receiver::new(move |_| {
        let _ended = permitted.lock().unwrap().recv();
        (200, None)
    });
    desk.subscribe(
        &json!({ "url": receiver.url, "events": ["*"], "max_concurrency": 1, "timeout_seconds": 30 }),
    );
    desk.tell(&(0..1000).map(event).collect::<Vec<Envelope>>()).await;
    eventually_within(PATIENCE, "a second claim", async || {
        permits.send(()).unwrap();
        (desk.count("webhook_deliveries WHERE claim > 1").await > 0).then_some(())
    })
    .await;
    assert_eq!(desk.metric("webhook_leases_ended_total").as_deref(), Some("0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn outcome_that_cannot_be_stored_delays_no_other() {
    let desk = Desk::open().await;
    desk.execute("ALTER TABLE delivery_attempts ADD CONSTRAINT no_teapot CHECK (response_status <> 418)")
        .await;
    let (refused, healthy) = (Receiver::answering(418), Receiver::answering(200));
    let (stuck, _) = desk.subscribe(&json!({ "url": refused.url, "events": ["*"], "timeout_seconds": 30 }));
    let (fine, _) = desk.subscribe(&all_to(&healthy));
    desk.tell(&[event(1)]).await;
    refused.until_hits(1).await;
    eventually("the outcome to be given up", async || {
        desk.service.log().contains("outcome not recorded; the delivery is marked failed").then_some(())
    })
    .await;
    desk.tell(&[event(2)]).await;
    desk.until(&format!("webhook_deliveries WHERE subscription_id = '{fine}' AND status = 'success'"), 2)
        .await;
    assert_eq!(
        desk.count(&format!("webhook_deliveries WHERE subscription_id = '{stuck}' AND attempts > 0")).await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_is_always_refused_is_split_down_to_the_outcome_at_fault() {
    for error in ["unique_violation", "serialization_failure"] {
        let desk = Desk::open().await;
        desk.execute(&format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN RAISE ''refused'' USING ERRCODE = ''{error}''; END'"
        ))
        .await;
        desk.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON delivery_attempts FOR EACH ROW \
             WHEN (NEW.response_status = 418) EXECUTE FUNCTION refuse()",
        )
        .await;
        let (refused, healthy) = (Receiver::answering(418), Receiver::answering(200));
        let once = json!({ "url": refused.url, "events": ["*"], "timeout_seconds": 30 });
        let (stuck, _) = desk.subscribe(&once);
        let (fine, _) = desk.subscribe(&all_to(&healthy));
        desk.tell(&[event(1), event(2)]).await;
        desk.until_within(
            PATIENCE,
            &format!(
                "webhook_deliveries WHERE subscription_id = '{stuck}' AND status = 'failed' AND attempts = 0 \
                 AND error_message LIKE 'the attempt could not be recorded: %'"
            ),
            2,
        )
        .await;
        desk.tell(&[event(3)]).await;
        // The two that failed are published as exhausted.
        for (event_type, number) in [("account.connected", 3), ("webhook.delivery_exhausted", 2)] {
            let arrived = format!(
                "webhook_deliveries WHERE subscription_id = '{fine}' AND status = 'success' \
                 AND event_type = '{event_type}'"
            );
            desk.until(&arrived, number).await;
        }
    }
}
