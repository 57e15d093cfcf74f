//! The process dies where an order is taken, committed, marked and acknowledged, and each leaves once all the same.

use testkit::{eventually, side_by_side};

use crate::support::{Desk, cancelled, order, ready};

#[test]
fn a_death_at_any_place_takes_nothing_twice_and_forgets_nothing() {
    let points = [
        "consumer.before_apply",
        // The first commits are the consumer's, later ones the records of marks.
        "pg.before_commit@1",
        "pg.after_commit@1",
        "pg.before_commit@2",
        "pg.after_commit@2",
        "stock.before_mark",
        "stock.after_mark",
        "consumer.before_acknowledge",
        "consumer.after_acknowledge",
    ];
    side_by_side(&points, die_at);
}

async fn die_at(point: &'static str) {
    let mut desk = Desk::open().await;
    desk.put("wosk", 100);
    desk.service.kill();
    desk.service.start_to_die_at(point);
    let sold: Vec<_> = (0..20).map(|number| order(&format!("order-{number}"), &[("wosk", 2)])).collect();
    desk.tell(&sold.iter().cloned().map(ready).collect::<Vec<_>>()).await;
    desk.tell(&sold.iter().take(5).cloned().map(cancelled).collect::<Vec<_>>()).await;
    eventually(&format!("the death at {point}"), async || desk.service.has_died_at(point).then_some(()))
        .await;
    desk.service.start_again();
    let done = async || {
        let is_done = |kind: &str| {
            format!("pending_stock_operations WHERE status = 'completed' AND operation_type = '{kind}'")
        };
        let back = desk.count(&is_done("refund")).await;
        // One called off while it was told of is cancelled, and its refund is completed all the same.
        let open = desk.count("pending_stock_operations WHERE status IN ('pending', 'processing')").await;
        (back == 5 && open == 0).then_some(())
    };
    eventually(&format!("everything to be done after the death at {point}"), done).await;
    assert_eq!(desk.on_hand("wosk"), 100 - 15 * 2, "{point}");
    assert_eq!(desk.count("stock_movements WHERE kind = 'sale'").await, 20, "{point}");
    for (number, order) in sold.iter().enumerate() {
        let last = desk.backup.marks(order.order_id.as_str()).last().copied();
        assert_eq!(last, Some(number >= 5), "{point}: the mark of order {number}");
    }
}
