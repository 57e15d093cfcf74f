//! The process continues after a panic at each failpoint of deduction and flagging, and deducts each order once. One outcome
//! that cannot be recorded does not delay the others.

use std::time::Duration;

use testkit::{eventually, eventually_within, side_by_side};

use crate::support::{Desk, order, ready};

/// A failed message waits for five seconds, and a claim of flags ends after twelve.
const PATIENCE: Duration = Duration::from_mins(2);

const POINTS: [&str; 8] = [
    "consumer.before_apply",
    "consumer.handle",
    "consumer.before_acknowledge",
    "pg.before_commit",
    "pg.after_commit@2",
    "stock.before_mark",
    "stock.after_mark",
    "stock.record_marks",
];

#[test]
fn a_panic_at_any_failpoint_deducts_each_order_once() {
    side_by_side(&POINTS, panic_at);
}

async fn panic_at(point: &'static str) {
    let mut desk = Desk::open_with(&[("STOCK_SYNC_RETRY_INITIAL_DELAY", "1")]).await;
    desk.put("wosk", 100);
    desk.service.kill();
    desk.service.start_to_panic_at(&[point]);
    let sold: Vec<_> = (0..20).map(|number| order(&format!("order-{number}"), &[("wosk", 2)])).collect();
    desk.tell(&sold.iter().cloned().map(ready).collect::<Vec<_>>()).await;
    let panicked = format!("failpoint {}", point.split('@').next().unwrap());
    eventually_within(PATIENCE, &panicked, async || desk.service.log().contains(&panicked).then_some(()))
        .await;
    let completed = "pending_stock_operations WHERE status = 'completed'";
    eventually_within(PATIENCE, &format!("all orders to be marked after a panic at {point}"), async || {
        (desk.count(completed).await == 20).then_some(())
    })
    .await;
    assert_eq!(desk.on_hand("wosk"), 100 - 20 * 2, "{point}");
    assert_eq!(desk.count("stock_movements WHERE kind = 'sale'").await, 20, "{point}");
    for order in &sold {
        assert_eq!(desk.backup.marks(order.order_id.as_str()).last(), Some(&true), "{point}");
    }
    let retried = desk.count("pending_stock_operations WHERE retry_count = 1").await;
    let is_a_try = point.ends_with("_mark");
    assert_eq!(retried, i64::from(is_a_try), "{point}: tries that count as failed");
    let open = "pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    eventually(open, async || (desk.count(open).await == 0).then_some(())).await;
    desk.service.terminate();
    assert_eq!(desk.service.until_ended().code(), Some(0), "{point}: it ends when it is asked to, and well");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_cannot_be_recorded_is_tried_once_by_itself() {
    let refused = "order_id = 'order-3' AND status = 'completed'";
    let check =
        format!("ALTER TABLE pending_stock_operations ADD CONSTRAINT refused CHECK (NOT ({refused}))");
    let function = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
        $$ BEGIN RAISE EXCEPTION 'refused'; END $$";
    let trigger = "CREATE TRIGGER refuse BEFORE UPDATE ON pending_stock_operations FOR EACH ROW \
        WHEN (NEW.order_id = 'order-3' AND NEW.status = 'completed') EXECUTE FUNCTION refuse()";
    // One that is permanent is not tried again, another one five times with the rest of its batch.
    for (rules, tries) in [(vec![check.as_str()], 2), (vec![function, trigger], 7)] {
        let desk = Desk::open().await;
        desk.put("wosk", 100);
        for rule in rules {
            desk.execute(rule).await;
        }
        let sold = (0..5).map(|number| ready(order(&format!("order-{number}"), &[("wosk", 2)])));
        desk.tell(&sold.collect::<Vec<_>>()).await;
        let recorded = "pending_stock_operations WHERE status = 'completed'";
        eventually("the others to be recorded", async || (desk.count(recorded).await == 4).then_some(()))
            .await;
        let given_up = "flag outcome not recorded";
        let log = eventually(given_up, async || {
            desk.service.log().split_once(given_up).map(|(before, _)| before.to_owned())
        })
        .await;
        let failures = log.matches("flag outcomes not recorded; will retry").count();
        assert!(failures <= tries, "{failures} tries, at most {tries} expected: {log}");
    }
}
