//! The process continues after a panic at each failpoint of a delivery, and every delivery arrives.

use std::collections::BTreeSet;

use serde_json::json;
use testkit::{eventually_within, side_by_side, tell};

use crate::support::{Desk, Hit, PATIENCE, Receiver, event};

const EVENTS: u128 = 20;

const POINTS: [&str; 9] = [
    "consumer.before_apply",
    "consumer.handle",
    "consumer.before_acknowledge",
    "pg.before_commit",
    "pg.after_commit",
    "webhook.before_send",
    "webhook.attempt",
    "webhook.after_send",
    "webhook.record",
];

#[test]
fn a_panic_at_any_failpoint_loses_no_delivery() {
    tell(&side_by_side(&POINTS, panic_at).join("\n"));
}

async fn panic_at(point: &'static str) -> String {
    let mut desk = Desk::open().await;
    let receiver = Receiver::answering(200);
    // Deliveries that a panic leaves leased are claimed again when their short leases end.
    let subscribed = json!({
        "url": receiver.url, "events": ["*"], "timeout_seconds": 5, "retry_schedule": [1, 1, 1, 1],
    });
    let (subscription, _) = desk.subscribe(&subscribed);
    desk.service.kill();
    desk.service.start_to_panic_at(&[point]);
    let events: Vec<_> = (0..EVENTS).map(event).collect();
    desk.tell(&events).await;
    let panicked = format!("failpoint {point}");
    eventually_within(PATIENCE, &panicked, async || desk.service.log().contains(&panicked).then_some(()))
        .await;
    desk.until_within(PATIENCE, "webhook_deliveries WHERE status = 'success'", 20).await;
    let open = "pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    desk.until(open, 0).await;

    let hits = receiver.hits();
    let ids: BTreeSet<&str> = hits.iter().map(Hit::id).collect();
    assert_eq!(ids.len(), 20, "{point}: events that arrived");
    assert_eq!(desk.count("webhook_deliveries").await, 20, "{point}: each event has one delivery");
    let failed = desk.count("delivery_attempts WHERE error_class = 'internal' AND attempt = 1").await;
    assert_eq!(failed, i64::from(point == "webhook.attempt"), "{point}: attempts that count as failed");
    let (status, _) = desk.service.get(&format!("/webhooks/{subscription}"));
    assert_eq!(status, 200, "{point}");
    desk.service.terminate();
    assert_eq!(desk.service.until_ended().code(), Some(0), "{point}: it ends when it is asked to, and well");
    format!("{point:<30} panicked, {} of {EVENTS} arrived, {} repeated", ids.len(), hits.len() - ids.len())
}
