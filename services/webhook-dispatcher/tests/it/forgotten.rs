//! What is kept no longer, and what lies behind a subscription that is removed.

use std::time::{Duration, Instant};

use diesel_async::SimpleAsyncConnection;
use serde_json::json;
use testkit::{eventually_within, tell};

use crate::support::{Desk, Receiver, all_to, event};

/// For many rows, on a machine that does much else.
const RETENTION: Duration = Duration::from_mins(3);

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_subscription_answers_at_once_whatever_lies_behind_it() {
    let desk = Desk::open().await;
    let (id, _) = desk.subscribe(&json!({ "url": "http://127.0.0.1:9/hooks", "events": ["*"] }));
    many(&desk, &id, "pending", 100_000).await;
    // One of them is held here: there would be no answer if it were called off before.
    let mut held = desk.pool.begin().await.unwrap();
    held.batch_execute("SELECT 1 FROM webhook_deliveries LIMIT 1 FOR UPDATE").await.unwrap();
    let began = Instant::now();
    assert_eq!(desk.service.delete(&format!("/webhooks/{id}")).0, 204);
    let answered = began.elapsed();
    assert!(desk.count("webhook_deliveries WHERE status = 'cancelled'").await < 100_000, "{answered:?}");
    held.rollback().await;
    desk.until_within(RETENTION, "webhook_deliveries WHERE status = 'cancelled'", 100_000).await;
    tell(&format!("100000 deliveries: answered in {answered:?}, called off within {:?}", began.elapsed()));
}

fn forget(desk: &Desk) {
    assert_eq!(desk.service.post("/schedules/apply_retention/run", &json!({})).0, 202);
}

/// Deliveries a hundred days old that are due far from now.
async fn many(desk: &Desk, id: &str, status: &str, count: i32) {
    desk.execute(&format!(
        "INSERT INTO messages (id, type, subject, body, occurred_at, received_at) \
         SELECT md5(n::text)::uuid, 'order.created', n::text, '{{}}', now() - interval '100 days', \
             now() - interval '100 days' FROM generate_series(1, {count}) n"
    ))
    .await;
    desk.execute(&format!(
        "INSERT INTO webhook_deliveries (id, message_id, subscription_id, event_type, status, next_attempt_at, \
             created_at, updated_at) \
         SELECT md5('d' || n)::uuid, md5(n::text)::uuid, '{id}', 'order.created', '{status}', \
             CASE WHEN '{status}' = 'pending' THEN now() + interval '1 day' END, now() - interval '100 days', \
             now() - interval '100 days' FROM generate_series(1, {count}) n"
    ))
    .await;
    desk.execute(
        "INSERT INTO delivery_attempts (delivery_id, attempt, attempted_at, duration_ms) \
         SELECT id, 1, created_at, 5 FROM webhook_deliveries WHERE event_type = 'order.created'",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_goes_but_not_what_is_pending_and_totals_stay() {
    let desk = Desk::open().await;
    let receiver = Receiver::answering(200);
    let (id, _) = desk.subscribe(&all_to(&receiver));
    desk.tell(&[event(1)]).await;
    desk.delivery(&id, "success").await;
    many(&desk, &id, "success", 50_000).await;
    let waits = "(SELECT id FROM webhook_deliveries WHERE event_type = 'order.created' ORDER BY id LIMIT 10)";
    desk.execute(&format!(
        "UPDATE webhook_deliveries SET status = 'pending', next_attempt_at = now() + interval '1 day' WHERE id IN {waits}"
    ))
    .await;
    let began = Instant::now();
    forget(&desk);
    eventually_within(RETENTION, "what is old to go", async || {
        (desk.count("webhook_deliveries").await == 11).then_some(())
    })
    .await;
    tell(&format!("49990 deliveries with attempts and messages deleted in {:?}", began.elapsed()));
    desk.until("messages", 11).await;
    desk.until("delivery_attempts", 11).await;
    assert_eq!(desk.count("messages WHERE body IS NULL").await, 0, "what is pending keeps its payload");
    let (_, stats) = desk.service.get(&format!("/webhooks/{id}/stats"));
    assert_eq!(stats["ever"], json!({ "pending": 10, "success": 49_991 }));
    assert_eq!(stats["lately"], json!({ "success": 1 }));

    // Payloads go before deliveries do; what cannot be sent again says so.
    desk.execute(
        "UPDATE messages SET received_at = now() - interval '31 days' WHERE type = 'account.connected'",
    )
    .await;
    forget(&desk);
    desk.until("messages WHERE body IS NULL", 1).await;
    desk.execute("UPDATE webhook_deliveries SET status = 'failed' WHERE event_type = 'account.connected'")
        .await;
    let wish = json!({ "filter": { "status": "failed" } });
    let (_, task) = desk.service.post(&format!("/webhooks/{id}/replay"), &wish);
    assert_eq!(desk.ended(&task).await["result"], json!({ "replayed": 0, "expired": 1 }));
    let skipped = desk.delivery(&id, "skipped").await;
    assert_eq!(skipped["error_message"], "the payload is kept no longer");
}

/// A delivery that was called off has ended: it goes as the others do, and keeps no payload.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_called_off_goes_with_its_message_and_is_counted() {
    let desk = Desk::open().await;
    let receiver = Receiver::answering(200);
    receiver.close_gate();
    let (id, _) = desk.subscribe(&all_to(&receiver));
    let (paused, _) = desk.subscribe(&json!({ "url": receiver.url, "events": ["*"], "is_active": false }));
    desk.tell(&[event(1)]).await;
    receiver.until_hits(1).await;
    // Called off while it is under way: its answer comes when everything about it is gone.
    let delivery = desk.delivery(&id, "delivering").await["id"].as_str().unwrap().to_owned();
    assert_eq!(desk.service.post(&format!("/deliveries/{delivery}/cancel"), &json!({})).0, 200);
    desk.delivery(&paused, "skipped").await;
    desk.execute("UPDATE messages SET received_at = now() - interval '31 days'").await;
    forget(&desk);
    desk.until("messages WHERE body IS NULL", 1).await;
    for path in ["retry", "cancel"] {
        let (status, problem) = desk.service.post(&format!("/deliveries/{delivery}/{path}"), &json!({}));
        let code = if path == "retry" { "payload_expired" } else { "delivery_state" };
        assert_eq!((status, &problem["code"]), (409, &json!(code)));
    }

    // Of two deliveries of one message the younger keeps it.
    let older = "created_at = now() - interval '91 days', updated_at = now() - interval '91 days'";
    desk.execute("UPDATE messages SET received_at = now() - interval '91 days'").await;
    desk.execute(&format!("UPDATE webhook_deliveries SET {older} WHERE id = '{delivery}'")).await;
    forget(&desk);
    desk.until("webhook_deliveries", 1).await;
    assert_eq!(desk.count("messages").await, 1);
    desk.execute(&format!("UPDATE webhook_deliveries SET {older}")).await;
    forget(&desk);
    desk.until("webhook_deliveries", 0).await;
    assert_eq!(desk.count("messages").await, 0);
    assert_eq!(desk.service.post(&format!("/deliveries/{delivery}/retry"), &json!({})).0, 404);

    // What the receiver answers now belongs to nothing any more, and disturbs nothing.
    receiver.open_gate();
    desk.tell(&[event(2)]).await;
    desk.delivery(&id, "success").await;
    assert_eq!(desk.count("delivery_attempts").await, 1);
    let (_, stats) = desk.service.get(&format!("/webhooks/{id}/stats"));
    assert_eq!(stats["ever"], json!({ "cancelled": 1, "success": 1 }));
}
