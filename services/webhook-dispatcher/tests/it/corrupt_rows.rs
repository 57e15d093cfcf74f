//! A stored row that cannot be read stops what depends on it, and nothing else.

use serde_json::json;

use crate::support::{Desk, PATIENCE, Receiver, all_to, event};

impl Desk {
    async fn until_reported(&self, subscription: &str, column: &str) {
        self.until_row_reported("webhook_subscriptions", subscription, column).await;
    }

    async fn until_row_reported(&self, table: &str, id: &str, column: &str) {
        let cause = format!("corrupt_row/{table}/{id}/{column}");
        self.until(&format!("alerts WHERE severity = 'critical' AND cause = '{cause}'"), 1).await;
        let counted = format!("db_corrupt_rows_total{{table=\"{table}\",column=\"{column}\"}}");
        assert!(self.service.metrics().contains(&counted), "{counted}");
    }

    async fn until_delivered(&self, subscription: &str, number: i64) {
        let delivered =
            format!("webhook_deliveries WHERE subscription_id = '{subscription}' AND status = 'success'");
        self.until_within(PATIENCE, &delivered, number).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_wait_while_their_subscription_cannot_be_read() {
    for (column, value, repaired) in [
        ("payload_style", "'xml'", "'standard'"),
        ("retry_count", "-1", "NULL"),
        ("max_concurrency", "-1", "NULL"),
        ("retry_schedule", "'{-1}'", "NULL"),
    ] {
        let desk = Desk::open().await;
        let (stopped, healthy) = (Receiver::answering(200), Receiver::answering(200));
        let (corrupt, _) = desk.subscribe(&all_to(&stopped));
        let (fine, _) = desk.subscribe(&all_to(&healthy));
        for rule in ["style", "retry_count", "concurrency"] {
            desk.execute(&format!(
                "ALTER TABLE webhook_subscriptions DROP CONSTRAINT webhook_subscriptions_{rule}"
            ))
            .await;
        }
        let set = async |value: &str| {
            desk.execute(&format!(
                "UPDATE webhook_subscriptions SET {column} = {value} WHERE id = '{corrupt}'"
            ))
            .await;
        };
        set(value).await;
        desk.tell(&[event(1), event(2)]).await;
        desk.until_delivered(&fine, 2).await;
        desk.until_reported(&corrupt, column).await;
        assert_eq!(stopped.hits().len(), 0, "{column}");
        set(repaired).await;
        desk.until_delivered(&corrupt, 2).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_cannot_be_read_skips_deliveries_of_its_subscription_only() {
    let desk = Desk::open().await;
    let (stopped, healthy) = (Receiver::answering(200), Receiver::answering(200));
    let (corrupt, _) = desk.subscribe(&all_to(&stopped));
    let (fine, _) = desk.subscribe(&all_to(&healthy));
    let filter = "UPDATE webhook_subscriptions SET filter = '{\"path\": 7}'";
    desk.execute(&format!("{filter} WHERE id = '{corrupt}'")).await;
    desk.tell(&[event(1)]).await;
    desk.until_delivered(&fine, 1).await;
    desk.until_reported(&corrupt, "filter").await;
    let skipped = desk.delivery(&corrupt, "skipped").await;
    assert_eq!(skipped["error_message"], "the subscription's filter cannot be read", "{skipped}");
    assert_eq!(stopped.hits().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_delivery_without_payload_delays_no_other() {
    const CORRUPT: &str = "0190c5a4-6f7e-7cc3-98c4-dc0c0c073981";
    const FINE: &str = "0190c5a4-6f7e-7cc3-98c4-dc0c0c073982";
    let desk = Desk::open().await;
    let receiver = Receiver::answering(200);
    let (corrupt, _) = desk.subscribe(&all_to(&receiver));
    let (fine, _) = desk.subscribe(&all_to(&receiver));
    // In one transaction: one claim finds both.
    desk.execute(&format!(
        "WITH message AS (INSERT INTO messages (id, type, subject, body, occurred_at, received_at) \
             VALUES ('{CORRUPT}', 'account.connected', 'x', NULL, now(), now()), \
                 ('{FINE}', 'account.connected', 'x', '{{}}', now(), now())) \
         INSERT INTO webhook_deliveries (id, message_id, subscription_id, event_type, status, next_attempt_at, \
             created_at, updated_at) \
         VALUES (gen_random_uuid(), '{CORRUPT}', '{corrupt}', 'account.connected', 'pending', now(), now(), now()), \
             (gen_random_uuid(), '{FINE}', '{fine}', 'account.connected', 'pending', now(), now(), now())"
    ))
    .await;
    desk.until_delivered(&fine, 1).await;
    desk.until_row_reported("messages", CORRUPT, "body").await;
    desk.execute(&format!("UPDATE messages SET body = '{{}}' WHERE id = '{CORRUPT}'")).await;
    desk.execute("UPDATE webhook_deliveries SET next_attempt_at = now() WHERE status = 'delivering'").await;
    desk.until_delivered(&corrupt, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_whose_circuit_cannot_be_read_delays_no_other() {
    let desk = Desk::open().await;
    let (stopped, healthy) = (Receiver::answering(500), Receiver::answering(200));
    let (corrupt, _) = desk.subscribe(&json!({ "url": stopped.url, "events": ["*"], "timeout_seconds": 30 }));
    let (fine, _) = desk.subscribe(&json!({ "url": healthy.url, "events": ["account.*"] }));
    stopped.close_gate();
    desk.tell(&[event(1)]).await;
    stopped.until_hits(1).await;
    desk.execute("ALTER TABLE webhook_subscriptions DROP CONSTRAINT webhook_subscriptions_circuit").await;
    desk.execute(&format!("UPDATE webhook_subscriptions SET circuit_state = 'ajar' WHERE id = '{corrupt}'"))
        .await;
    stopped.open_gate();
    let failed = desk.delivery(&corrupt, "failed").await;
    let reason = failed["error_message"].as_str().unwrap();
    assert!(reason.ends_with("column circuit_state cannot be read"), "{reason}");
    desk.until_reported(&corrupt, "circuit_state").await;
    desk.tell(&[event(2)]).await;
    desk.until_delivered(&fine, 2).await;
}
