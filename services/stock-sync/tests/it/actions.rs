//! What people may do about an operation in each state, and when allegro-backup is asked again.

use serde_json::{Value, json};
use testkit::eventually;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::support::{Desk, order, ready};

fn id_of(desk: &Desk, order: &str, kind: &str) -> String {
    let found = desk.operations(order).into_iter().find(|it| it["operation_type"] == kind).unwrap();
    found["id"].as_str().unwrap().to_owned()
}

/// What was done about an order's deduction, each with how long it took where something was asked.
fn actions(desk: &Desk, order: &str) -> Vec<String> {
    let (_, shown) = desk.service.get(&format!("/stock-sync/operations/{}", id_of(desk, order, "deduction")));
    let log = shown["log"].as_array().unwrap().iter();
    log.map(|it| {
        let action = it["action"].as_str().unwrap().to_owned();
        let is_timed = it["execution_time_ms"].is_i64();
        assert!(is_timed || action == "error", "{action} tells how long it took");
        action
    })
    .collect()
}

fn act(desk: &Desk, action: &str, id: &str) -> (u16, Value) {
    match action {
        "retry" => desk.service.post(&format!("/stock-sync/retry/{id}"), &json!({})),
        _ => desk.service.delete(&format!("/stock-sync/cancel/{id}")),
    }
}

