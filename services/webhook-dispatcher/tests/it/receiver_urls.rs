//! Receiver URLs are stored as they are used; path and query are sealed and shown only to credentials that may write.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::keys::{NEW, OLD, replace, with};
use crate::support::{Desk, LOCAL, Receiver, event};

const READ: &str = "webhook-dispatcher:read";
const WRITE: &str = "webhook-dispatcher:write";

#[tokio::test(flavor = "multi_thread")]
async fn urls_are_shown_and_stored_as_they_are_used() {
    let desk = Desk::open_with(&[]).await;
    for (given, used) in [
        ("HTTPS://Shop.Example:443", "https://shop.example/"),
        ("https://żółw.example/a b?t=ż", "https://xn--w-uga1v8h.example/a%20b?t=%C5%BC"),
        ("https://xn--w-uga1v8h.example/x", "https://xn--w-uga1v8h.example/x"),
        ("https://shop.example\\a\\..\\b", "https://shop.example/b"),
        ("https://8.8.8.8:08443/?q", "https://8.8.8.8:8443/?q"),
    ] {
        let (status, made) = desk.service.post("/webhooks", &json!({ "url": given, "events": ["*"] }));
        assert_eq!((status, &made["url"]), (201, &json!(used)), "{given}: {made}");
        let path = format!("/webhooks/{}", made["id"].as_str().unwrap());
        assert_eq!(desk.service.get(&path).1["url"], used, "{given}");
        let (status, changed) = desk.service.patch(&path, &json!({ "url": given, "description": "again" }));
        assert_eq!((status, &changed["url"]), (200, &json!(used)), "{given}: {changed}");
    }
    assert_eq!(desk.count("webhook_subscriptions WHERE origin = 'https://xn--w-uga1v8h.example'").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn sealed_paths_are_shown_only_to_writers() {
    let mut desk = Desk::open().await;
    let receiver = Receiver::answering(500);
    let url = receiver.url.replace("/hooks", "/tajne-haslo/hook?token=tajne");
    let shown = receiver.url.replace("/hooks", "/…");
    let (of_service, both) = (desk.service.token.clone(), format!("{READ} {WRITE}"));
    desk.service.token = desk.service.token_of("anna", &both);
    let wish = json!({ "url": url, "events": ["*"], "retry_count": 0 });
    let (id, _) = desk.subscribe(&wish);
    let path = format!("/webhooks/{id}");
    let whole: Value = desk.service.get(&path).1;
    assert_eq!(whole["url"], url);
    // The shortened URL cannot be written back.
    let (status, problem) = desk.service.patch(&path, &json!({ "url": shown }));
    assert_eq!((status, &problem["errors"][0]["pointer"]), (400, &json!("/url")), "{problem}");
    let (status, changed) = desk.service.patch(&path, &json!({ "max_concurrency": 3 }));
    assert_eq!((status, &changed["url"]), (200, &json!(url)));

    for reader in [desk.service.token_of("anna", READ), desk.service.issue(READ)] {
        desk.service.token = reader;
        assert_eq!(desk.service.get(&path).1["url"], shown);
        assert_eq!(desk.service.get("/webhooks").1["items"][0]["url"], shown);
    }
    desk.service.token = of_service;
    assert_eq!(desk.service.get("/webhooks").1["items"][0]["url"], url);

    let sent = desk.service.post(&format!("{path}/test"), &json!({}));
    assert_eq!(sent.0, 202, "{}", sent.1);
    assert_eq!(receiver.until_hits(1).await[0].target, "/tajne-haslo/hook?token=tajne");
    desk.delivery(&id, "failed").await;
    for table in ["webhook_subscriptions", "webhook_credentials"] {
        let clear = format!("{table} t WHERE t::text ~ 'tajne' OR t::text ~ encode('tajne', 'hex')");
        assert_eq!(desk.count(&clear).await, 0, "{table} holds the secret sealed");
    }
    assert!(!desk.service.log().contains("tajne"), "{}", desk.service.log());
}

/// Answers as frameworks do that name the request they refuse: the target in `Location` and, decoded too, in the body.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 16 * 1024];
            let length = stream.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let target = request.split(' ').nth(1).unwrap();
            let (path, query) = target.split_once('?').unwrap();
            let body = format!(
                "Cannot POST {target}, {}, {path}/, {query}\n{request}",
                target.replace("%C5%BC", "ż")
            );
            let answer = format!(
                "HTTP/1.1 308 Permanent Redirect\r\nlocation: https://other.example{path}/?{query}\r\n\
                 connection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_repeat_what_is_sealed_are_redacted() {
    let mut desk = Desk::open().await;
    let url = format!("http://{}/hooks/tajne-%C5%BCeton?token=tajne-haslo", echo().await);
    let (id, _) = desk.subscribe(&json!({
        "url": url, "events": ["*"], "retry_count": 0, "headers": { "Authorization": "Bearer tajne-slowo" },
    }));
    desk.tell(&[event(1)]).await;
    desk.delivery(&id, "failed").await;
    desk.service.token = desk.service.issue(READ);
    let failed = desk.delivery(&id, "failed").await;
    assert!(!failed.to_string().contains("tajne"), "{failed}");
    assert_eq!(failed["tries"][0]["response_headers"]["location"], "https://other.example…/?…");
    assert!(failed["response_body"].as_str().unwrap().starts_with("Cannot POST …, …, …/, …\n"), "{failed}");
    assert_eq!(desk.count("delivery_attempts a WHERE a::text ~ 'tajne'").await, 0);
    assert_eq!(desk.count("webhook_deliveries d WHERE d::text ~ 'tajne'").await, 0);
}

/// The HTTP client's own errors hold the whole URL.
#[tokio::test(flavor = "multi_thread")]
async fn no_error_of_an_attempt_repeats_path_or_query() {
    let desk = Desk::open_with(&[&LOCAL[..], &[("LOG_LEVEL", "debug")]].concat()).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let wish =
        json!({ "url": format!("http://{address}/hook?token=tajne"), "events": ["*"], "retry_count": 0 });
    let (id, _) = desk.subscribe(&wish);
    desk.tell(&[event(1)]).await;
    let failed = desk.delivery(&id, "failed").await;
    assert!(!failed.to_string().contains("tajne"), "{failed}");
    assert!(!desk.service.log().contains("tajne"), "{}", desk.service.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_sealed_with_a_rotated_key_is_still_used() {
    let mut desk = Desk::open_with(&with(OLD)).await;
    let receiver = Receiver::answering(204);
    let url = format!("{}?token=tajne", receiver.url);
    let (id, _) = desk.subscribe(&json!({ "url": url, "events": ["*"] }));
    let both = format!("{NEW},{OLD}");
    replace(&mut desk, &both);
    let rotated = desk.service.command(&["rotate-keys"], &[("ENCRYPTION_KEYS", &both)]);
    assert!(rotated.status.success(), "{rotated:?}");
    replace(&mut desk, NEW);
    assert_eq!(desk.service.get(&format!("/webhooks/{id}")).1["url"], url);
    desk.tell(&[event(1)]).await;
    assert_eq!(receiver.until_hits(1).await[0].target, "/hooks?token=tajne");
}
