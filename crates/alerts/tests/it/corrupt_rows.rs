//! Alerts of stored rows that cannot be read.

use time::Duration;
use tokio_util::sync::CancellationToken;

use crate::support::Desk;

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_row_is_one_critical_alert_cleared_a_day_after_the_last_reading() {
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

    // A reporter checks for alerts to clear when it starts.
    for (later, expected) in [(Duration::hours(23), 1), (Duration::hours(2), 0)] {
        desk.wait(later).await;
        let stop = CancellationToken::new();
        let reporter = tokio::spawn(alerts::report_corrupt_rows(desk.pool.clone(), stop.clone()));
        let _other = pg::Error::corrupt("levels", expected, "sku");
        desk.until(&format!("alerts WHERE cause = 'corrupt_row/levels/{expected}/sku'"), 1).await;
        if expected == 0 {
            desk.until(open, 0).await;
        }
        assert_eq!(desk.count(open).await, expected);
        stop.cancel();
        reporter.await.unwrap();
    }
}