/// Brings an order's operation into a state, with its unit taken unless `untaken`.
async fn bring(desk: &Desk, order_id: &str, state: &str) {
    let (fails, reached) = match state {
        "pending" | "processing" => (Some(500), "pending"),
        "failed" => (Some(404), "failed"),
        "untaken" => (None, "failed"),
        _ => (None, "completed"),
    };
    desk.backup.fail_with(fails);
    let units = if state == "untaken" { 1_000 } else { 1 };
    desk.tell(&[ready(order(order_id, &[("wosk", units)]))]).await;
    let is_there = async || {
        let found = desk.operations(order_id).pop()?;
        let tried = reached != "pending" || found["retry_count"] == 1;
        (tried && found["status"] == reached).then_some(())
    };
    eventually(&format!("{order_id} to be brought into {state}"), is_there).await;
    if state == "processing" {
        let claim = format!(
            "UPDATE pending_stock_operations SET status = 'processing', attempt = attempt + 1, \
             lease_until = now() + interval '1 hour' WHERE order_id = '{order_id}'"
        );
        assert_eq!(desk.execute(&claim).await, 1);
    }
    if state == "cancelled" {
        // Completed ones stay; this one is called off while it waits.
        desk.execute(&format!(
            "UPDATE pending_stock_operations SET status = 'pending' WHERE order_id = '{order_id}'"
        ))
        .await;
        assert_eq!(act(desk, "cancel", &id_of(desk, order_id, "deduction")).0, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_action_in_each_state_has_its_answer_and_moves_each_unit_once() {
    // state, action, answer, and whether the unit is on the shelf afterwards
    let table = [
        ("pending", "retry", 200, false),
        ("processing", "retry", 400, false),
        ("completed", "retry", 400, false),
        ("failed", "retry", 200, false),
        ("untaken", "retry", 200, true),
        ("cancelled", "retry", 400, true),
        ("pending", "cancel", 200, true),
        ("processing", "cancel", 200, true),
        ("completed", "cancel", 400, false),
        ("failed", "cancel", 200, true),
        ("untaken", "cancel", 200, true),
        ("cancelled", "cancel", 400, true),
    ];
    let desk = Desk::open().await;
    desk.put("wosk", 100);
    for (state, action, expected, is_back) in table {
        let (order_id, before) = (format!("{state}-{action}"), desk.on_hand("wosk"));
        bring(&desk, &order_id, state).await;
        desk.backup.fail_with(None);
        let id = id_of(&desk, &order_id, "deduction");
        let (status, body) = act(&desk, action, &id);
        assert_eq!(status, expected, "{action} of {state}: {body}");
        if expected == 200 {
            assert_eq!(body["operation_id"], json!(id));
        } else {
            assert_eq!(body["code"], "operation_state");
        }
        assert_eq!(desk.on_hand("wosk"), if is_back { before } else { before - 1 }, "{action} of {state}");
        // Again: nothing moves twice.
        act(&desk, action, &id);
        assert_eq!(
            desk.on_hand("wosk"),
            if is_back { before } else { before - 1 },
            "{action} of {state} again"
        );
    }
    let refund = id_of(&desk, "failed-cancel", "refund");
    assert_eq!(act(&desk, "cancel", &refund).0, 400, "what comes back cannot be called off");
    desk.until("pending-retry", &[("deduction", "completed")]).await;
    desk.until("pending-cancel", &[("deduction", "cancelled"), ("refund", "completed")]).await;
    assert_eq!(desk.backup.marks("pending-cancel"), [false]);
    let unknown = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398a";
    for action in ["retry", "cancel"] {
        let (status, problem) = act(&desk, action, unknown);
        assert_eq!((status, &problem["code"]), (404, &json!("operation_not_found")));
    }
    assert_eq!(
        actions(&desk, "failed-cancel"),
        ["created", "deducted", "sync_failed", "failed", "rolled_back"]
    );

    let theirs = desk.service.token_of("somebody", "stock-sync:read stock-sync:write");
    let (status, _) = desk.service.call(
        "DELETE",
        &format!("/api/v1/stock-sync/cancel/{refund}"),
        Some(&theirs),
        "",
        &json!({}),
    );
    assert_eq!(status, 404, "another user's operation is not there");
    let (_, page) = desk.service.call("GET", "/api/v1/stock-sync/pending", Some(&theirs), "", &json!({}));
    assert_eq!(page["total"], 0);
    let (status, problem) = desk.service.call("GET", "/api/v1/stock", Some(&theirs), "", &json!({}));
    assert_eq!((status, &problem["code"]), (403, &json!("not_of_one_user")));
}

#[tokio::test(flavor = "multi_thread")]
async fn delays_double_and_after_the_last_try_people_are_told() {
    let desk = Desk::open_with(&[("STOCK_SYNC_RETRY_JITTER", "false")]).await;
    desk.put("wosk", 1);
    desk.backup.fail_with(Some(500));
    desk.tell(&[ready(order("sold", &[("wosk", 1)]))]).await;
    for (tries, seconds) in [(1, 60), (2, 120), (3, 240), (4, 480)] {
        let tried = async || {
            let found = desk.operations("sold").pop()?;
            (found["retry_count"] == tries && found["status"] == "pending").then_some(found)
        };
        let found = eventually(&format!("try {tries}"), tried).await;
        let moment = |name: &str| OffsetDateTime::parse(found[name].as_str().unwrap(), &Rfc3339).unwrap();
        assert_eq!(
            (moment("next_retry_at") - moment("updated_at")).whole_seconds(),
            seconds,
            "after try {tries}"
        );
        // The time comes.
        desk.execute("UPDATE pending_stock_operations SET next_retry_at = now()").await;
    }
    desk.until("sold", &[("deduction", "failed")]).await;
    let failed = desk.operations("sold").remove(0);
    assert_eq!((&failed["retry_count"], &failed["next_retry_at"]), (&json!(5), &Value::Null));
    assert_eq!(desk.count("stock_synchronization_logs WHERE action = 'retry_failed'").await, 4);
    assert_eq!(desk.count("stock_synchronization_logs WHERE action = 'max_retries'").await, 1);
    assert_eq!(
        desk.count("stock_synchronization_logs WHERE action = 'retry'").await,
        4,
        "each but the first"
    );
    assert_eq!(desk.count("alerts WHERE kind = 'operations_given_up' AND cleared_at IS NULL").await, 1);
    assert_eq!(desk.on_hand("wosk"), 0, "taken once, however often it was tried");

    desk.backup.fail_with(None);
    assert_eq!(act(&desk, "retry", failed["id"].as_str().unwrap()).0, 200);
    desk.until("sold", &[("deduction", "completed")]).await;
    assert_eq!(
        desk.count("alerts WHERE cleared_at IS NULL AND severity <> 'info'").await,
        0,
        "what is tried again is not wrong any more"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_process_was_telling_is_told_when_its_lease_is_over() {
    let desk = Desk::open().await;
    desk.put("wosk", 1);
    desk.backup.fail_with(Some(500));
    bring(&desk, "left", "processing").await;
    desk.backup.fail_with(None);
    desk.execute("UPDATE pending_stock_operations SET lease_until = now() + interval '1 second'").await;
    desk.until("left", &[("deduction", "completed")]).await;
    assert_eq!((desk.backup.marks("left"), desk.on_hand("wosk")), (vec![true], 0));
    assert_eq!(
        actions(&desk, "left"),
        ["created", "deducted", "sync_failed", "retry_failed", "error", "retry", "sync_success", "completed"]
    );
}
