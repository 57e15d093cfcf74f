//! Which notices are sent, and how often.

use alerts::{Daily, Text};
use domain::Language;
use futures_util::future::join_all;
use testkit::eventually;
use time::Duration;
use time::macros::{date, datetime, time};
use tokio_util::sync::CancellationToken;

use crate::support::{CREW, Desk, OWNER, TOKEN, critical, warning};

#[tokio::test(flavor = "multi_thread")]
async fn a_cause_is_sent_once_to_every_chat() {
    let desk = Desk::open().await;
    let raised = join_all((0..20).map(|_| desk.raise(warning("Ł<1>")))).await;
    assert_eq!(raised.iter().filter(|told| **told).count(), 1);
    let _senders = [(); 3].map(|()| desk.sender(&[OWNER, CREW]));
    for chat in [OWNER, CREW] {
        assert_eq!(
            desk.texts(chat, 1).await,
            ["⚠️ <b>Zabrakło świec: Ł&lt;1&gt;</b>\n3 &lt; 5 &amp; &quot;zażółć&quot;\n\
              <i>stock-sync · 2026-11-21 12:00 · ×20</i>"]
        );
    }
    // The pause of a chat begins when its message is recorded.
    desk.until_settled().await;
    let post = &desk.telegram.posts()[0];
    assert_eq!(
        (post.path.as_str(), &post.body["parse_mode"]),
        (format!("/bot{TOKEN}/sendMessage").as_str(), &"HTML".into())
    );

    desk.wait(Duration::minutes(10)).await;
    assert!(!desk.raise(warning("Ł<1>")).await, "it is known");
    assert!(desk.clear("Ł<1>").await);
    assert!(!desk.clear("Ł<1>").await, "it is gone");
    desk.until_settled().await;
    desk.wait(Duration::minutes(10)).await;
    assert!(desk.raise(warning("Ł<1>")).await, "it is back");
    desk.until_settled().await;
    for chat in [OWNER, CREW] {
        let texts = desk.texts(chat, 3).await;
        assert_eq!(texts.len(), 3, "{texts:?}");
        assert_eq!(
            texts[1],
            "✅ Rozwiązane: <b>Zabrakło świec: Ł&lt;1&gt;</b>\n\
             <i>stock-sync · 2026-11-21 12:00 – 2026-11-21 12:10 · ×21</i>"
        );
        assert!(texts[2].ends_with("2026-11-21 12:20</i>"), "{}", texts[2]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_cleared_before_sending_is_sent_only_if_critical() {
    let desk = Desk::open().await;
    let now = desk.now();
    let rolled_back: Result<(), pg::Error> = desk
        .pool
        .transaction(async |conn| {
            alerts::raise(conn, now, &warning("rolled-back")).await?;
            Err(pg::Error::from(diesel::result::Error::RollbackTransaction))
        })
        .await;
    assert!(rolled_back.is_err());
    desk.raise(warning("healed")).await;
    desk.clear("healed").await;
    desk.raise(critical("serious")).await;
    desk.clear("serious").await;
    desk.raise(warning("open")).await;
    let _sender = desk.sender_to(&desk.telegram.url(), &[OWNER], Language::Ru);
    let texts = desk.texts(OWNER, 1).await;
    desk.until_settled().await;
    assert_eq!(desk.telegram.texts(OWNER), texts, "one message for all");
    let titles: Vec<&str> = texts[0].lines().filter(|line| line.contains("<b>")).collect();
    assert_eq!(
        titles,
        [
            "🚨 <b>Не хватает: serious</b>",
            "✅ Устранено: <b>Не хватает: serious</b>",
            "⚠️ <b>Не хватает: open</b>"
        ]
    );
    assert_eq!(desk.count("alert_deliveries WHERE status = 'skipped'").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warning_that_becomes_critical_is_sent_once_more() {
    let desk = Desk::open().await;
    let _sender = desk.sender(&[OWNER]);
    desk.raise(warning("a")).await;
    desk.until_settled().await;
    desk.wait(Duration::seconds(1)).await;
    assert!(desk.raise(critical("a")).await);
    assert!(!desk.raise(critical("a")).await);
    assert!(!desk.raise(warning("a")).await, "it does not become a warning again");
    desk.until_settled().await;
    let texts = desk.texts(OWNER, 2).await;
    assert_eq!(texts.len(), 2);
    assert!(texts[1].starts_with("🚨 Teraz krytyczne: "), "{}", texts[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_warnings_wait_for_the_end_of_quiet_hours() {
    let desk = Desk::open().await;
    // The night in which 03:00 becomes 02:00. Quiet from 22:00 (20:00 UTC) to 07:00 (06:00 UTC).
    desk.set(datetime!(2026-10-24 19:59:58 UTC)).await;
    let _sender = desk.sender(&[OWNER]);
    desk.raise(warning("evening")).await;
    assert!(desk.texts(OWNER, 1).await[0].contains("evening"));
    desk.until_settled().await;

    desk.set(datetime!(2026-10-24 20:00 UTC)).await;
    desk.raise(warning("healed at night")).await;
    desk.raise(warning("night")).await;
    desk.clear("evening").await;
    desk.raise(critical("fire")).await;
    let texts = desk.texts(OWNER, 2).await;
    assert!(texts[1].contains("fire") && !texts[1].contains("night"), "{}", texts[1]);
    desk.clear("healed at night").await;

    // 06:59 local time, eight hours and 59 minutes into quiet hours that last ten: in summer they would be over.
    desk.until("alert_deliveries WHERE status = 'sending'", 0).await;
    desk.set(datetime!(2026-10-25 05:59 UTC)).await;
    desk.raise(critical("second fire")).await;
    let texts = desk.texts(OWNER, 3).await;
    assert!(texts[2].contains("second fire") && !texts[2].contains("evening"), "{}", texts[2]);

    // The chat pauses for a second after each message, from the time at which it was recorded.
    let mut morning = datetime!(2026-10-25 06:00 UTC);
    let texts = eventually("the morning's message", async || {
        desk.set(morning).await;
        morning += Duration::seconds(1);
        let texts = desk.telegram.texts(OWNER);
        (texts.len() >= 4).then_some(texts)
    })
    .await;
    desk.until_settled().await;
    assert_eq!(desk.telegram.texts(OWNER).len(), 4);
    assert!(texts[3].contains("<b>Zabrakło świec: night</b>"), "{}", texts[3]);
    assert!(texts[3].contains("Rozwiązane: <b>Zabrakło świec: evening</b>"), "{}", texts[3]);
    assert!(!texts[3].contains("healed at night"), "{}", texts[3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_is_sent_once_a_day_by_any_number_of_replicas() {
    let desk = Desk::open().await;
    let daily = Daily { key: "stock_sync", at: time!(08:00), zone: "Europe/Warsaw".parse().unwrap() };
    let text = |_| Text { title: "Podsumowanie".to_owned(), body: "Sprzedano 7".to_owned() };
    let try_to_tell = async || {
        let now = desk.now();
        let told: Result<bool, pg::Error> = desk
            .pool
            .transaction(async |conn| match daily.due(conn, now).await? {
                Some(day) => daily.announce(conn, now, day, text).await,
                None => Ok(false),
            })
            .await;
        told.unwrap()
    };
    desk.set(datetime!(2026-11-21 06:59 UTC)).await;
    assert!(!try_to_tell().await, "it is 07:59 in Warsaw");
    desk.set(datetime!(2026-11-21 07:00 UTC)).await;
    let told = join_all((0..10).map(|_| try_to_tell())).await;
    assert_eq!(told.iter().filter(|told| **told).count(), 1);
    let _sender = desk.sender(&[OWNER]);
    let expected = "📋 <b>Podsumowanie</b>\nSprzedano 7\n<i>stock-sync · 2026-11-21 08:00</i>";
    assert_eq!(desk.texts(OWNER, 1).await, [expected]);
    desk.until_settled().await;

    desk.set(datetime!(2026-11-22 14:00 UTC)).await;
    let mut conn = desk.pool.get().await.unwrap();
    assert_eq!(
        daily.due(&mut conn, desk.now()).await.unwrap(),
        Some(date!(2026 - 11 - 22)),
        "late, not lost"
    );
    assert!(try_to_tell().await);
    assert!(!try_to_tell().await);
    assert_eq!(desk.texts(OWNER, 2).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_alerts_are_deleted_after_ninety_days() {
    let desk = Desk::open().await;
    for sku in ["ended", "open", "ends later"] {
        desk.raise(warning(sku)).await;
    }
    let sender = desk.sender(&[OWNER]);
    desk.until_settled().await;
    desk.wait(Duration::seconds(1)).await;
    desk.clear("ended").await;
    desk.until_settled().await;
    sender.stop().await;
    let stop = CancellationToken::new();
    desk.wait(Duration::days(89)).await;
    desk.clear("ends later").await;
    desk.wait(Duration::days(1) + Duration::seconds(1)).await;
    assert_eq!(alerts::RETENTION.once(&desk.pool, &stop).await.unwrap(), 1);
    assert_eq!(desk.count("alert_notices n JOIN alerts a ON a.id = n.alert_id").await, 3);
    assert_eq!(desk.count("alerts WHERE cause LIKE '%/open' OR cause LIKE '%/ends later'").await, 2);
    assert_eq!(desk.count("alert_deliveries").await, 2, "its deliveries are gone too");
}
