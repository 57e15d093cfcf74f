//! A replica answers requests while it is being replaced.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use testkit::{eventually, eventually_within};

use crate::support::{Desk, LOCAL, PATIENCE};

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_answered_during_the_shutdown_delay() {
    let delay = Duration::from_secs(15);
    let settings = [&LOCAL[..], &[("SHUTDOWN_DELAY_SECONDS", "15")]].concat();
    let mut desk = Desk::open_with(&settings).await;
    let address = desk.service.url().trim_start_matches("http://").to_owned();
    desk.service.terminate();
    let asked = Instant::now();
    eventually("/readyz to say that it stops", async || {
        let answer = desk.service.request("GET", "/readyz", &[], &[]).ok()?;
        (answer.status == 503 && String::from_utf8_lossy(&answer.body).contains("stopping")).then_some(())
    })
    .await;
    // Even an idle process continues for the delay.
    let bearer = format!("Bearer {}", desk.service.token);
    let mut answered = 0;
    eventually_within(PATIENCE, "the port to close", async || {
        let answer = desk.service.request("GET", "/api/v1/webhooks", &[("Authorization", &bearer)], &[]);
        match answer {
            Ok(answer) => {
                assert_eq!((answer.status, answer.header("connection")), (200, "close"));
                answered += 1;
                None
            }
            Err(_closed) => TcpStream::connect(&address).is_err().then_some(()),
        }
    })
    .await;
    assert!(asked.elapsed() >= delay && answered > 0, "{answered} answers within {:?}", asked.elapsed());
    assert_eq!(desk.service.until_ended().code(), Some(0));
}
