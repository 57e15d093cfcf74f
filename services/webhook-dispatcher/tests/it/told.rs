//! What others are told of webhooks that do not arrive: by events, and by alerts.

use serde_json::{Value, json};
use testkit::{Telegram, eventually, side_by_side, tell};

use crate::support::{Desk, LOCAL, Receiver, all_to, event};

const EXHAUSTED: &str = "webhook.delivery_exhausted";
const DISABLED: &str = "webhook.subscription_disabled";
const OWNER: i64 = 700;

/// Places at which a delivery that fails for the last time is lost sight of. The first commit is the fan-out's, the
/// second that of the outcome.
const POINTS: [&str; 6] = [
    "webhook.after_send",
    "outbox.after_push",
    "pg.before_commit@2",
    "pg.after_commit@2",
    "webhook.after_record",
    "consumer.before_acknowledge",
];

/// Events of one type that came to a receiver.
fn heard(receiver: &Receiver, kind: &str) -> Vec<Value> {
    let contents = receiver.hits().into_iter().map(|hit| hit.content());
    contents.filter(|content| content["type"] == kind).map(|content| content["data"].clone()).collect()
}

async fn until_heard(receiver: &Receiver, kind: &str, number: usize) -> Vec<Value> {
    eventually(&format!("{number} events {kind}"), async || {
        let heard = heard(receiver, kind);
        (heard.len() >= number).then_some(heard)
    })
    .await
}

/// A desk whose alerts come to this Telegram.
async fn with_telegram(telegram: &Telegram) -> Desk {
    let (url, owner) = (telegram.url(), OWNER.to_string());
    let alerts = [
        ("ALERTS_TELEGRAM_URL", url.as_str()),
        ("ALERTS_TELEGRAM_TOKEN", "123456:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"),
        ("ALERTS_TELEGRAM_CHATS", &owner),
    ];
    Desk::open_with(&[&LOCAL[..], &alerts].concat()).await
}

async fn until_texts(telegram: &Telegram, number: usize) -> Vec<String> {
    eventually(&format!("{number} alerts"), async || {
        let texts = telegram.texts(OWNER);
        (texts.len() >= number).then_some(texts)
    })
    .await
}

/// Only what owners of one user's subscriptions may know is told to them.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_is_given_up_is_told_to_whom_it_concerns_and_there_is_an_end_to_it() {
    let mut desk = Desk::open().await;
    let (ours, of_jan, of_anna) =
        (Receiver::answering(500), Receiver::answering(200), Receiver::answering(200));
    let failing = Receiver::answering(500);
    let never_again = |receiver: &Receiver, events: &str| json!({ "url": receiver.url, "events": [events], "retry_count": 0 });
    // Fails itself, at hearing of failures.
    let (ear, _) = desk.subscribe(&never_again(&ours, "webhook.*"));
    let service = desk.service.token.clone();
    let both = "webhook-dispatcher:read webhook-dispatcher:write";
    for (user, receiver) in [("anna", &of_anna), ("sklep-ząbek", &of_jan)] {
        desk.service.token = desk.service.token_of(user, both);
        desk.subscribe(&all_to(receiver));
    }
    let (id, _) = desk.subscribe(&never_again(&failing, "*"));
    desk.service.token = service;
    let told = event(1);
    desk.tell(std::slice::from_ref(&told)).await;

    let data = until_heard(&of_jan, EXHAUSTED, 1).await.remove(0);
    assert_eq!(
        (&data["subscription_id"], &data["user_id"], &data["event_id"], &data["event_type"]),
        (&json!(id), &json!("sklep-ząbek"), &json!(told.id), &json!("account.connected"))
    );
    assert_eq!((&data["attempts"], &data["response_status"]), (&json!(1), &json!(500)));
    assert_eq!(data["error"], "answered 500 Internal Server Error");
    let unheard = desk.delivery(&ear, "failed").await;
    assert_eq!(unheard["event_type"], EXHAUSTED);
    // Its own test fails too, and nobody is told of that.
    desk.service.post(&format!("/webhooks/{ear}/test"), &json!({}));
    desk.until("webhook_deliveries WHERE event_type = 'webhook.test' AND status = 'failed'", 1).await;

    // Whatever was told before this one was taken in before it.
    desk.tell(&[event(2)]).await;
    desk.until("webhook_deliveries WHERE event_type = 'account.connected' AND status = 'failed'", 2).await;
    desk.until(&format!("messages WHERE type = '{EXHAUSTED}'"), 2).await;
    assert_eq!(desk.count("messages WHERE type LIKE 'webhook.%'").await, 3, "two events and a test");
    assert_eq!(heard(&of_anna, EXHAUSTED), Vec::<Value>::new(), "another user's");
    assert_eq!(heard(&failing, EXHAUSTED), Vec::<Value>::new(), "it never hears of itself");
}

#[test]
fn what_is_given_up_is_told_once_wherever_the_process_dies() {
    tell(&side_by_side(&POINTS, die_at).join("\n"));
}

