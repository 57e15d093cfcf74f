//! People are told, in their language, once.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use testkit::{Telegram, eventually};
use time::{Duration, OffsetDateTime};

use crate::support::{Desk, order, ready};

const CHAT: i64 = 4711;
/// A token's shape; what stands in it is nobody's.
const TOKEN: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";

#[tokio::test(flavor = "multi_thread")]
async fn what_people_must_look_at_is_told_once_and_its_end_too() {
    let telegram = Telegram::start();
    let (url, chat, (early, _)) = (telegram.url(), CHAT.to_string(), zone_where_it_is(1..=6));
    let is_first = AtomicBool::new(true);
    telegram.answer(move |_post| {
        let limited = json!({ "ok": false, "error_code": 429, "parameters": { "retry_after": 1 } });
        let is_limited = is_first.swap(false, Ordering::Relaxed);
        Some(if is_limited { (429, limited) } else { (200, json!({ "ok": true })) })
    });
    let desk = Desk::open_with(&[
        ("ALERTS_TELEGRAM_URL", &url),
        ("ALERTS_TELEGRAM_TOKEN", TOKEN),
        ("ALERTS_TELEGRAM_CHATS", &chat),
        ("ALERTS_LANGUAGE", "ru"),
        // Nothing else is told meanwhile.
        ("SHOP_TIMEZONE", &early),
        ("STOCK_SYNC_MONITORING_MAX_PENDING_OPERATIONS", "1"),
        ("STOCK_SYNC_MONITORING_FAILURE_RATE_MIN_TRIES", "3"),
    ])
    .await;
    desk.put("wosk", 10);
    desk.backup.fail_with(Some(500));
    desk.tell(&[ready(order("short", &[("wosk", 99)]))]).await;
    until_measured(&desk, "alert_deliveries_total{channel=\"telegram\",outcome=\"limited\"} 1").await;
    until_measured(&desk, "alert_deliveries_total{channel=\"telegram\",outcome=\"sent\"} 1").await;
    let waiting: Vec<_> =
        (0..3).map(|number| ready(order(&format!("waiting-{number}"), &[("wosk", 1)]))).collect();
    desk.tell(&waiting).await;
    let tried = async || {
        (desk.count("stock_synchronization_logs WHERE action = 'sync_failed'").await >= 3).then_some(())
    };
    eventually("three tries", tried).await;
    desk.execute("UPDATE pending_stock_operations SET created_at = now() - interval '7 hours'").await;
    let (_, status) = desk.service.get("/stock-sync/status");
    assert_eq!(
        (&status["status"], &status["statistics"]["stale_operations"]),
        (&json!("warning"), &json!(3))
    );
    assert_eq!(status["statistics"]["failed_operations"], 1);
    let told = async |words: &str| {
        let is_told = async || telegram.texts(CHAT).iter().any(|text| text.contains(words)).then_some(());
        eventually(&format!("{words:?} to be told"), is_told).await;
    };
    for _ in 0..2 {
        desk.look_over().await;
    }
    for words in [
        "Не хватает товара для заказа short",
        "Операций в очереди: 3",
        "Неудачных попыток: 100 %",
        "Застрявших операций: 3",
    ] {
        told(words).await;
    }
    let kinds = "alerts WHERE cleared_at IS NULL AND severity <> 'info'";
    assert_eq!(desk.count(kinds).await, 4, "once for each cause");

    desk.backup.fail_with(None);
    desk.put("wosk", 500);
    for order in ["short", "waiting-0", "waiting-1", "waiting-2"] {
        let id = desk.operations(order)[0]["id"].as_str().unwrap().to_owned();
        assert_eq!(desk.service.post(&format!("/stock-sync/retry/{id}"), &json!({})).0, 200);
        desk.until(order, &[("deduction", "completed")]).await;
    }
    told("Устранено: <b>Не хватает товара для заказа short").await;
    desk.execute("UPDATE stock_synchronization_logs SET timestamp = now() - interval '1 hour'").await;
    desk.look_over().await;
    assert_eq!(desk.count(kinds).await, 0, "every alert is cleared");
    let (_, status) = desk.service.get("/stock-sync/status");
    assert_eq!((&status["status"], &status["statistics"]["completed_today"]), (&json!("healthy"), &json!(4)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_day_before_is_summed_up_once_from_eight_on_however_many_replicas_there_are() {
    let telegram = Telegram::start();
    let (url, chat) = (telegram.url(), CHAT.to_string());
    let (zone, shift) = zone_where_it_is(11..=13);
    let mut desk = Desk::open_with(&[
        ("ALERTS_TELEGRAM_URL", &url),
        ("ALERTS_TELEGRAM_TOKEN", TOKEN),
        ("ALERTS_TELEGRAM_CHATS", &chat),
        ("ALERTS_LANGUAGE", "pl"),
        ("SHOP_TIMEZONE", &zone),
    ])
    .await;
    let told = async |words: &str| {
        let is_told = async || telegram.texts(CHAT).iter().any(|text| text.contains(words)).then_some(());
        eventually(&format!("{words:?} to be told"), is_told).await;
    };
    told("Wykonanych operacji: 0").await;
    desk.put("wosk", 10);
    let orders =
        [order("one", &[("wosk", 1)]), order("two", &[("wosk", 1)]), order("short", &[("wosk", 99)])];
    desk.tell(&orders.map(ready)).await;
    desk.until("one", &[("deduction", "completed")]).await;
    desk.until("two", &[("deduction", "completed")]).await;
    desk.until("short", &[("deduction", "failed")]).await;

    // A day later: what was done is of the day before, and so is what was told.
    desk.service.kill();
    desk.execute("UPDATE pending_stock_operations SET completed_at = completed_at - interval '1 day'").await;
    desk.execute("UPDATE alerts SET cause = 'daily/stock_sync/before' WHERE kind = 'stock_sync'").await;
    desk.service.start_again();
    let _replica = desk.service.replica();
    told("Wykonanych operacji: 2. W kolejce: 0, utknęło: 0, wstrzymanych: 1.").await;
    let yesterday = (OffsetDateTime::now_utc() + Duration::hours(shift)).date().previous_day().unwrap();
    told(&format!("Magazyn, {yesterday}")).await;
    assert_eq!(desk.count("alerts WHERE kind = 'stock_sync' AND severity = 'info'").await, 2, "once a day");
}

#[tokio::test(flavor = "multi_thread")]
async fn before_eight_nothing_is_summed_up() {
    let (zone, _) = zone_where_it_is(1..=6);
    let desk = Desk::open_with(&[("SHOP_TIMEZONE", &zone)]).await;
    desk.put("wosk", 10);
    for (number, name) in ["first", "second"].into_iter().enumerate() {
        desk.tell(&[ready(order(name, &[("wosk", 99)]))]).await;
        // Numbers are told before the morning is looked for: the second ones come after a look.
        until_measured(&desk, &format!("stock_operations{{status=\"failed\"}} {}", number + 1)).await;
    }
    assert_eq!(desk.count("alerts WHERE kind = 'stock_sync'").await, 0);
}

/// A zone in which it is one of these hours now, and how many hours it is ahead: eight o'clock is far.
fn zone_where_it_is(hours: RangeInclusive<i64>) -> (String, i64) {
    let now = i64::from(OffsetDateTime::now_utc().hour());
    let shift = (-12..=14).find(|shift| hours.contains(&(now + shift).rem_euclid(24))).unwrap();
    // POSIX names are the other way round: `Etc/GMT-3` is three hours ahead.
    (if shift >= 0 { format!("Etc/GMT-{shift}") } else { format!("Etc/GMT+{}", -shift) }, shift)
}

/// Returns when the service tells this line of metrics. Gauges are set every ten seconds.
async fn until_measured(desk: &Desk, line: &str) {
    eventually(line, async || desk.service.metrics().lines().any(|it| it == line).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rate_of_failures_is_told_above_its_threshold_and_not_of_few_tries() {
    let desk = Desk::open().await;
    desk.put("wosk", 1);
    desk.tell(&[ready(order("sold", &[("wosk", 1)]))]).await;
    desk.until("sold", &[("deduction", "completed")]).await;
    let tries = async |good: u32, bad: u32| {
        desk.execute("DELETE FROM stock_synchronization_logs").await;
        for (count, action) in [(good, "sync_success"), (bad, "sync_failed")] {
            let add = "INSERT INTO stock_synchronization_logs (operation_id, action, status, details, timestamp) \
                       SELECT id, ";
            desk.execute(&format!(
                "{add} '{action}', 'pending', '{{}}', now() FROM pending_stock_operations, generate_series(1, {count})"
            ))
            .await;
        }
        desk.look_over().await;
        desk.count("alerts WHERE kind = 'failure_rate' AND cleared_at IS NULL").await
    };
    assert_eq!(tries(0, 19).await, 0, "19 tries say nothing");
    assert_eq!(tries(80, 20).await, 0, "20 of 100 are not too many");
    assert_eq!(tries(79, 21).await, 1, "21 are");
    assert_eq!(tries(80, 20).await, 0, "and it clears");
    desk.execute("UPDATE stock_synchronization_logs SET timestamp = now() - interval '31 minutes'").await;
    desk.execute("UPDATE stock_synchronization_logs SET timestamp = now() WHERE action = 'sync_failed'")
        .await;
    desk.look_over().await;
    assert_eq!(
        desk.count("alerts WHERE kind = 'failure_rate' AND cleared_at IS NULL").await,
        1,
        "of half an hour"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_measured_has_its_name_and_number() {
    let desk = Desk::open().await;
    desk.put("wosk", 10);
    desk.tell_until_taken(&[ready(order("sold", &[("wosk", 1)])), ready(order("short", &[("wosk", 99)]))])
        .await;
    desk.until("sold", &[("deduction", "completed")]).await;
    desk.backup.fail_with(Some(500));
    desk.tell(&[ready(order("waits", &[("wosk", 1), ("wosk", 1)]))]).await;
    let wanted = [
        "stock_operations{status=\"pending\"} 2",
        "stock_operations{status=\"processing\"} 0",
        "stock_operations{status=\"failed\"} 1",
        "stock_marks_total{outcome=\"success\",first_try=\"true\"} 1",
        "stock_marks_total{outcome=\"failed\",first_try=\"true\"} 1",
        "stock_mark_duration_seconds_count 2",
        "stock_retry_delay_seconds_count 1",
        "stock_shortages_total 1",
        "stock_first_try_rate 1",
        "stock_stale_operations 0",
        "stock_discrepancies_open{kind=\"quantity_mismatch\"} 0",
    ];
    for line in wanted {
        until_measured(&desk, line).await;
    }
    let (_, status) = desk.service.get("/stock-sync/status");
    assert!(status["statistics"]["oldest_pending_seconds"].as_f64() > Some(0.0), "{status}");
}
