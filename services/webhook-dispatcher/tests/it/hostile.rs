//! Receivers that do what they should not: each attempt ends in time, says why, and costs little.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{NameReply, NameServer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::support::{Desk, LOCAL, Receiver, event};

/// The seconds of an attempt that is slow by intent, and of any other: no machine is as slow as that.
const FEW: u32 = 2;
const PLENTY: u32 = 30;

/// Serves every connection with `behave`, after its request's first bytes were read.
async fn raw<F>(behave: impl Fn(TcpStream) -> F + Send + Sync + Clone + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let behave = behave.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                if stream.read(&mut buffer).await.is_ok() {
                    behave(stream).await;
                }
            });
        }
    });
    address
}

/// Writes `piece` again and again, until nobody listens.
async fn drip(mut stream: TcpStream, first: &[u8], piece: &[u8], pause: Duration) {
    let mut sent = stream.write_all(first).await;
    let mut pace = tokio::time::interval(pause.max(Duration::from_micros(100)));
    while sent.is_ok() {
        pace.tick().await;
        sent = stream.write_all(piece).await;
    }
}

/// The one try of a delivery to this address, which has so many seconds.
async fn try_of(desk: &Desk, url: &str, seconds: u32) -> Value {
    let wish = json!({ "url": url, "events": ["account.*"], "retry_count": 0, "timeout_seconds": seconds });
    let (id, _) = desk.subscribe(&wish);
    desk.tell(&[event(1)]).await;
    let tried = desk.delivery(&id, "failed").await["tries"][0].clone();
    assert!(tried["duration_ms"].as_u64().unwrap() < 15_000, "{url}: {tried}");
    desk.service.delete(&format!("/webhooks/{id}"));
    tried
}

