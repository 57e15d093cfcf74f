//! The shelf and allegro-backup are compared, and put right where that is safe.

use std::thread;

use domain::events::OrderEvent;
use serde_json::{Value, json};
use testkit::eventually;
use time::{Duration, OffsetDateTime};

use crate::support::{Desk, cancelled, connected, order, ready, token};

/// What differs, as `(order, kind, fixed)`.
fn found(report: &Value) -> Vec<(String, String, bool)> {
    let mut all: Vec<_> = report["discrepancies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            let word = |name: &str| it[name].as_str().unwrap_or_default().to_owned();
            (word("order_id"), word("kind"), !it["fixed_at"].is_null())
        })
        .collect();
    all.sort();
    all
}

fn reconcile(desk: &Desk, fix: bool) -> Value {
    let (status, report) =
        desk.service.post(&format!("/stock-sync/reconcile?token_id={}&fix={fix}", token()), &json!({}));
    assert_eq!(status, 200, "{report}");
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_is_found_on_every_page_and_what_is_safe_is_put_right_once() {
    let desk = Desk::open_with(&[("STOCK_SYNC_RECONCILIATION_BATCH_SIZE", "10")]).await;
    desk.put("wosk", 1_000);
    desk.tell_until_taken(&[connected(token())]).await;
    // Enough that agree for the few that differ to be let through.
    let names: Vec<String> = (0..60).map(|number| format!("good-{number}")).collect();
    let mut orders: Vec<OrderEvent> = names.iter().map(|name| order(name, &[("wosk", 1)])).collect();
    orders.extend(["unmarked", "called-off", "changed"].map(|name| order(name, &[("wosk", 2)])));
    for order in &orders {
        desk.backup.keep(order, false);
    }
    let missed = order("missed", &[("wosk", 5)]);
    let old = OrderEvent {
        order_date: Some(OffsetDateTime::now_utc() - Duration::days(1)),
        ..order("before-the-start", &[("wosk", 5)])
    };
    let allegros =
        OrderEvent { fulfillment_provider: Some("ALLEGRO".to_owned()), ..order("allegros", &[("wosk", 5)]) };
    for order in [&missed, &old, &allegros] {
        desk.backup.keep(order, false);
    }
    desk.tell_until_taken(&orders.iter().cloned().map(ready).collect::<Vec<_>>()).await;
    desk.tell_until_taken(&[cancelled(order("called-off", &[("wosk", 2)]))]).await;
    let idle = async || {
        let open = desk.count("pending_stock_operations WHERE status IN ('pending', 'processing')").await;
        (open == 0).then_some(())
    };
    eventually("everything to be marked", idle).await;
    assert_eq!(reconcile(&desk, false)["total_checked"], 66);
    assert!(desk.backup.pages() >= 7, "all pages");

    desk.backup.mark("unmarked", false);
    // Its label was taken back, and its flag set by hand.
    desk.backup.replace(&OrderEvent { version: 3, ..order("called-off", &[("wosk", 2)]) }, true);
    // What was sold is another number there.
    let mut changed = orders.iter().find(|it| it.order_id.as_str() == "changed").unwrap().clone();
    changed.line_items[0].quantity = Some(3);
    desk.backup.replace(&changed, true);
    let report = reconcile(&desk, false);
    let expected = |fixed: bool| {
        [
            ("called-off", "not_taken", fixed),
            ("changed", "quantity_mismatch", false),
            ("missed", "not_taken", fixed),
            ("unmarked", "remote_missing", fixed),
        ]
        .map(|(order, kind, fixed)| (order.to_owned(), kind.to_owned(), fixed))
    };
    assert_eq!(found(&report), expected(false));
    assert_eq!((&report["auto_fixed"], &report["requires_manual_review"]), (&json!(0), &json!(4)));
    assert_eq!(desk.on_hand("wosk"), 1_000 - 60 - 2 - 2);

    let report = reconcile(&desk, true);
    assert_eq!(found(&report), expected(true));
    assert_eq!((&report["auto_fixed"], &report["requires_manual_review"]), (&json!(3), &json!(1)));
    let put_right =
        async || (desk.backup.is_marked("missed") && desk.backup.is_marked("unmarked")).then_some(());
    eventually("both to be marked", put_right).await;
    eventually("everything to be marked", idle).await;
    assert_eq!(desk.on_hand("wosk"), 1_000 - 60 - 2 - 2 - 2 - 5, "taken once");
    // The event that was late, and another run, move nothing.
    desk.tell_until_taken(&[ready(missed)]).await;
    let report = reconcile(&desk, true);
    assert_eq!(report["auto_fixed"], 0);
    assert_eq!(desk.on_hand("wosk"), 1_000 - 60 - 2 - 2 - 2 - 5);
    let open = "discrepancies WHERE fixed_at IS NULL AND kind IN ('not_taken', 'remote_missing')";
    assert_eq!(desk.count(open).await, 0);
    assert_eq!(desk.count("stock_synchronization_logs WHERE action = 'auto_fixed'").await, 3);
    assert_eq!(desk.count("alerts WHERE kind = 'discrepancies' AND cleared_at IS NULL").await, 1);

    let other = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f";
    let (status, problem) = desk.service.post(&format!("/stock-sync/reconcile?token_id={other}"), &json!({}));
    assert_eq!((status, &problem["code"]), (404, &json!("account_not_found")));
    desk.backup.fail_with(Some(503));
    let (status, _) = desk.service.post(&format!("/stock-sync/reconcile?token_id={}", token()), &json!({}));
    assert_eq!(status, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_dies_half_way_is_begun_anew_and_puts_right_once() {
    let mut desk = Desk::open_with(&[("STOCK_SYNC_RECONCILIATION_BATCH_SIZE", "10")]).await;
    desk.put("wosk", 1_000);
    desk.tell_until_taken(&[connected(token())]).await;
    for name in ["missed-0", "missed-1", "missed-2", "missed-3"] {
        desk.backup.keep(&order(name, &[("wosk", 1)]), false);
    }
    for number in 0..30 {
        let old = OffsetDateTime::now_utc() - Duration::minutes(30);
        let known = OrderEvent { order_date: Some(old), ..order(&format!("known-{number}"), &[("wosk", 1)]) };
        desk.backup.keep(&known, false);
        desk.tell(&[ready(known)]).await;
    }
    desk.until("known-29", &[("deduction", "completed")]).await;
    let before = desk.backup.pages();
    desk.backup.stop_after_pages(Some(1));
    let path = format!("{}/api/v1/stock-sync/reconcile?token_id={}&fix=true", desk.service.url(), token());
    let bearer = format!("Bearer {}", desk.service.token);
    // Nobody is there to answer it in the end.
    let asking =
        thread::spawn(move || drop(ureq::post(path).header("Authorization", bearer).send_json(json!({}))));
    let second = async || (desk.backup.pages() == before + 2).then_some(());
    eventually("the second page to be asked for", second).await;
    desk.service.kill();
    asking.join().unwrap();
    assert_eq!(desk.count("discrepancies WHERE fixed_at IS NULL").await, 4, "what was seen is written down");
    assert_eq!(desk.count("stock_movements WHERE kind = 'sale'").await, 30, "and nothing is put right yet");
    assert_eq!(desk.count("reconciliations WHERE finished_at IS NULL").await, 1);

    desk.backup.stop_after_pages(None);
    desk.service.start_again();
    let report = reconcile(&desk, true);
    assert_eq!((&report["is_held"], &report["auto_fixed"]), (&json!(false), &json!(4)), "{report}");
    assert_eq!(desk.on_hand("wosk"), 966);
    assert_eq!(reconcile(&desk, true)["auto_fixed"], 0);
    assert_eq!((desk.on_hand("wosk"), desk.count("discrepancies WHERE fixed_at IS NULL").await), (966, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn when_too_much_differs_nothing_is_put_right_until_it_is_few_of_many() {
    let desk = Desk::open().await;
    desk.put("wosk", 1_000);
    desk.tell_until_taken(&[connected(token())]).await;
    for number in 0..6 {
        desk.backup.keep(&order(&format!("order-{number}"), &[("wosk", 1)]), false);
    }
    let report = reconcile(&desk, true);
    assert_eq!((&report["is_held"], &report["auto_fixed"]), (&json!(true), &json!(0)));
    assert_eq!(report["discrepancies"].as_array().unwrap().len(), 6);
    assert_eq!(desk.on_hand("wosk"), 1_000);
    assert_eq!(desk.count("alerts WHERE kind = 'reconciliation_held' AND cleared_at IS NULL").await, 1);
    let (status, listed) = desk.service.get("/stock-sync/discrepancies?kind=not_taken&limit=4");
    assert_eq!((status, listed["items"].as_array().unwrap().len()), (200, 4), "{listed}");
    let cursor = listed["next_cursor"].as_str().unwrap();
    let (_, rest) =
        desk.service.get(&format!("/stock-sync/discrepancies?kind=not_taken&limit=4&cursor={cursor}"));
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next_cursor"]), (2, &Value::Null));

    // The same six, of many that agree.
    let good: Vec<OrderEvent> =
        (0..60).map(|number| order(&format!("good-{number}"), &[("wosk", 1)])).collect();
    for order in &good {
        desk.backup.keep(order, false);
    }
    desk.tell(&good.into_iter().map(ready).collect::<Vec<_>>()).await;
    let marked = "pending_stock_operations WHERE status = 'completed'";
    eventually("the good ones to be marked", async || (desk.count(marked).await == 60).then_some(())).await;
    let report = reconcile(&desk, true);
    assert_eq!((&report["is_held"], &report["auto_fixed"]), (&json!(false), &json!(6)), "{report}");
    assert_eq!(desk.on_hand("wosk"), 1_000 - 66);
    assert_eq!(desk.service.get("/stock-sync/discrepancies").1["items"], json!([]), "none is open");
    let fixed = desk.service.get("/stock-sync/discrepancies?state=fixed").1;
    assert_eq!(
        (fixed["items"].as_array().unwrap().len(), &fixed["items"][0]["how"]),
        (6, &json!("auto_fixed"))
    );
    let theirs = desk.service.token_of("somebody", "stock-sync:read");
    let (_, none) = desk.service.call(
        "GET",
        "/api/v1/stock-sync/discrepancies?state=fixed",
        Some(&theirs),
        "",
        &json!({}),
    );
    assert_eq!(none["items"], json!([]), "another user's are not there");
    let (_, runs) = desk.service.get("/stock-sync/reconciliations");
    let runs: Vec<(&Value, &Value)> =
        runs["items"].as_array().unwrap().iter().map(|it| (&it["is_held"], &it["auto_fixed"])).collect();
    assert_eq!(runs, [(&json!(false), &json!(6)), (&json!(true), &json!(0))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_compared_by_a_task_and_a_level_that_does_not_add_up_is_found() {
    let desk = Desk::open_with(&[("STOCK_SYNC_RECONCILIATION_AUTO_FIX_THRESHOLD_HOURS", "0")]).await;
    desk.put("wosk", 10);
    desk.tell_until_taken(&[connected(token())]).await;
    desk.backup.keep(&order("missed", &[("wosk", 2)]), false);
    desk.execute("UPDATE stock_levels SET on_hand = 11").await;
    let (status, queued) = desk.service.post("/stock-sync/reconcile", &json!({}));
    assert_eq!((status, &queued["status"]), (202, &json!("queued")), "{queued}");
    let path = format!("/tasks/{}", queued["task_id"].as_str().unwrap());
    let ended = async || {
        let (_, task) = desk.service.get(&path);
        (task["status"] == "SUCCESS").then_some(task)
    };
    let task = eventually("the run to end", ended).await;
    assert_eq!(task["result"]["auto_fixed"], 1, "old enough at once: {task}");
    assert_eq!(task["result"]["requires_manual_review"], 1);
    eventually("the order to be marked", async || desk.backup.is_marked("missed").then_some(())).await;
    assert_eq!(desk.on_hand("wosk"), 9);
    assert_eq!(desk.count("discrepancies WHERE kind = 'ledger_mismatch' AND fixed_at IS NULL").await, 1);
    let verified = desk.service.command(&["verify"], &[]);
    assert!(!verified.status.success());
    assert!(String::from_utf8_lossy(&verified.stdout).contains("wosk (Ирина): 9 ≠ 8"));
    assert_eq!(desk.count("alerts WHERE kind = 'ledger_mismatch' AND cleared_at IS NULL").await, 1);
    desk.execute("UPDATE stock_levels SET on_hand = 8").await;
    assert!(desk.service.command(&["verify"], &[]).status.success());
    assert_eq!(desk.count("alerts WHERE kind = 'ledger_mismatch' AND cleared_at IS NULL").await, 0);
}
