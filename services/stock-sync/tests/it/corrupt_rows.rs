//! A stored row that cannot be read stops what depends on it, and nothing else.

use domain::events::{BatchClosed, Envelope};
use domain::{IdSource, UuidV7Source};
use serde_json::json;
use testkit::{eventually, tell};

use crate::support::{Desk, cancelled, line_id, order, ready};

/// As its producer will publish it.
const CLOSED: &str = include_str!("../../../../crates/domain/tests/golden/batch.closed.json");

impl Desk {
    /// Waits until events were dead-lettered for a row that cannot be read, and checks that it was reported.
    async fn until_dead_lettered(&self, table: &str, column: &str, events: usize) {
        let reason = format!("column {column} cannot be read");
        let listed = eventually(&format!("{events} dead letters for {table}.{column}"), async || {
            let listed = self.service.run(&["dead", "list"]);
            (listed.matches(&reason).count() == events).then_some(listed)
        })
        .await;
        assert!(listed.contains(&format!("{events} shown of {events}")), "{listed}");
        let alert =
            format!("alerts WHERE severity = 'critical' AND cause LIKE 'corrupt_row/{table}/%/{column}'");
        eventually(&alert, async || (self.count(&alert).await == 1).then_some(())).await;
        let counted = format!("db_corrupt_rows_total{{table=\"{table}\",column=\"{column}\"}}");
        assert!(self.service.metrics().contains(&counted), "{counted}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sold_line_that_cannot_be_read_is_not_sold_again() {
    let desk = Desk::open().await;
    desk.put("wosk", 10);
    desk.tell(&[ready(order("first", &[("wosk", 1)]))]).await;
    desk.until("first", &[("deduction", "completed")]).await;
    let corrupt = "UPDATE line_states SET units_out = jsonb_set(units_out, '{0,sku}', '\"\"')";
    assert_eq!(desk.execute(corrupt).await, 1);

    // The same line in a merged order, its cancellation, and an order that has nothing to do with it.
    let mut merged = order("merged", &[("wosk", 1)]);
    merged.line_items[0].id = line_id("first-line-0");
    desk.tell(&[
        ready(merged),
        cancelled(order("first", &[("wosk", 1)])),
        ready(order("other", &[("wosk", 2)])),
    ])
    .await;
    desk.until("other", &[("deduction", "completed")]).await;
    desk.until_dead_lettered("line_states", "units_out", 2).await;
    assert_eq!(desk.on_hand("wosk"), 7);
    assert_eq!(desk.count("stock_movements WHERE kind IN ('sale', 'refund')").await, 2);
    assert_eq!(desk.count("pending_stock_operations WHERE order_id = 'merged'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_cannot_be_read_stops_its_order_only() {
    for (column, value) in [("operation_type", "adjustment"), ("status", "lost"), ("sku", "")] {
        let desk = Desk::open().await;
        desk.put("wosk", 10);
        desk.tell(&[ready(order("first", &[("wosk", 1)]))]).await;
        desk.until("first", &[("deduction", "completed")]).await;
        desk.execute("ALTER TABLE pending_stock_operations DROP CONSTRAINT pending_stock_operations_status")
            .await;
        desk.execute(&format!("UPDATE pending_stock_operations SET {column} = '{value}'")).await;
        let again = ready(order("first", &[("wosk", 1)]));
        desk.tell(&[again, ready(order("other", &[("wosk", 2)]))]).await;
        desk.until("other", &[("deduction", "completed")]).await;
        desk.until_dead_lettered("pending_stock_operations", column, 1).await;
        assert_eq!(desk.on_hand("wosk"), 7, "{column}");
        assert_eq!(desk.count("pending_stock_operations WHERE order_id = 'first'").await, 1, "{column}");
        tell(&format!("{column} = {value:?} stopped one order"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_state_that_cannot_be_read_stops_its_order_only() {
    for (column, value) in [("status", "'lost'"), ("lines", "'{}'")] {
        let desk = Desk::open().await;
        desk.put("wosk", 10);
        desk.tell(&[ready(order("first", &[("wosk", 1)]))]).await;
        desk.until("first", &[("deduction", "completed")]).await;
        desk.execute("ALTER TABLE order_views DROP CONSTRAINT order_views_status").await;
        desk.execute(&format!("UPDATE order_views SET {column} = {value}")).await;
        let again = cancelled(order("first", &[("wosk", 1)]));
        desk.tell(&[again, ready(order("other", &[("wosk", 2)]))]).await;
        desk.until("other", &[("deduction", "completed")]).await;
        desk.until_dead_lettered("order_views", column, 1).await;
        assert_eq!(desk.on_hand("wosk"), 7, "{column}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_cannot_be_read_is_not_flagged() {
    let desk = Desk::open().await;
    desk.put("wosk", 10);
    // Whether it is a deduction or a refund decides which flag is sent. No claim may read the type before it is changed.
    desk.execute(
        "CREATE FUNCTION change_type() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             NEW.operation_type := 'adjustment'; RETURN NEW; END $$",
    )
    .await;
    desk.execute(
        "CREATE TRIGGER change_type BEFORE INSERT ON pending_stock_operations FOR EACH ROW \
             WHEN (NEW.order_id = 'first') EXECUTE FUNCTION change_type()",
    )
    .await;
    desk.tell_until_taken(&[ready(order("first", &[("wosk", 1)]))]).await;
    desk.tell(&[ready(order("other", &[("wosk", 2)]))]).await;
    desk.until("other", &[("deduction", "completed")]).await;
    let alert = "alerts WHERE cause LIKE 'corrupt_row/pending_stock_operations/%/operation_type'";
    eventually("an alert", async || (desk.count(alert).await == 1).then_some(())).await;
    assert_eq!(desk.backup.marks("first").len(), 0);
    assert_eq!(
        desk.count("pending_stock_operations WHERE order_id = 'first' AND synced_at IS NULL").await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_mapping_that_cannot_be_read_is_not_an_unknown_product() {
    let desk = Desk::open_with(&[("STOCK_SYNC_RECEIPT_ON_BATCH_CLOSE", "true")]).await;
    desk.put("bolt", 1);
    let good = json!({ "nomenclature": "Болт М10х50", "ekn_code": "EKN-12345", "sku": "bolt" });
    let (status, added) = desk.service.post("/stock-sync/goods", &good);
    assert_eq!(status, 201, "{added}");
    desk.execute("UPDATE batch_goods SET sku = ''").await;
    let golden = Envelope::parse(CLOSED.as_bytes()).unwrap();
    let batch: BatchClosed = golden.open().unwrap();
    let data = serde_json::value::to_raw_value(&batch).unwrap();
    desk.tell(&[Envelope { id: UuidV7Source.next_id().into(), data, ..golden }]).await;
    desk.until_dead_lettered("batch_goods", "sku", 1).await;
    assert_eq!(desk.count("alerts WHERE kind = 'unknown_good'").await, 0);
    assert_eq!(desk.count("batch_receipts").await, 0, "the batch is received when its letter is sent again");
}