#[tokio::test(flavor = "multi_thread")]
async fn every_attempt_ends_in_time_and_says_why() {
    const TICK: Duration = Duration::from_millis(50);
    let desk = Desk::open().await;
    let silent = raw(|stream| async move {
        let _kept = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let slow_headers = raw(|stream| drip(stream, b"HTTP/1.1 200 OK\r\n", b"x: y\r\n", TICK)).await;
    let slow_body =
        raw(|stream| drip(stream, b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n", b"a", TICK)).await;
    let headers = raw(|stream| drip(stream, b"HTTP/1.1 200 OK\r\n", &[b'x'; 8192], Duration::ZERO)).await;
    let broken = raw(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await.unwrap();
    })
    .await;
    let reset = raw(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n").await.unwrap();
        stream.set_zero_linger().unwrap();
    })
    .await;
    let garbage = raw(|mut stream| async move {
        stream.write_all(b"\0\0\0 220 smtp ready\r\n").await.unwrap();
    })
    .await;
    // Bound until the end, so that nobody else gets its port, and never listening.
    let unheard = TcpSocket::new_v4().unwrap();
    unheard.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let closed = unheard.local_addr().unwrap();
    // TLS that nobody vouches for, over what is no TLS at all.
    let no_tls = garbage;
    for (url, seconds, class) in [
        (format!("http://{silent}/"), FEW, "timeout"),
        (format!("http://{slow_headers}/"), FEW, "timeout"),
        (format!("http://{slow_body}/"), FEW, "timeout"),
        (format!("http://{broken}/"), PLENTY, "incomplete"),
        (format!("http://{reset}/"), PLENTY, "incomplete"),
        (format!("http://{garbage}/"), PLENTY, "network"),
        (format!("http://{closed}/"), PLENTY, "connect"),
        (format!("https://{no_tls}/"), PLENTY, "tls"),
    ] {
        let tried = try_of(&desk, &url, seconds).await;
        assert_eq!(tried["error_class"], class, "{url}: {tried}");
    }
    let tried = try_of(&desk, &format!("http://{headers}/"), FEW).await;
    assert!(["network", "timeout"].contains(&tried["error_class"].as_str().unwrap()), "{tried}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_end_is_read_no_further_than_it_is_kept() {
    let desk = Desk::open().await;
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let endless = raw(move |mut stream| {
        let told = told.clone();
        async move {
            let mut sent = 0_usize;
            stream.write_all(b"HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
            let chunk = [b"1000\r\n".as_slice(), &[0xff; 4096], b"\r\n"].concat();
            while stream.write_all(&chunk).await.is_ok() {
                sent += chunk.len();
            }
            told.send(sent).unwrap();
        }
    })
    .await;
    let tried = try_of(&desk, &format!("http://{endless}/"), PLENTY).await;
    assert_eq!((&tried["error_class"], &tried["response_status"]), (&json!("status"), &json!(500)));
    let kept = tried["response_body"].as_str().unwrap();
    assert!(kept.len() <= 4096 && kept.starts_with('\u{fffd}'), "{} bytes kept", kept.len());
    // What it could send went into the buffers of two sockets.
    let sent = heard.recv().await.unwrap();
    assert!(sent < 16 * 1024 * 1024, "{sent} bytes were taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_looked_up_in_time_and_lead_to_no_private_network() {
    let server = NameServer::replying(|name| match name {
        "silent.test" => NameReply::Silence,
        "failing.test" => NameReply::ServerFailure,
        "inside.test" => NameReply::Addresses(vec!["10.0.0.1".parse().unwrap()]),
        "both.test" => {
            NameReply::Addresses(vec!["8.8.8.8".parse().unwrap(), "169.254.169.254".parse().unwrap()])
        }
        _ => NameReply::Addresses(Vec::new()),
    });
    let address = server.address().to_string();
    let settings = [LOCAL.as_slice(), &[("WEBHOOK_NAME_SERVERS", address.as_str())]].concat();
    let desk = Desk::open_with(&settings).await;
    for (name, seconds, class, text) in [
        ("silent.test", 1, "dns", "was not looked up: no name server answered within 1s"),
        ("silent.test", PLENTY, "dns", "was not looked up: no name server answered in time"),
        ("failing.test", PLENTY, "dns", "was not looked up: the name server answered SERVFAIL"),
        ("absent.test", PLENTY, "dns", "has no address"),
        ("inside.test", PLENTY, "address", "resolves to a private or special network"),
        ("both.test", PLENTY, "address", "resolves to a private or special network"),
    ] {
        let tried = try_of(&desk, &format!("http://{name}/hook?token=tajne"), seconds).await;
        let expected = (json!(class), json!(format!("the name {name:?} {text}")));
        assert_eq!((&tried["error_class"], &tried["error_message"]), (&expected.0, &expected.1), "{tried}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_that_would_carry_the_body_on_is_not_followed() {
    let desk = Desk::open().await;
    let target = Receiver::answering(200);
    for status in ["307 Temporary Redirect", "308 Permanent Redirect"] {
        let answer =
            format!("HTTP/1.1 {status}\r\nlocation: {}\r\ncontent-length: 10\r\n\r\nmoved away", target.url);
        let moved = raw(move |mut stream| {
            let answer = answer.clone();
            async move { stream.write_all(answer.as_bytes()).await.unwrap() }
        })
        .await;
        let tried = try_of(&desk, &format!("http://{moved}/"), PLENTY).await;
        assert_eq!(
            (&tried["error_class"], &tried["response_body"]),
            (&json!("redirect"), &json!("moved away"))
        );
    }
    assert_eq!(target.hits().len(), 0);
}

/// The date of RFC 9110 names seconds; the endpoint is left alone until then, and so is what failed.
#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_left_alone_until_the_date_it_names() {
    let desk = Desk::open().await;
    let until = (OffsetDateTime::now_utc() + time::Duration::minutes(10)).replace_nanosecond(0).unwrap();
    let date = until
        .format(format_description!(
            "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
        ))
        .unwrap();
    let busy = raw(move |mut stream| {
        let answer = format!("HTTP/1.1 503 Busy\r\nretry-after: {date}\r\ncontent-length: 0\r\n\r\n");
        async move { stream.write_all(answer.as_bytes()).await.unwrap() }
    })
    .await;
    let (id, _) =
        desk.subscribe(&json!({ "url": format!("http://{busy}/"), "events": ["*"], "retry_schedule": [1] }));
    desk.tell(&[event(1)]).await;
    desk.until("webhook_subscriptions WHERE circuit_state = 'open'", 1).await;
    let (_, shown) = desk.service.get(&format!("/webhooks/{id}"));
    let delivery = desk.delivery(&id, "pending").await;
    for at in [&shown["health"]["circuit_until"], &delivery["next_attempt_at"]] {
        let at = OffsetDateTime::parse(at.as_str().unwrap(), &Rfc3339).unwrap();
        assert!((at - until).abs() < time::Duration::seconds(10), "{at} for {until}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_used_again() {
    let desk = Desk::open().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let connections = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            tokio::spawn(async move {
                let mut buffer = vec![0; 16 * 1024];
                // The requests here are smaller than a segment: one read is one request.
                while stream.read(&mut buffer).await.is_ok_and(|length| length > 0) {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
                }
            });
        }
    });
    desk.subscribe(&json!({ "url": url, "events": ["*"], "max_concurrency": 1 }));
    // One after another: a connection is free again a moment after its answer was read.
    for number in 1..=50 {
        desk.tell(&[event(1)]).await;
        desk.until("webhook_deliveries WHERE status = 'success'", number).await;
    }
    assert_eq!(connections.load(std::sync::atomic::Ordering::SeqCst), 1);
}
