//! Deliveries set going again, and called off.

use std::collections::BTreeSet;

use diesel_async::SimpleAsyncConnection;
use domain::events::Envelope;
use serde_json::{Value, json};
use testkit::{eventually, eventually_within};

use crate::support::{Desk, Hit, PATIENCE, Receiver, all_to, event};

fn code((status, body): (u16, Value)) -> (u16, String) {
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

impl Desk {
    /// The task's view, once it has ended.
    pub(crate) async fn ended(&self, task: &Value) -> Value {
        let path = format!("/tasks/{}", task["task_id"].as_str().unwrap());
        eventually_within(PATIENCE, "the task to end", async || {
            let (_, task) = self.service.get(&path);
            ["SUCCESS", "FAILURE", "CANCELLED"].contains(&task["status"].as_str()?).then_some(task)
        })
        .await
    }
}

/// Sessions of this database that wait for a lock.
const LOCK_WAITS: &str = "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
/// Locks of transactions that write deliveries of this database. A cloned database has the same table ids as its template.
const WRITERS: &str = "pg_locks WHERE relation = 'webhook_deliveries'::regclass AND mode = 'RowShareLock' \
     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// Every state, what is done with it, and what comes of it.
#[tokio::test(flavor = "multi_thread")]
async fn each_state_allows_what_makes_sense() {
    let desk = Desk::open().await;
    let receiver = Receiver::answering(200);
    let (id, _) = desk.subscribe(&all_to(&receiver));
    desk.tell(&[event(1)]).await;
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
    let events: Vec<Envelope> = (0..2_500).map(event).collect();
    desk.tell(&events).await;
    desk.until_within(PATIENCE, "webhook_deliveries WHERE status = 'skipped'", 5_000).await;
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
    desk.until_within(PATIENCE, &arrived, 2_500).await;
    assert_eq!(receiver.hits().len(), 2_500);
    let untouched = format!("webhook_deliveries WHERE subscription_id = '{other}' AND status = 'skipped'");
    assert_eq!(desk.count(&untouched).await, 2_500, "another's are left alone");

    // One event again, to one subscription, as often as it is asked for.
    let event = events[7].id.to_string();
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
    let id = missed(&desk, &receiver, 2_500).await;
    desk.service.kill();
    desk.service.start_to_die_at("webhook.after_replay_step");
    let (status, _) = desk.service.post(&format!("/webhooks/{id}/replay"), &json!({ "filter": {} }));
    assert_eq!(status, 202);
    eventually_within(PATIENCE, "the death after a step", async || {
        desk.service.has_died_at("webhook.after_replay_step").then_some(())
    })
    .await;
    // Neither its silence nor its leases are waited for: the heart of a task beats for a minute.
    desk.execute("UPDATE task_history SET heartbeat_at = now() - interval '1 hour' WHERE status = 'running'")
        .await;
    desk.end_leases().await;
    desk.service.start_again();
    desk.until_within(PATIENCE, "task_history WHERE kind = 'replay_deliveries' AND status = 'succeeded'", 1)
        .await;
    desk.until_within(PATIENCE, "webhook_deliveries WHERE status = 'success' AND trigger = 'replay'", 2_500)
        .await;
    let hits = receiver.hits();
    let ids: BTreeSet<&str> = hits.iter().map(Hit::id).collect();
    assert_eq!(ids.len(), 2_500);
    // What was under way when it died may come twice, a step that was done may not.
    assert!(hits.len() <= 2_500 + 64, "{} requests", hits.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_called_off_in_the_middle_sends_no_more_and_goes_on_where_it_stopped() {
    let desk = Desk::open().await;
    let receiver = Receiver::answering(200);
    let id = missed(&desk, &receiver, 2_500).await;
    // The second step waits for its last row, which is held here.
    let mut held = desk.pool.begin().await.unwrap();
    held.batch_execute(
        "SELECT 1 FROM webhook_deliveries ORDER BY created_at DESC, id DESC LIMIT 1 FOR UPDATE",
    )
    .await
    .unwrap();
    let (_, task) = desk.service.post(&format!("/webhooks/{id}/replay"), &json!({ "filter": {} }));
    let path = format!("/tasks/{}", task["task_id"].as_str().unwrap());
    eventually("the second step", async || {
        let (_, task) = desk.service.get(&path);
        let waiting = desk.count(LOCK_WAITS).await;
        (task["progress"]["current"] == 2_000 && waiting > 0).then_some(())
    })
    .await;
    let (status, task) = desk.service.post(&format!("{path}/cancel"), &json!({}));
    assert_eq!((status, &task["status"]), (200, &json!("CANCELLED")), "{task}");
    held.rollback().await;
    // Whoever writes rows of a table holds a lock on it until its transaction has ended.
    desk.until(WRITERS, 0).await;
    desk.until_within(PATIENCE, "webhook_deliveries WHERE status = 'success'", 2_000).await;
    assert_eq!(desk.count("webhook_deliveries WHERE status = 'skipped'").await, 500);
    assert_eq!(receiver.hits().len(), 2_000);
    let (_, stopped) = desk.service.get(&path);
    assert_eq!((&stopped["status"], &stopped["progress"]["current"]), (&json!("CANCELLED"), &json!(2_000)));

    assert_eq!(desk.service.post(&format!("{path}/retry"), &json!({})).0, 200);
    let ended = desk.ended(&task).await;
    assert_eq!(ended["result"], json!({ "replayed": 2_500, "expired": 0 }), "{ended}");
    desk.until_within(PATIENCE, "webhook_deliveries WHERE status = 'success' AND attempts = 1", 2_500).await;
    assert_eq!(receiver.hits().len(), 2_500);
}

/// A subscription that is active again, after so many events it was not told of.
async fn missed(desk: &Desk, receiver: &Receiver, count: u128) -> String {
    // No answer comes so late that it is asked for again.
    let (id, _) = desk.subscribe(
        &json!({ "url": receiver.url, "events": ["*"], "is_active": false, "timeout_seconds": 30 }),
    );
    let events: Vec<Envelope> = (0..count).map(event).collect();
    desk.tell(&events).await;
    let all = events.len().try_into().unwrap();
    desk.until_within(PATIENCE, "webhook_deliveries WHERE status = 'skipped'", all).await;
    desk.service.patch(&format!("/webhooks/{id}"), &json!({ "is_active": true }));
    id
}
