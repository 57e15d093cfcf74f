//! Webhooks always arrive, signed.

use std::collections::BTreeSet;

use domain::events::Envelope;
use serde_json::json;
use standardwebhooks::Webhook;

use crate::support::{Desk, PATIENCE, Receiver, all_to, event};

#[tokio::test(flavor = "multi_thread")]
async fn an_event_arrives_signed_and_its_delivery_is_recorded() {
    let desk = Desk::open().await;
    let receiver = Receiver::answering(200);
    let (id, secret) = desk.subscribe(&all_to(&receiver));
    let told = event(1);
    desk.tell(std::slice::from_ref(&told)).await;

    let hits = receiver.until_hits(1).await;
    Webhook::new(&secret).unwrap().verify(&hits[0].body, &hits[0].headers).unwrap();
    let content = hits[0].content();
    assert!(hits[0].body.starts_with(br#"{"type":"account.connected","timestamp":""#));
    assert_eq!(
        (&content["type"], &content["data"]["account_name"]),
        (&json!("account.connected"), &json!("Świece „Płomień”"))
    );
    assert_eq!(hits[0].id(), told.id.to_string());
    assert_eq!(hits[0].headers["content-type"], "application/json");
    assert!(hits[0].headers["user-agent"].to_str().unwrap().starts_with("Zaplecze-Webhooks/"));

    let delivery = desk.delivery(&id, "success").await;
    assert_eq!((&delivery["attempts"], &delivery["response_status"]), (&json!(1), &json!(200)));
    assert_eq!(delivery["tries"].as_array().unwrap().len(), 1);
    assert!(delivery["delivered_at"].is_string() && delivery["next_attempt_at"].is_null());
    // The secret is shown once and lies sealed.
    let (_, shown) = desk.service.get(&format!("/webhooks/{id}"));
    assert!(!shown.to_string().contains("whsec_") && !desk.service.log().contains(&secret), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_subscription_gets_what_it_wants_once() {
    let desk = Desk::open().await;
    let (all, none, paused) = (Receiver::answering(204), Receiver::answering(204), Receiver::answering(204));
    desk.subscribe(&all_to(&all));
    desk.subscribe(&json!({ "url": none.url, "events": ["order.*", "account.reauthorization_needed"] }));
    desk.subscribe(&json!({ "url": paused.url, "events": ["*"], "is_active": false }));
    let events: Vec<Envelope> = (0..300).map(event).collect();
    desk.tell(&events).await;
    // Told again, as a relay that died before it deleted would.
    desk.tell(&events).await;
    desk.until_within(PATIENCE, "webhook_deliveries WHERE status = 'success'", 300).await;
    desk.until("outbox", 0).await;
    let ids: BTreeSet<String> = all.hits().iter().map(|hit| hit.id().to_owned()).collect();
    assert_eq!((ids.len(), all.hits().len()), (300, 300));
    assert_eq!((none.hits().len(), paused.hits().len()), (0, 0));
    let skipped =
        "webhook_deliveries WHERE status = 'skipped' AND error_message = 'the subscription is paused'";
    assert_eq!(desk.count(skipped).await, 300, "what a paused one missed is seen");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_tried_again_with_the_same_id_and_a_fresh_signature() {
    let desk = Desk::open().await;
    let receiver = Receiver::new(|number| (if number == 0 { 500 } else { 200 }, None));
    // It waits until it was looked at.
    let (id, secret) =
        desk.subscribe(&json!({ "url": receiver.url, "events": ["*"], "retry_schedule": [3600] }));
    desk.tell(&[event(1)]).await;
    let waiting = desk.delivery(&id, "pending").await;
    assert_eq!((&waiting["attempts"], &waiting["tries"][0]["error_class"]), (&json!(1), &json!("status")));
    assert!(waiting["next_attempt_at"].is_string());

    // In another second than the first one: that is all a timestamp tells.
    desk.execute("UPDATE webhook_deliveries SET next_attempt_at = updated_at + interval '2 seconds'").await;
    let hits = receiver.until_hits(2).await;
    assert_eq!(hits[0].id(), hits[1].id());
    assert_ne!(hits[0].headers["webhook-timestamp"], hits[1].headers["webhook-timestamp"]);
    Webhook::new(&secret).unwrap().verify(&hits[1].body, &hits[1].headers).unwrap();
    let delivery = desk.delivery(&id, "success").await;
    assert_eq!((&delivery["attempts"], delivery["tries"].as_array().unwrap().len()), (&json!(2), 2));
}

/// Only the moment a try is due is moved; how long the service would have waited is what it wrote down. Its endpoint is
/// left alone for five minutes after each try, or the shortest wait might be over before it was looked at.
#[tokio::test(flavor = "multi_thread")]
async fn waits_between_tries_are_those_of_the_list_and_a_fifth_more_or_less() {
    let desk = Desk::open().await;
    let receiver = Receiver::answering(500);
    let all = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400];
    for (more, waits) in [
        (json!({}), &all[..]),
        (json!({ "retry_count": 2 }), &all[..2]),
        (json!({ "retry_schedule": [60, 7] }), &[60, 7]),
    ] {
        let mut wish = json!({ "url": receiver.url, "events": ["account.*"] });
        wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let (id, _) = desk.subscribe(&wish);
        desk.execute(&format!(
            "UPDATE webhook_subscriptions SET circuit_state = 'open', circuit_openings = 9, circuit_until = now() \
             WHERE id = '{id}'"
        ))
        .await;
        desk.tell(&[event(1)]).await;
        let of_it = format!("webhook_deliveries WHERE subscription_id = '{id}'");
        for (index, wait) in waits.iter().enumerate() {
            // From the end of the try on, which is told in whole milliseconds.
            let waits_so_long = format!(
                "webhook_deliveries d JOIN delivery_attempts a ON a.delivery_id = d.id AND a.attempt = d.attempts \
                 WHERE d.subscription_id = '{id}' AND d.status = 'pending' AND d.attempts = {} \
                     AND extract(epoch FROM d.next_attempt_at - a.attempted_at) - a.duration_ms / 1000.0 \
                         BETWEEN {wait} * 0.8 - 0.01 AND {wait} * 1.2 + 0.01",
                index + 1
            );
            desk.until(&waits_so_long, 1).await;
            desk.execute(&format!(
                "UPDATE webhook_deliveries SET next_attempt_at = now() \
                 WHERE subscription_id = '{id}' AND status = 'pending'"
            ))
            .await;
            let over = "UPDATE webhook_subscriptions SET circuit_until = now()";
            desk.execute(&format!("{over} WHERE id = '{id}'")).await;
        }
        let tries = waits.len() + 1;
        desk.until(&format!("{of_it} AND status = 'failed' AND attempts = {tries}"), 1).await;
        desk.service.delete(&format!("/webhooks/{id}"));
    }
    assert_eq!(receiver.hits().len(), 10 + 3 + 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_receiver_holds_up_no_other() {
    let desk = Desk::open().await;
    let (hanging, healthy) = (Receiver::answering(200), Receiver::answering(200));
    hanging.close_gate();
    let (stuck, _) = desk.subscribe(&json!({ "url": hanging.url, "events": ["*"], "timeout_seconds": 30 }));
    let (fine, _) = desk.subscribe(&all_to(&healthy));
    let events: Vec<Envelope> = (0..400).map(event).collect();
    desk.tell(&events).await;
    desk.until(&format!("webhook_deliveries WHERE subscription_id = '{fine}' AND status = 'success'"), 400)
        .await;
    let delivered = format!("webhook_deliveries WHERE subscription_id = '{stuck}' AND status = 'success'");
    assert_eq!(desk.count(&delivered).await, 0);
    assert!(hanging.hits().len() <= 8, "bounded attempts at once");
    hanging.open_gate();
    desk.until_within(PATIENCE, &delivered, 400).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_gone_is_told_no_more_and_redirects_are_not_followed() {
    let desk = Desk::open().await;
    let (gone, target) = (Receiver::answering(410), Receiver::answering(200));
    let location = target.url.clone();
    let moved = Receiver::new(move |_| (302, Some(location.clone())));
    let (left, _) = desk.subscribe(&json!({ "url": gone.url, "events": ["account.*"] }));
    let (away, _) = desk.subscribe(&json!({ "url": moved.url, "events": ["account.*"], "retry_count": 0 }));
    desk.tell(&[event(1)]).await;
    let delivery = desk.delivery(&left, "failed").await;
    assert_eq!((&delivery["response_status"], &delivery["attempts"]), (&json!(410), &json!(1)));
    let (_, subscription) = desk.service.get(&format!("/webhooks/{left}"));
    assert_eq!(subscription["is_active"], false);
    assert_eq!(subscription["disabled_reason"], "the receiver answered 410 Gone");

    let delivery = desk.delivery(&away, "failed").await;
    assert_eq!(delivery["tries"][0]["error_class"], "redirect");
    assert_eq!(target.hits().len(), 0);

    // Made active again it is told of what comes from now on.
    desk.service.patch(&format!("/webhooks/{left}"), &json!({ "is_active": true }));
    desk.tell(&[event(2)]).await;
    gone.until_hits(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_service_leaves_nothing_undelivered_and_repeats_only_what_was_under_way() {
    let mut desk = Desk::open().await;
    let receiver = Receiver::answering(200);
    desk.subscribe(&json!({ "url": receiver.url, "events": ["*"], "timeout_seconds": 30 }));
    receiver.close_gate();
    let events: Vec<Envelope> = (0..500).map(event).collect();
    desk.tell(&events).await;
    // Every place is taken by a request that is not answered, and the rest is leased.
    receiver.until_hits(8).await;
    desk.service.kill();
    receiver.open_gate();
    desk.end_leases().await;
    desk.service.start_again();
    desk.until_within(PATIENCE, "webhook_deliveries WHERE status = 'success'", 500).await;
    let hits = receiver.hits();
    let ids: BTreeSet<&str> = hits.iter().map(super::support::Hit::id).collect();
    assert_eq!(ids.len(), 500);
    assert!(hits.len() <= 508, "{} requests for 500 events", hits.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_share_the_work_and_repeat_nothing() {
    let desk = Desk::open().await;
    let _replica = desk.service.replica();
    let receiver = Receiver::answering(200);
    desk.subscribe(&all_to(&receiver));
    for set in 0..10 {
        let events: Vec<Envelope> = (0..100).map(|n| event(set * 100 + n)).collect();
        desk.tell(&events).await;
    }
    desk.until_within(PATIENCE, "webhook_deliveries WHERE status = 'success'", 1000).await;
    assert_eq!(receiver.hits().len(), 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_the_inbox_has_forgotten_is_delivered_no_second_time() {
    let desk = Desk::open().await;
    let receiver = Receiver::answering(200);
    let (id, _) = desk.subscribe(&all_to(&receiver));
    let first = event(1);
    desk.tell(std::slice::from_ref(&first)).await;
    desk.delivery(&id, "success").await;
    desk.execute("DELETE FROM inbox").await;
    // Beside one nobody has seen before.
    desk.tell(&[first, event(2)]).await;
    desk.until("webhook_deliveries WHERE status = 'success'", 2).await;
    desk.until("inbox", 2).await;
    assert_eq!((desk.count("messages").await, desk.count("webhook_deliveries").await), (2, 2));
    assert_eq!(receiver.hits().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn reactivated_subscription_has_a_closed_circuit_that_never_opened() {
    let desk = Desk::open().await;
    let receiver = Receiver::answering(200);
    let (id, _) = desk.subscribe(&all_to(&receiver));
    desk.execute(
        "UPDATE webhook_subscriptions SET is_active = false, consecutive_failures = 50, circuit_state = 'open', \
             circuit_openings = 6, circuit_until = now() + interval '5 minutes'",
    )
    .await;
    let (status, changed) = desk.service.patch(&format!("/webhooks/{id}"), &json!({ "is_active": true }));
    assert_eq!(status, 200, "{changed}");
    let fresh = "webhook_subscriptions WHERE circuit_state = 'closed' AND circuit_openings = 0 \
                 AND circuit_until IS NULL AND consecutive_failures = 0";
    assert_eq!(desk.count(fresh).await, 1);
}
