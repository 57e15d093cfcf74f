//! Failures of Telegram, a chat or a sender.

use domain::Language;
use serde_json::json;
use testkit::eventually;
use time::Duration;

use crate::support::{CREW, Desk, OWNER, TOKEN, critical, warning};

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_without_telegram_loses_nothing_and_repeats_nothing() {
    let desk = Desk::open().await;
    desk.telegram.answer(|_post| Some((502, json!("<html>Bad Gateway</html>"))));
    desk.raise(critical("first")).await;
    let sender = desk.sender(&[OWNER, CREW]);
    let mut asked = 0;
    for minute in 0..12 {
        if minute > 0 {
            desk.wait(Duration::minutes(5)).await;
        }
        desk.until_asked_more_than(asked).await;
        desk.until("alert_deliveries WHERE status = 'sending'", 0).await;
        // Nothing more is sent until the clock moves.
        asked = desk.telegram.posts().len();
        if minute == 6 {
            desk.raise(warning("second")).await;
            desk.until("alert_deliveries", 4).await;
        }
    }
    sender.stop().await;
    desk.wait(Duration::minutes(5)).await;
    desk.telegram.take();
    let asked = desk.telegram.posts().len();
    // After twelve failures the next attempt is five minutes after the last one, in any process.
    let _another = desk.sender(&[OWNER, CREW]);
    desk.until_settled().await;
    assert_eq!(desk.telegram.posts().len(), asked + 2, "one message to each");
    for chat in [OWNER, CREW] {
        let texts = desk.telegram.texts(chat);
        assert_eq!(texts.len(), 1);
        assert!(texts[0].contains("first") && texts[0].contains("second"), "{}", texts[0]);
    }
    desk.until("alert_chats WHERE failures = 0 AND trouble IS NULL", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_after_delays_only_its_chat() {
    let desk = Desk::open().await;
    desk.telegram.answer(|post| {
        let limited = json!({ "ok": false, "error_code": 429, "description": "Too Many Requests: retry after 35",
            "parameters": { "retry_after": 35 } });
        Some(if post.chat_id == CREW { (429, limited) } else { (200, json!({ "ok": true })) })
    });
    let _sender = desk.sender(&[CREW, OWNER]);
    desk.raise(warning("a")).await;
    desk.texts(OWNER, 1).await;
    desk.until("alert_deliveries WHERE status = 'sending'", 0).await;
    desk.telegram.take();
    desk.wait(Duration::seconds(34)).await;
    // The message of the other chat shows that the sender ran at this time, and considered this chat too.
    desk.raise(warning("b")).await;
    desk.texts(OWNER, 2).await;
    assert_eq!(desk.telegram.texts(CREW), Vec::<String>::new(), "a second too early");
    desk.wait(Duration::seconds(1)).await;
    let texts = desk.texts(CREW, 1).await;
    assert!(texts[0].contains(": a<") && texts[0].contains(": b<"), "{}", texts[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_to_one_chat_are_spaced() {
    let desk = Desk::open().await;
    let _senders = [(); 2].map(|()| desk.sender(&[OWNER, CREW]));
    desk.raise(warning("a")).await;
    desk.until_settled().await;
    desk.raise(warning("b")).await;
    desk.raise(warning("c")).await;
    desk.until("alert_deliveries WHERE status = 'pending'", 4).await;
    desk.wait(Duration::seconds(1)).await;
    let texts = desk.texts(OWNER, 2).await;
    assert!(texts[1].contains(": b<") && texts[1].contains(": c<"), "{}", texts[1]);
    assert_eq!(desk.telegram.texts(CREW).len(), 1, "twenty a minute at most to a group");
    desk.wait(Duration::seconds(2)).await;
    desk.until_settled().await;
    assert_eq!(desk.telegram.texts(CREW).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocking_chat_is_retried_hourly_and_then_gets_all() {
    let desk = Desk::open().await;
    desk.telegram.answer(|post| {
        let blocked = json!({ "ok": false, "error_code": 403, "description": "Forbidden: bot was blocked by the user" });
        Some(if post.chat_id == OWNER { (403, blocked) } else { (200, json!({ "ok": true })) })
    });
    let _sender = desk.sender(&[OWNER, CREW]);
    desk.raise(warning("a")).await;
    desk.texts(CREW, 1).await;
    desk.until("alert_chats WHERE trouble = 'Forbidden: bot was blocked by the user' AND chat_id = 42", 1)
        .await;
    desk.until("alert_deliveries WHERE status = 'sending'", 0).await;
    desk.telegram.take();
    desk.wait(Duration::minutes(59)).await;
    desk.raise(warning("b")).await;
    desk.texts(CREW, 2).await;
    assert_eq!(desk.telegram.texts(OWNER), Vec::<String>::new());
    desk.wait(Duration::minutes(1)).await;
    let texts = desk.texts(OWNER, 1).await;
    assert!(texts[0].contains(": a<") && texts[0].contains(": b<"), "{}", texts[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_killed_before_recording_repeats_one_message() {
    let desk = Desk::open().await;
    // The message is in the chat, and the sender does not get the answer.
    desk.telegram.answer(|_post| None);
    desk.raise(warning("a")).await;
    let dies = desk.sender(&[OWNER]);
    desk.until_asked_more_than(0).await;
    drop(dies);
    desk.telegram.take();
    let _takes_over = desk.sender(&[OWNER]);
    // It was cleared meanwhile: the chat may have got the alert, so that it gets its clearing.
    desk.clear("a").await;
    desk.until("alert_deliveries", 2).await;
    assert_eq!(desk.telegram.posts().len(), 1, "the chat is the dead sender's until its lease ends");
    desk.wait(Duration::minutes(1)).await;
    desk.until_settled().await;
    let texts = desk.telegram.texts(OWNER);
    assert_eq!((texts.len(), desk.telegram.posts().len()), (1, 2));
    assert!(texts[0].contains("⚠️") && texts[0].contains("✅"), "{}", texts[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_request_times_out_and_is_retried() {
    let desk = Desk::open().await;
    desk.telegram.answer(|post| (post.chat_id == CREW).then(|| (200, json!({ "ok": true }))));
    let _sender = desk.sender(&[OWNER, CREW]);
    desk.raise(warning("a")).await;
    desk.texts(CREW, 1).await;
    desk.until("alert_chats WHERE failures = 1 AND chat_id = 42", 1).await;
    assert_eq!(desk.count("alert_deliveries WHERE status = 'sending'").await, 1, "it may have arrived");
    desk.telegram.take();
    desk.wait(Duration::seconds(1)).await;
    assert_eq!(desk.texts(OWNER, 1).await.len(), 1);
    desk.until_settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgraded_group_is_followed_and_a_bad_text_blocks_none() {
    let desk = Desk::open().await;
    desk.telegram.answer(|post| {
        Some(match post.chat_id {
            CREW => (
                400,
                json!({ "ok": false, "error_code": 400,
                    "description": "Bad Request: group chat was upgraded to a supergroup chat",
                    "parameters": { "migrate_to_chat_id": -100 } }),
            ),
            OWNER => (
                400,
                json!({ "ok": false, "error_code": 400,
                    "description": "Bad Request: can't parse entities: Unsupported start tag" }),
            ),
            _ => (200, json!({ "ok": true })),
        })
    });
    let _sender = desk.sender(&[CREW, OWNER]);
    desk.raise(warning("a")).await;
    desk.until_settled().await;
    assert_eq!(desk.telegram.texts(-100).len(), 1);
    assert_eq!(
        desk.count("alert_deliveries WHERE status = 'failed' AND error LIKE '%can''t parse%'").await,
        1
    );
    desk.telegram.take();
    desk.wait(Duration::seconds(3)).await;
    desk.raise(warning("b")).await;
    let texts = desk.texts(OWNER, 1).await;
    assert!(texts[0].contains(": b<"), "{}", texts[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_text_fails_alone() {
    let desk = Desk::open().await;
    desk.telegram.answer(|post| {
        let refused =
            json!({ "ok": false, "error_code": 400, "description": "Bad Request: message is too long" });
        Some(if post.text.contains(": b<") { (400, refused) } else { (200, json!({ "ok": true })) })
    });
    for sku in ["a", "b", "c"] {
        desk.raise(warning(sku)).await;
    }
    let _sender = desk.sender(&[OWNER]);
    eventually("all settled", async || {
        desk.wait(Duration::seconds(1)).await;
        (desk.count("alert_deliveries WHERE status IN ('sent', 'failed')").await == 3).then_some(())
    })
    .await;
    let texts = desk.telegram.texts(OWNER);
    assert!(texts.len() == 2 && texts[0].contains(": a<") && texts[1].contains(": c<"), "{texts:?}");
    assert_eq!(desk.count("alert_deliveries WHERE status = 'failed' AND error LIKE '%too long'").await, 1);
    assert_eq!(desk.telegram.posts().len(), 4, "together, and then each by itself");

    // Later notices are sent in one message again.
    desk.telegram.take();
    desk.raise_together(&[warning("d"), warning("e")]).await;
    desk.wait(Duration::seconds(1)).await;
    let texts = desk.texts(OWNER, 3).await;
    assert!(texts[2].contains(": d<") && texts[2].contains(": e<"), "{texts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_not_in_stored_errors() {
    let desk = Desk::open().await;
    let kept = async |trouble: &str| {
        desk.until(&format!("alert_chats WHERE trouble LIKE '{trouble}'"), 1).await;
        assert_eq!(desk.count(&format!("alert_chats WHERE trouble LIKE '%{TOKEN}%'")).await, 0);
    };
    desk.raise(warning("a")).await;
    // Nothing listens there: the port is reserved.
    let silent = tokio::net::TcpSocket::new_v4().unwrap();
    silent.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let silent_at = silent.local_addr().unwrap();
    let sender = desk.sender_to(&format!("http://{silent_at}/"), &[OWNER], Language::En);
    kept("%error sending request%").await;
    sender.stop().await;
    // A proxy repeats the requested address in its answer.
    desk.telegram.answer(|post| Some((404, json!({ "ok": false, "description": post.path }))));
    desk.wait(Duration::minutes(5)).await;
    let _sender = desk.sender(&[OWNER]);
    kept("404%/bot‹redacted›/sendMessage").await;
}
