//! Alerts of stored rows that cannot be read.

use time::Duration;
use tokio_util::sync::CancellationToken;

use crate::support::{Desk, OWNER, warning};

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_row_alerts_until_a_day_after_its_last_read() {
    let desk = Desk::open().await;
    let _error = pg::Error::corrupt("stock_movements", "7/sale", "sku");
    let stop = CancellationToken::new();
    let reporter = tokio::spawn(alerts::report_corrupt_rows(desk.pool.clone(), stop.clone()));
    let open = "alerts WHERE cleared_at IS NULL AND severity = 'critical' \
                AND cause = 'corrupt_row/stock_movements/7/sale/sku'";
    desk.until(&format!("{open} AND times = 1"), 1).await;
    desk.wait(Duration::hours(20)).await;
    let _again = pg::Error::corrupt("stock_movements", "7/sale", "sku");
    desk.until(&format!("{open} AND times = 2"), 1).await;
    stop.cancel();
    reporter.await.unwrap();

    for (later, expected) in [(Duration::hours(23), 1), (Duration::hours(2), 0)] {
        desk.wait(later).await;
        let stop = CancellationToken::new();
        // An alert that is old enough to be cleared shows that the clearing has run.
        desk.run(&format!(
            "INSERT INTO alerts (cause, kind, severity, first_severity, texts, raised_at, last_raised_at) \
             SELECT 'corrupt_row/levels/{expected}', kind, severity, first_severity, texts, raised_at, \
                    now() - interval '3 days' \
             FROM alerts WHERE cause LIKE 'corrupt_row/stock_movements/%' LIMIT 1"
        ))
        .await;
        let clearing = tokio::spawn(alerts::clear_corrupt_rows(desk.pool.clone(), stop.clone()));
        let old = format!("alerts WHERE cause = 'corrupt_row/levels/{expected}' AND cleared_at IS NOT NULL");
        desk.until(&old, 1).await;
        assert_eq!(desk.count(open).await, expected);
        stop.cancel();
        clearing.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_that_cannot_be_read_delays_no_other() {
    let desk = Desk::open().await;
    desk.run("ALTER TABLE alert_notices DROP CONSTRAINT alert_notices_stage").await;
    for (sku, change) in [
        ("stage", "UPDATE alert_notices SET stage = 'shouted'"),
        ("severity", "UPDATE alert_notices SET severity = 'loud'"),
        ("texts", "UPDATE alerts SET texts = '{}'"),
    ] {
        desk.raise(warning(sku)).await;
        desk.run(&format!(
            "{change} WHERE {}",
            match sku {
                "texts" => "cause = 'stock_shortage/texts'".to_owned(),
                other => format!("alert_id = (SELECT id FROM alerts WHERE cause = 'stock_shortage/{other}')"),
            }
        ))
        .await;
    }
    desk.raise(warning("readable")).await;
    let _sender = desk.sender(&[OWNER]);
    let texts = desk.texts(OWNER, 1).await;
    assert!(texts[0].contains("readable"), "{texts:?}");
    desk.until_settled().await;
    let mut columns: Vec<_> = pg::take_corrupt_rows().into_iter().map(|row| row.column).collect();
    columns.sort_unstable();
    assert_eq!(columns, ["severity", "stage", "texts"]);
}
