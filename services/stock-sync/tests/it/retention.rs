//! What is old goes, but never what is alive, and never what has moved.

use testkit::eventually;

use crate::support::{Desk, cancelled, order, ready};

/// The log of an order's operations.
fn logs_of(order: &str) -> String {
    format!(
        "stock_synchronization_logs JOIN pending_stock_operations AS o ON o.id = operation_id WHERE o.order_id = '{order}'"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_that_are_over_go_with_their_logs_and_an_order_of_then_still_comes_back() {
    let mut desk = Desk::open().await;
    desk.put("wosk", 10);
    desk.tell(&[ready(order("old", &[("wosk", 2)])), ready(order("young", &[("wosk", 1)]))]).await;
    desk.until("old", &[("deduction", "completed")]).await;
    desk.until("young", &[("deduction", "completed")]).await;
    desk.backup.fail_with(Some(500));
    desk.tell(&[ready(order("alive", &[("wosk", 1)])), ready(order("short", &[("wosk", 99)]))]).await;
    desk.until("short", &[("deduction", "failed")]).await;
    let tried = async || desk.operations("alive").pop().filter(|it| it["retry_count"] == 1).map(drop);
    eventually("a first try", tried).await;
    // The same state, two months later.
    desk.execute("UPDATE pending_stock_operations SET updated_at = now() - interval '60 days' WHERE order_id <> 'young'").await;
    desk.execute("UPDATE stock_synchronization_logs SET timestamp = now() - interval '60 days'").await;
    // What is old is looked for at the start.
    desk.service.kill();
    desk.service.start_again();
    let gone = async || desk.operations("old").is_empty().then_some(());
    eventually("the old operation to go", gone).await;
    for kept in ["young", "alive", "short"] {
        assert!(desk.count(&logs_of(kept)).await >= 2, "the log of {kept}");
    }
    assert_eq!(desk.count("stock_movements WHERE order_id = 'old'").await, 1);

    // Half a year later the failed one goes too; what is under way stays with its log, however old it is.
    desk.execute("UPDATE pending_stock_operations SET updated_at = now() - interval '180 days' WHERE order_id <> 'young'").await;
    desk.execute("UPDATE stock_synchronization_logs SET timestamp = now() - interval '180 days'").await;
    desk.service.kill();
    desk.service.start_again();
    let gone = async || desk.operations("short").is_empty().then_some(());
    eventually("the failed operation to go", gone).await;
    assert!(desk.count(&logs_of("alive")).await >= 2, "the log of what is under way");
    let of_nothing = "stock_synchronization_logs AS l WHERE NOT EXISTS \
                      (SELECT FROM pending_stock_operations AS o WHERE o.id = l.operation_id)";
    assert_eq!(desk.count(of_nothing).await, 0, "logs go with their operations");

    desk.backup.fail_with(None);
    desk.tell(&[cancelled(order("old", &[("wosk", 2)]))]).await;
    desk.until("old", &[("deduction", "completed"), ("refund", "completed")]).await;
    assert_eq!(desk.on_hand("wosk"), 10 - 1 - 1, "it is back");
    assert_eq!(desk.backup.marks("old"), [true, false]);
    desk.tell_until_taken(&[cancelled(order("old", &[("wosk", 2)])), ready(order("old", &[("wosk", 2)]))])
        .await;
    assert_eq!(desk.on_hand("wosk"), 10 - 1 - 1, "once");
}
