//! Replicas that are stopped or killed.

use std::collections::BTreeSet;

use domain::events::Envelope;
use serde_json::json;
use testkit::eventually;

use crate::support::{Desk, LOCAL, PATIENCE, Receiver, event};

/// Longer than the test waits for any other condition than the end of a lease.
const TIMEOUT_SECONDS: u32 = 30;

#[tokio::test(flavor = "multi_thread")]
async fn leased_deliveries_are_released_at_the_stop() {
    let mut desk = Desk::open().await;
    let receiver = Receiver::answering(200);
    receiver.close_gate();
    desk.subscribe(&json!({ "url": receiver.url, "events": ["*"], "timeout_seconds": TIMEOUT_SECONDS }));
    desk.tell(&(0..100).map(event).collect::<Vec<Envelope>>()).await;
    // Eight requests are in flight, and the other deliveries are leased.
    receiver.until_hits(8).await;
    desk.until("webhook_deliveries WHERE status = 'delivering'", 100).await;
    desk.service.terminate();
    // Any other replica may claim them now.
    desk.until(
        "webhook_deliveries WHERE status = 'pending' AND next_attempt_at <= now() AND attempts = 0",
        92,
    )
    .await;
    assert_eq!(receiver.hits().len(), 8, "nothing is sent after the stop");
    receiver.open_gate();
    assert!(desk.service.until_ended().success());
    desk.until("webhook_deliveries WHERE status = 'success'", 8).await;

    desk.service.start_again();
    desk.until_within(PATIENCE, "webhook_deliveries WHERE status = 'success' AND attempts = 1", 100).await;
    assert_eq!(receiver.hits().len(), 100, "nothing is repeated");
}

#[tokio::test(flavor = "multi_thread")]
async fn rolling_restart_repeats_nothing() {
    let mut desk = Desk::open().await;
    let mut replica = desk.service.replica();
    let receiver = Receiver::answering(200);
    desk.subscribe(&json!({ "url": receiver.url, "events": ["*"], "timeout_seconds": TIMEOUT_SECONDS }));
    let mut told = 0;
    for round in 0..4 {
        let before = receiver.hits().len();
        for _ in 0..10 {
            let events: Vec<Envelope> = (0..50).map(|_| event(1)).collect();
            desk.tell(&events).await;
            told += 50;
        }
        receiver.until_hits(before + 1).await;
        let stopped = if round % 2 == 0 { &mut desk.service } else { &mut replica };
        stopped.terminate();
        assert!(stopped.until_ended().success());
        stopped.start_again();
    }
    desk.until_within(PATIENCE, "webhook_deliveries WHERE status = 'success'", told).await;
    assert_eq!(i64::try_from(receiver.hits().len()).unwrap(), told, "nothing is repeated");
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_repeats_no_more_than_the_window() {
    let mut desk = Desk::open_with(&[&LOCAL[..], &[("WEBHOOK_MAX_WINDOW", "3")]].concat()).await;
    let receiver = Receiver::answering(200);
    desk.subscribe(&json!({ "url": receiver.url, "events": ["*"], "timeout_seconds": TIMEOUT_SECONDS }));
    desk.tell(&(0..20).map(event).collect::<Vec<Envelope>>()).await;
    desk.until("webhook_deliveries WHERE status = 'success'", 20).await;
    receiver.close_gate();
    desk.tell(&(0..100).map(event).collect::<Vec<Envelope>>()).await;
    desk.until("webhook_deliveries", 120).await;
    receiver.until_hits(23).await;
    let window =
        eventually("the window to be measured", async || desk.metric("webhook_window_deliveries")).await;
    assert_eq!(window, "3");
    desk.service.kill();
    receiver.open_gate();
    desk.end_leases().await;
    desk.service.start_again();
    desk.until_within(PATIENCE, "webhook_deliveries WHERE status = 'success'", 120).await;
    let hits = receiver.hits();
    let ids: BTreeSet<&str> = hits.iter().map(crate::support::Hit::id).collect();
    assert_eq!((ids.len(), hits.len()), (120, 123), "only requests in flight are repeated");
}
