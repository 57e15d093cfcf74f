//! What `/metrics` tells an operator of deliveries.

use std::time::Duration;

use serde_json::json;
use testkit::eventually_within;

use crate::support::{Desk, Receiver, all_to, event};

/// What waits is measured every ten seconds.
const MEASURED: Duration = Duration::from_mins(1);

/// A metric's value as it is written, `0` where it is not there.
fn value(desk: &Desk, series: &str) -> String {
    let text = desk.service.metrics();
    let found = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.unwrap_or("0").to_owned()
}

async fn until(desk: &Desk, series: &str, wanted: i64) {
    eventually_within(MEASURED, &format!("{series} {wanted}"), async || {
        (value(desk, series) == wanted.to_string()).then_some(())
    })
    .await;
}

async fn until_at_least(desk: &Desk, series: &str, least: f64) {
    eventually_within(MEASURED, &format!("{series} of {least}"), async || {
        let found: f64 = value(desk, series).parse().unwrap();
        (found >= least).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_latency_backlog_and_circuits_are_told() {
    let desk = Desk::open().await;
    let (fine, failing, gone, busy) = (
        Receiver::answering(200),
        Receiver::answering(500),
        Receiver::answering(410),
        Receiver::answering(503),
    );
    let (id, _) = desk.subscribe(&all_to(&fine));
    let (far, _) = desk.subscribe(&json!({ "url": failing.url, "events": ["*"], "retry_schedule": [3600] }));
    desk.subscribe(&json!({ "url": failing.url, "events": ["account.*"], "retry_count": 0 }));
    desk.subscribe(&all_to(&gone));
    desk.subscribe(&json!({ "url": busy.url, "events": ["account.*"], "retry_schedule": [3600] }));
    desk.tell(&[event(1)]).await;
    let delivered = desk.delivery(&id, "success").await;
    // Beside the event: two deliveries that are given up, and a subscription that is disabled.
    desk.until("messages", 4).await;
    desk.until("webhook_deliveries WHERE attempts = 0 AND status IN ('pending', 'delivering')", 0).await;
    for (outcome, least) in [("success", 1.0), ("retried", 2.0), ("failed", 1.0), ("gone", 1.0)] {
        until_at_least(&desk, &format!("webhook_attempts_total{{outcome=\"{outcome}\"}}"), least).await;
    }

    // From being taken in to the answer; what somebody sets going again is not how late an event comes.
    let arrived = desk.count("webhook_deliveries WHERE status = 'success'").await;
    let told = |series: &str| value(&desk, series);
    assert_eq!(told("webhook_end_to_end_seconds_count"), arrived.to_string());
    assert_eq!(told("webhook_end_to_end_seconds_bucket{le=\"10\"}"), arrived.to_string());
    desk.execute("UPDATE webhook_deliveries SET created_at = created_at - interval '1 day'").await;
    desk.service.post(&format!("/deliveries/{}/retry", delivered["id"].as_str().unwrap()), &json!({}));
    desk.until("webhook_deliveries WHERE status = 'success' AND trigger = 'manual'", 1).await;
    assert_eq!(told("webhook_end_to_end_seconds_count"), arrived.to_string());

    desk.execute(&format!(
        "UPDATE webhook_deliveries SET status = 'delivering', next_attempt_at = now() + interval '1 hour' \
         WHERE subscription_id = '{far}'"
    ))
    .await;
    let waiting = desk.count(&format!("webhook_deliveries WHERE subscription_id = '{far}'")).await;
    let open = desk.count("webhook_deliveries WHERE status IN ('pending', 'delivering')").await;
    until(&desk, "webhook_backlog_deliveries", open).await;
    until(&desk, "webhook_backlog_endpoints", 2).await;
    until(&desk, "webhook_backlog_by_rank{rank=\"1\"}", waiting).await;
    until(&desk, "webhook_backlog_by_rank{rank=\"2\"}", 1).await;
    for (circuit, count) in [("closed", 3), ("open", 1), ("off", 1)] {
        until(&desk, &format!("webhook_subscriptions{{circuit=\"{circuit}\"}}"), count).await;
    }
    // What is due and nobody takes, for as long as its circuit is open.
    desk.execute("UPDATE webhook_subscriptions SET circuit_until = now() + interval '1 hour' WHERE circuit_state = 'open'")
        .await;
    desk.execute(
        "UPDATE webhook_deliveries SET next_attempt_at = now() - interval '2 hours' WHERE status = 'pending'",
    )
    .await;
    until_at_least(&desk, "webhook_oldest_due_seconds", 7200.0).await;
}
