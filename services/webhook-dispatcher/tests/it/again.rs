//! Deliveries set going again, called off, and forgotten.

use std::collections::BTreeSet;

use domain::events::Envelope;
use serde_json::{Value, json};
use testkit::{eventually, eventually_within, tell};

use crate::support::{Desk, Hit, Receiver, all_to, fact};

fn code((status, body): (u16, Value)) -> (u16, String) {
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

impl Desk {
    /// The task's view, once it has ended.
    async fn ended(&self, task: &Value) -> Value {
        let path = format!("/tasks/{}", task["task_id"].as_str().unwrap());
        eventually("the task to end", async || {
            let (_, task) = self.service.get(&path);
            ["SUCCESS", "FAILURE", "CANCELLED"].contains(&task["status"].as_str()?).then_some(task)
        })
        .await
    }
}

/// Every state, what is done with it, and what comes of it.
#[tokio::test(flavor = "multi_thread")]
async fn each_state_allows_what_makes_sense() {
    let desk = Desk::open().await;
    let receiver = Receiver::answering(200);
    let (id, _) = desk.subscribe(&all_to(&receiver));
    desk.tell(&[fact(1)]).await;
    let delivery = desk.delivery(&id, "success").await["id"].as_str().unwrap().to_owned();
    // Far away, so that only what a caller does sets it going.
    let put = async |status: &str| {
        desk.execute(&format!(
            "UPDATE webhook_deliveries SET status = '{status}', attempts = 3, attempts_before = 0, \
             next_attempt_at = CASE WHEN '{status}' IN ('pending', 'delivering') THEN now() + interval '1 day' END"
        ))
        .await;
    };
    for (status, retry, cancel) in [
        ("pending", (202, ""), (200, "")),
        ("delivering", (409, "delivery_state"), (200, "")),
        ("success", (202, ""), (409, "delivery_state")),
        ("failed", (202, ""), (409, "delivery_state")),
        ("skipped", (202, ""), (409, "delivery_state")),
        ("cancelled", (202, ""), (409, "delivery_state")),
    ] {
        put(status).await;
        let (answer, problem) =
            code(desk.service.post(&format!("/deliveries/{delivery}/cancel"), &json!({})));
        assert_eq!((answer, problem.as_str()), cancel, "cancel while {status}");
        put(status).await;
        let before = receiver.hits().len();
        let (answer, problem) = code(desk.service.post(&format!("/deliveries/{delivery}/retry"), &json!({})));
        assert_eq!((answer, problem.as_str()), retry, "retry while {status}");
        if answer == 202 {
            receiver.until_hits(before + 1).await;
            let sent = desk.delivery(&id, "success").await;
            assert_eq!((&sent["attempts"], &sent["trigger"]), (&json!(4), &json!("manual")), "{status}");
        }
    }
    let ids: BTreeSet<String> = receiver.hits().iter().map(|hit| hit.id().to_owned()).collect();
    assert_eq!(ids.len(), 1, "it stays the same event");

    put("failed").await;
    desk.execute("UPDATE messages SET body = NULL").await;
    let retry = format!("/deliveries/{delivery}/retry");
    assert_eq!(code(desk.service.post(&retry, &json!({}))), (409, "payload_expired".to_owned()));
    desk.service.patch(&format!("/webhooks/{id}"), &json!({ "is_active": false }));
    for path in [retry, format!("/webhooks/{id}/test")] {
        assert_eq!(
            code(desk.service.post(&path, &json!({}))),
            (409, "webhook_inactive".to_owned()),
            "{path}"
        );
    }
    let nobodys = "/deliveries/0190c5a4-6f7e-7cc3-98c4-dc0c0c07398a/retry";
    assert_eq!(code(desk.service.post(nobodys, &json!({}))), (404, "delivery_not_found".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_is_recovered_and_what_is_named_replayed() {
    let desk = Desk::open().await;
    let receiver = Receiver::answering(200);
    let (id, _) = desk.subscribe(&all_to(&receiver));
    let (other, _) = desk.subscribe(&json!({ "url": receiver.url, "events": ["*"], "is_active": false }));
    let path = format!("/webhooks/{id}");
    desk.service.patch(&path, &json!({ "is_active": false }));
    let facts: Vec<Envelope> = (0..2_500).map(fact).collect();
    desk.tell(&facts).await;
    desk.until("webhook_deliveries WHERE status = 'skipped'", 5_000).await;
    desk.service.patch(&path, &json!({ "is_active": true }));
    assert_eq!(receiver.hits().len(), 0);

    // Of two at once one is made; what it does is done once.
    let span = json!({ "since": "2020-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z" });
    let (status, task) = desk.service.post(&format!("{path}/recover"), &span);
    assert_eq!(status, 202, "{task}");
    let (_, again) = desk.service.post(&format!("{path}/recover"), &span);
    let ended = desk.ended(&task).await;
    assert_eq!(
        (&ended["status"], &ended["result"]["replayed"]),
        (&json!("SUCCESS"), &json!(2_500)),
        "{ended}"
    );
    assert_eq!(ended["progress"]["current"], 2_500);
    desk.ended(&again).await;
    let arrived = format!("webhook_deliveries WHERE subscription_id = '{id}' AND status = 'success'");
    desk.until(&arrived, 2_500).await;
    assert_eq!(receiver.hits().len(), 2_500);
    let untouched = format!("webhook_deliveries WHERE subscription_id = '{other}' AND status = 'skipped'");
    assert_eq!(desk.count(&untouched).await, 2_500, "another's are left alone");

    // One event again, to one subscription, as often as it is asked for.
    let event = facts[7].id.to_string();
    let (_, task) = desk.service.post(&format!("{path}/replay"), &json!({ "filter": { "message": event } }));
    assert_eq!(desk.ended(&task).await["result"], json!({ "replayed": 1, "expired": 0 }));
    let hits = receiver.until_hits(2_501).await;
    assert_eq!(hits[2_500].id(), event);
    let page = desk
        .service
        .get(&format!("{path}/deliveries?message={event}&type=account.connected&status=success"))
        .1;
    assert_eq!(
        (page["items"].as_array().unwrap().len(), &page["items"][0]["trigger"]),
        (1, &json!("replay"))
    );

    for (wish, pointer) in [
        (json!({ "filter": { "status": "pending" } }), "/filter/status"),
        (
            json!({ "filter": { "from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z" } }),
            "/filter/from",
        ),
        (json!({ "filter": { "colour": 1 } }), "/filter/colour"),
    ] {
        let (status, problem) = desk.service.post(&format!("{path}/replay"), &wish);
        assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!(pointer)), "{wish}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_whose_process_dies_goes_on_and_repeats_no_step() {
    let mut desk = Desk::open().await;
    let receiver = Receiver::answering(200);
    let (id, _) = desk.subscribe(&json!({ "url": receiver.url, "events": ["*"], "is_active": false }));
    let facts: Vec<Envelope> = (0..2_500).map(fact).collect();
    desk.tell(&facts).await;
    desk.until("webhook_deliveries WHERE status = 'skipped'", 2_500).await;
    desk.service.patch(&format!("/webhooks/{id}"), &json!({ "is_active": true }));
    desk.service.kill();
    desk.service.start_to_die_at("webhook.after_replay_step");
    let (status, _) = desk.service.post(&format!("/webhooks/{id}/replay"), &json!({ "filter": {} }));
    assert_eq!(status, 202);
    eventually("the death after a step", async || {
        desk.service.has_died_at("webhook.after_replay_step").then_some(())
    })
    .await;
    // Its silence is not waited for: the heart of a task beats for a minute.
    desk.execute("UPDATE task_history SET heartbeat_at = now() - interval '1 hour' WHERE status = 'running'")
        .await;
    desk.service.start_again();
    desk.until("task_history WHERE kind = 'replay_deliveries' AND status = 'succeeded'", 1).await;
    desk.until("webhook_deliveries WHERE status = 'success' AND trigger = 'replay'", 2_500).await;
    let hits = receiver.hits();
    let ids: BTreeSet<&str> = hits.iter().map(Hit::id).collect();
    assert_eq!(ids.len(), 2_500);
    // What was under way when it died may come twice, a step that was done may not.
    assert!(hits.len() <= 2_500 + 64, "{} requests", hits.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_subscription_answers_at_once_whatever_lies_behind_it() {
    let desk = Desk::open().await;
    let (id, _) = desk.subscribe(&json!({ "url": "http://127.0.0.1:9/hooks", "events": ["*"] }));
    many(&desk, &id, "pending", 100_000).await;
    let began = std::time::Instant::now();
    assert_eq!(desk.service.delete(&format!("/webhooks/{id}")).0, 204);
    let answered = began.elapsed();
    assert!(answered.as_secs() < 5, "{answered:?}");
    desk.until("webhook_deliveries WHERE status = 'cancelled'", 100_000).await;
    tell(&format!("100000 deliveries: answered in {answered:?}, called off within {:?}", began.elapsed()));
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

/// On a machine that does much else.
const RETENTION: std::time::Duration = std::time::Duration::from_mins(3);

#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_goes_but_not_what_is_pending_and_totals_stay() {
    let desk = Desk::open().await;
    let receiver = Receiver::answering(200);
    let (id, _) = desk.subscribe(&all_to(&receiver));
    desk.tell(&[fact(1)]).await;
    desk.delivery(&id, "success").await;
    many(&desk, &id, "success", 50_000).await;
    let waits = "(SELECT id FROM webhook_deliveries WHERE event_type = 'order.created' ORDER BY id LIMIT 10)";
    desk.execute(&format!(
        "UPDATE webhook_deliveries SET status = 'pending', next_attempt_at = now() + interval '1 day' WHERE id IN {waits}"
    ))
    .await;
    let began = std::time::Instant::now();
    assert_eq!(desk.service.post("/schedules/apply_retention/run", &json!({})).0, 202);
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
    assert_eq!(desk.service.post("/schedules/apply_retention/run", &json!({})).0, 202);
    desk.until("messages WHERE body IS NULL", 1).await;
    desk.execute("UPDATE webhook_deliveries SET status = 'failed' WHERE event_type = 'account.connected'")
        .await;
    let wish = json!({ "filter": { "status": "failed" } });
    let (_, task) = desk.service.post(&format!("/webhooks/{id}/replay"), &wish);
    assert_eq!(desk.ended(&task).await["result"], json!({ "replayed": 0, "expired": 1 }));
    let skipped = desk.delivery(&id, "skipped").await;
    assert_eq!(skipped["error_message"], "the payload is kept no longer");
}
