//! People are told, in their language, once.

use serde_json::json;
use testkit::{Telegram, eventually};

use crate::support::{Desk, order, ready};

const CHAT: i64 = 4711;

#[tokio::test(flavor = "multi_thread")]
async fn what_people_must_look_at_is_told_once_and_its_end_too() {
    let telegram = Telegram::start();
    let (url, chat) = (telegram.url(), CHAT.to_string());
    let desk = Desk::open_with(&[
        ("ALERTS_TELEGRAM_URL", &url),
        ("ALERTS_TELEGRAM_TOKEN", "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"),
        ("ALERTS_TELEGRAM_CHATS", &chat),
        ("ALERTS_LANGUAGE", "ru"),
        ("STOCK_SYNC_MONITORING_MAX_PENDING_OPERATIONS", "1"),
        ("STOCK_SYNC_MONITORING_FAILURE_RATE_MIN_TRIES", "3"),
    ])
    .await;
    desk.put("wosk", 10);
    desk.backup.fail_with(Some(500));
    desk.tell(&[ready(order("short", &[("wosk", 99)]))]).await;
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
        assert_eq!(desk.service.post("/schedules/monitor/run", &json!({})).0, 202);
        let idle = async || {
            let open = "task_history WHERE kind = 'monitor' AND status NOT IN ('succeeded', 'failed')";
            (desk.count(open).await == 0).then_some(())
        };
        eventually("it to be looked over", idle).await;
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
    assert_eq!(desk.service.post("/schedules/monitor/run", &json!({})).0, 202);
    let cleared = async || (desk.count(kinds).await == 0).then_some(());
    eventually("every alert to be cleared", cleared).await;
    let (_, status) = desk.service.get("/stock-sync/status");
    assert_eq!((&status["status"], &status["statistics"]["completed_today"]), (&json!("healthy"), &json!(4)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_day_is_summed_up_once_however_many_replicas_there_are() {
    // There is a zone for every hour in which eight o'clock has passed and midnight is far.
    let hour = i64::from(time::OffsetDateTime::now_utc().hour());
    let shift = 12 - hour;
    // POSIX names are the other way round: `Etc/GMT-3` is three hours ahead.
    let zone = if shift >= 0 { format!("Etc/GMT-{shift}") } else { format!("Etc/GMT+{}", -shift) };
    let desk = Desk::open_with(&[("SHOP_TIMEZONE", &zone)]).await;
    let _replica = desk.service.replica();
    let told = "alerts WHERE kind = 'stock_sync' AND severity = 'info'";
    eventually("the summary", async || (desk.count(told).await == 1).then_some(())).await;
}
