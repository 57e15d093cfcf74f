//! Tasks whose stored payload cannot be read.

use testkit::eventually;

use crate::support::Desk;

#[tokio::test(flavor = "multi_thread")]
async fn a_task_with_an_unreadable_payload_fails_and_names_the_field() {
    let desk = Desk::open().await;
    desk.execute(
        "INSERT INTO task_history (id, kind, queue, payload, max_attempts, run_at, created_at, updated_at) \
         VALUES (gen_random_uuid(), 'reconcile', 'unreadable', '{\"fix\": \"yes\"}', 5, now(), now(), now())",
    )
    .await;
    let ended = "task_history WHERE queue = 'unreadable' AND status IN ('failed', 'succeeded')";
    eventually("the task to end", async || (desk.count(ended).await == 1).then_some(())).await;
    let named = "task_history WHERE queue = 'unreadable' AND status = 'failed' AND attempt = 1 \
         AND error LIKE '%`fix`%'";
    assert_eq!(desk.count(named).await, 1);
}
