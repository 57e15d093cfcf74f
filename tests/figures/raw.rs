//! The limit beside which deliveries stand: bare requests to the same receivers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::task::JoinSet;

use crate::sink::{Manner, Sink};

/// Sends bodies of this size, so many at once, and returns how many a second are answered. Nothing is signed, read from or
/// written to a database.
pub(crate) async fn bare(count: usize, at_once: usize, body: usize) -> f64 {
    let sink = Sink::start();
    let (_number, url) = sink.endpoint(Manner::Well);
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build().unwrap();
    let body = bytes::Bytes::from(vec![b'x'; body]);
    let left = Arc::new(AtomicUsize::new(count));
    let started = Instant::now();
    let mut senders = JoinSet::new();
    for _ in 0..at_once {
        let (client, url, body, left) = (client.clone(), url.clone(), body.clone(), Arc::clone(&left));
        senders.spawn(async move {
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
            {
                let answer = client.post(&url).body(body.clone()).send().await.unwrap();
                assert!(answer.status().is_success());
            }
        });
    }
    let _ended = senders.join_all().await;
    assert_eq!(sink.total(), count);
    per_second(count, started.elapsed().as_secs_f64())
}

pub(crate) fn per_second(count: usize, seconds: f64) -> f64 {
    f64::from(u32::try_from(count).unwrap()) / seconds
}
