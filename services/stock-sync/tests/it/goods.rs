//! What production has made comes onto the shelf, each batch once.

use diesel::sql_query;
use diesel_async::RunQueryDsl;
use domain::events::{BatchClosed, Envelope};
use domain::{IdSource, UuidV7Source};
use serde_json::json;
use testkit::eventually;

use crate::support::{Desk, order, ready};

/// As its producer will tell it.
const GOLDEN: &str = include_str!("../../../../crates/domain/tests/golden/batch.closed.json");

/// The same batch, told of once more; or another one.
fn closed(batch_id: i64) -> Envelope {
    let golden = Envelope::parse(GOLDEN.as_bytes()).unwrap();
    let batch = BatchClosed { batch_id, ..golden.open().unwrap() };
    let data = serde_json::value::to_raw_value(&batch).unwrap();
    Envelope { id: UuidV7Source.next_id().into(), data, ..golden }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_batch_is_received_once_as_soon_as_it_is_known_what_it_is() {
    let desk = Desk::open_with(&[("STOCK_SYNC_RECEIPT_ON_BATCH_CLOSE", "true")]).await;
    desk.put("bolt", 1);
    desk.tell_until_taken(&[closed(17), closed(17)]).await;
    assert_eq!(desk.on_hand("bolt"), 1, "nobody knows what it is");
    let unknown = "alerts WHERE kind = 'unknown_good' AND cleared_at IS NULL";
    assert_eq!(desk.count(unknown).await, 1);

    let good = json!({ "nomenclature": "Болт М10х50", "ekn_code": "EKN-12345", "sku": "bolt" });
    let (status, added) = desk.service.post("/stock-sync/goods", &good);
    assert_eq!((status, &added["batches_received"]), (201, &json!(1)), "{added}");
    assert_eq!((desk.on_hand("bolt"), desk.count(unknown).await), (961, 0));
    assert_eq!(desk.service.post("/stock-sync/goods", &good).0, 409);
    assert_eq!(desk.service.get("/stock-sync/goods").1["items"][0]["sku"], "bolt");

    // Closed again after it was opened, and another one, by two replicas at once.
    let _replica = desk.service.replica();
    desk.tell_until_taken(&[closed(17), closed(18), closed(18), closed(17)]).await;
    assert_eq!(desk.on_hand("bolt"), 961 + 960);
    let (_, receipts) = desk.service.get("/stock/movements?kind=receipt");
    let receipts: Vec<_> =
        receipts["items"].as_array().unwrap().iter().map(|it| (&it["note"], &it["who"])).collect();
    let by_plant = json!("production-batches");
    assert_eq!(receipts, [(&json!("batch 22222 (18)"), &by_plant), (&json!("batch 22222 (17)"), &by_plant)]);

    let path = format!("/stock-sync/goods/{}", added["id"].as_str().unwrap());
    assert_eq!((desk.service.delete(&path).0, desk.service.delete(&path).0), (204, 404));
    desk.tell_until_taken(&[closed(19)]).await;
    let elsewhere =
        json!({ "nomenclature": "Болт М10х50", "ekn_code": "EKN-12345", "sku": "bolt", "warehouse": "x" });
    assert_eq!(desk.service.post("/stock-sync/goods", &elsewhere).0, 404);
    for (field, pointer) in [("nomenclature", "/nomenclature"), ("ekn_code", "/ekn_code"), ("sku", "/sku")] {
        let mut wrong = good.clone();
        wrong[field] = json!(" ");
        let (status, problem) = desk.service.post("/stock-sync/goods", &wrong);
        assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!(pointer)), "{problem}");
    }
    assert_eq!(desk.on_hand("bolt"), 961 + 960, "the last one waits");
    assert_eq!(desk.service.post("/stock-sync/goods", &good).1["batches_received"], 1);
    assert_eq!(desk.on_hand("bolt"), 961 + 2 * 960);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_closed_while_its_meaning_is_added_is_received() {
    let desk = Desk::open_with(&[("STOCK_SYNC_RECEIPT_ON_BATCH_CLOSE", "true")]).await;
    desk.put("bolt", 1);
    desk.put("wosk", 5);
    let mut adding = desk.pool.begin().await.unwrap();
    let add = "INSERT INTO batch_goods (id, nomenclature, ekn_code, sku, created_at) \
               VALUES (gen_random_uuid(), 'Болт М10х50', 'EKN-12345', 'bolt', now())";
    sql_query(add).execute(&mut *adding).await.unwrap();
    // Told of between two sales.
    let sold = |id: &str| ready(order(id, &[("wosk", 1)]));
    desk.tell(&[sold("one"), closed(17), sold("two")]).await;
    desk.until_one_waits().await;
    adding.commit().await.unwrap();
    let received = async || (desk.on_hand("bolt") == 961 && desk.on_hand("wosk") == 3).then_some(());
    eventually("the batch and the sales to be taken in", received).await;
    assert_eq!(desk.count("alerts WHERE kind = 'unknown_good'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn unless_it_is_asked_for_a_closed_batch_is_nobodys_business_here() {
    let desk = Desk::open().await;
    desk.tell_until_taken(&[closed(17)]).await;
    assert_eq!(desk.count("batch_receipts").await + desk.count("stock_movements").await, 0);
}