async fn die_at(point: &'static str) -> String {
    let mut desk = Desk::open().await;
    let (failing, ear) = (Receiver::answering(500), Receiver::answering(200));
    desk.subscribe(
        &json!({ "url": failing.url, "events": ["account.*"], "retry_count": 0, "timeout_seconds": 1 }),
    );
    desk.subscribe(&json!({ "url": ear.url, "events": ["webhook.*"], "timeout_seconds": 1 }));
    desk.service.kill();
    desk.service.start_to_die_at(point);
    desk.tell(&[event(1)]).await;
    eventually(&format!("the death at {point}"), async || desk.service.has_died_at(point).then_some(()))
        .await;
    desk.service.start_again();
    desk.until("webhook_deliveries WHERE status = 'success'", 1).await;
    // What is told after it is taken in after it: a second one would have been there before.
    desk.tell(&[event(2)]).await;
    desk.until("webhook_deliveries WHERE status = 'success'", 2).await;
    let events = format!("messages WHERE type = '{EXHAUSTED}'");
    assert_eq!(desk.count(&events).await, 2, "{point}: one for each delivery");
    assert_eq!(desk.count("webhook_deliveries WHERE status = 'failed'").await, 2, "{point}");
    format!("{point:<30} died, told once")
}

/// Attempts are made over HTTP; only the moment of the first failure is moved into the past.
#[tokio::test(flavor = "multi_thread")]
async fn five_days_of_nothing_but_failures_disable_a_subscription_and_people_are_told_once() {
    let telegram = Telegram::start();
    let desk = with_telegram(&telegram).await;
    let (failing, ear) = (Receiver::answering(500), Receiver::answering(200));
    let wish = json!({ "name": "Magazyn", "url": failing.url, "events": ["account.*"], "retry_count": 0 });
    let (id, _) = desk.subscribe(&wish);
    let path = format!("/webhooks/{id}");
    desk.subscribe(&json!({ "url": ear.url, "events": ["webhook.*"] }));
    let failed = "webhook_deliveries WHERE status = 'failed'";
    let begun = async |interval: &str| {
        let moved = format!(
            "UPDATE webhook_subscriptions SET first_failure_at = now() - interval '{interval}' WHERE id = '{id}'"
        );
        desk.execute(&moved).await;
    };
    desk.tell(&[event(1)]).await;
    desk.until(failed, 1).await;
    begun("4 days 23 hours").await;
    desk.tell(&[event(2)]).await;
    desk.until(failed, 2).await;
    assert_eq!(desk.service.get(&path).1["is_active"], true);
    begun("5 days").await;
    desk.tell(&[event(3)]).await;
    desk.until(failed, 3).await;

    let (_, shown) = desk.service.get(&path);
    assert_eq!(
        (&shown["is_active"], &shown["disabled_reason"]),
        (&json!(false), &json!("the receiver has only failed for five days"))
    );
    let data = until_heard(&ear, DISABLED, 1).await.remove(0);
    assert_eq!(
        (&data["subscription_id"], &data["reason"], &data["number"]),
        (&json!(id), &json!("only_failures"), &json!(1))
    );
    let texts = until_texts(&telegram, 1).await;
    assert!(texts[0].contains("Magazyn") && texts[0].contains("five days"), "{texts:?}");
    desk.tell(&[event(4)]).await;
    assert_eq!(
        desk.delivery(&id, "skipped").await["error_message"],
        "the receiver has only failed for five days"
    );

    // Active again it has its five days again, and people are told that it is.
    desk.service.patch(&path, &json!({ "is_active": true }));
    let texts = until_texts(&telegram, 2).await;
    assert!(texts[1].contains("Magazyn"), "{texts:?}");
    desk.until("alerts WHERE kind = 'webhook_disabled' AND cleared_at IS NOT NULL", 1).await;
    desk.tell(&[event(5)]).await;
    desk.until(failed, 4).await;
    assert_eq!(desk.service.get(&path).1["is_active"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_gone_is_told_of_once_however_many_were_under_way() {
    let telegram = Telegram::start();
    let desk = with_telegram(&telegram).await;
    let (gone, ear) = (Receiver::answering(410), Receiver::answering(200));
    gone.close_gate();
    let url = gone.url.replace("/hooks", "/hooks?token=tajne");
    let (id, _) = desk.subscribe(&json!({ "url": url, "events": ["account.*"] }));
    desk.subscribe(&json!({ "url": ear.url, "events": ["webhook.*"] }));
    desk.tell(&(0..8).map(event).collect::<Vec<_>>()).await;
    gone.until_hits(8).await;
    gone.open_gate();
    assert_eq!(until_heard(&ear, EXHAUSTED, 8).await.len(), 8);
    let data = until_heard(&ear, DISABLED, 1).await;
    assert_eq!((data.len(), &data[0]["reason"], &data[0]["number"]), (1, &json!("gone"), &json!(1)));
    assert_eq!(desk.count(&format!("messages WHERE type = '{DISABLED}'")).await, 1);
    desk.until("alerts WHERE times = 1 AND cleared_at IS NULL", 1).await;
    let texts = until_texts(&telegram, 1).await;
    assert!(texts[0].contains("127.0.0.1") && !texts[0].contains("tajne"), "{texts:?}");

    // A second time is a second time.
    desk.service.patch(&format!("/webhooks/{id}"), &json!({ "is_active": true }));
    desk.tell(&[event(9)]).await;
    assert_eq!(until_heard(&ear, DISABLED, 2).await[1]["number"], 2);
    // Removed, it concerns nobody any more.
    desk.until("alerts WHERE cleared_at IS NULL", 1).await;
    desk.service.delete(&format!("/webhooks/{id}"));
    desk.until("alerts WHERE cleared_at IS NULL", 0).await;
}
