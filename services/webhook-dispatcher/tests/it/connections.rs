//! Receivers that close connections in use.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Desk, event};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// How a receiver closes a connection.
#[derive(Debug, Clone, Copy)]
enum Close {
    /// It has read the request: the sender sees the connection's end.
    AfterReading,
    /// It leaves the request unread: the sender sees a reset.
    BeforeReading,
}

async fn request(stream: &mut TcpStream) -> bool {
    // The requests here are smaller than a segment: one read is one request.
    stream.read(&mut vec![0; 16 * 1024]).await.is_ok_and(|length| length > 0)
}

/// A receiver that closes each connection at the request after `answered` answers. Returns its address and the number of
/// unanswered requests.
async fn closing_after(answered: usize, close: Close) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let unanswered = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&unanswered);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                for _ in 0..answered {
                    if !request(&mut stream).await {
                        return;
                    }
                    stream.write_all(ANSWER).await.unwrap();
                }
                let is_asked = match close {
                    Close::AfterReading => request(&mut stream).await,
                    Close::BeforeReading => stream.peek(&mut [0]).await.is_ok_and(|length| length > 0),
                };
                counted.fetch_add(usize::from(is_asked), Ordering::SeqCst);
            });
        }
    });
    (address, unanswered)
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_closed_on_reuse_uses_no_attempt() {
    let desk = Desk::open().await;
    let mut delivered = 0;
    for close in [Close::AfterReading, Close::BeforeReading] {
        let (address, unanswered) = closing_after(1, close).await;
        let wish = json!({ "url": format!("http://{address}/"), "events": ["*"], "retry_count": 0 });
        let (id, _) = desk.subscribe(&wish);
        for number in 1..=10 {
            desk.tell(&[event(1)]).await;
            desk.until("webhook_deliveries WHERE status = 'success' AND attempts = 1", delivered + number)
                .await;
        }
        delivered += 10;
        assert!(unanswered.load(Ordering::SeqCst) > 0, "{close:?}: no connection was used again");
        assert_eq!(desk.count("delivery_attempts").await, delivered, "{close:?}");
        desk.service.delete(&format!("/webhooks/{id}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_connection_closed_without_an_answer_is_a_failure() {
    let desk = Desk::open().await;
    let (address, unanswered) = closing_after(0, Close::AfterReading).await;
    let wish = json!({ "url": format!("http://{address}/"), "events": ["*"], "retry_count": 0 });
    let (id, _) = desk.subscribe(&wish);
    desk.tell(&[event(1)]).await;
    let failed = desk.delivery(&id, "failed").await;
    assert_eq!((&failed["attempts"], &failed["tries"][0]["error_class"]), (&json!(1), &json!("network")));
    assert_eq!(unanswered.load(Ordering::SeqCst), 1, "it was sent once");
}
