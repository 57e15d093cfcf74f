//! Changes of health, and a graceful stop.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::wait_for;
use tokio_util::sync::CancellationToken;

use crate::support::{App, KEY};

/// A server with a separate address for probes, and that address.
fn apart() -> (App, SocketAddr) {
    let app = App::start_with(|server| server.internal(Some(([127, 0, 0, 1], 0).into())));
    let internal = app.internal.unwrap();
    (app, internal)
}

fn probe(app: &App, path: &str) -> (u16, Value) {
    let mut response = app.agent.get(app.url(path)).call().unwrap();
    (response.status().as_u16(), response.body_mut().read_json().unwrap())
}

/// Requests until the answer has this status. Reports are cached for a second.
fn until(app: &App, path: &str, status: u16) -> Value {
    wait_for(&format!("{path} to answer {status}"), || {
        let (got, answer) = probe(app, path);
        (got == status).then_some(answer)
    })
}

#[test]
fn readiness_follows_the_required_dependency_there_and_back() {
    let app = App::start();
    assert_eq!(probe(&app, "/readyz"), (200, json!({ "status": "ready" })));
    let (status, health) = probe(&app, "/health");
    assert_eq!((status, &health["status"]), (200, &"healthy".into()));
    assert_eq!(health["dependencies"]["postgres"]["status"], "up");
    assert!(health["dependencies"]["postgres"]["latency_ms"].is_u64());

    app.switches.database_up.store(false, Ordering::Relaxed);
    let answer = until(&app, "/readyz", 503);
    assert_eq!(answer["reasons"], json!(["postgres: connection refused"]));
    let (status, health) = probe(&app, "/health");
    assert_eq!((status, &health["status"]), (503, &"unhealthy".into()));
    assert_eq!(health["dependencies"]["postgres"]["detail"], "connection refused");
    assert_eq!(probe(&app, "/livez").0, 200, "restarting us would not heal the database");

    app.switches.database_up.store(true, Ordering::Relaxed);
    until(&app, "/readyz", 200);
}

#[test]
fn a_hanging_optional_dependency_only_degrades() {
    let app = App::start();
    app.switches.cache_up.store(false, Ordering::Relaxed);
    let (status, health) = probe(&app, "/health");
    assert_eq!((status, &health["status"]), (200, &"degraded".into()));
    assert_eq!(health["dependencies"]["redis"]["detail"], "no answer within 2 s");
    assert_eq!(probe(&app, "/readyz").0, 200);
}

/// Sends a request for the slow route on a separate connection, and waits until the handler has begun.
fn begin_slow(app: &App) -> TcpStream {
    let mut stream = TcpStream::connect(app.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET /api/v1/slow HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n\r\n").unwrap();
    app.runtime.block_on(app.switches.begun.notified());
    stream
}

#[test]
fn a_stop_ends_readiness_and_finishes_requests_in_flight() {
    let app = App::start();
    let mut slow = begin_slow(&app);

    app.stop.cancel();
    let answer = until(&app, "/readyz", 503);
    assert_eq!(answer["reasons"], json!(["stopping"]));

    app.switches.finish.notify_one();
    let mut answer = String::new();
    // Reads to the end: the connection is closed although the client asked to keep it open.
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert!(answer.ends_with(r#"{"finished":true}"#), "{answer}");

    wait_for("the port to close", || TcpStream::connect(app.address).is_err().then_some(()));
}

#[test]
fn requests_are_answered_between_the_announcement_and_the_stop() {
    let announced = CancellationToken::new();
    let app = App::start_announced(Some(announced.clone()), |server| server);
    announced.cancel();
    let answer = until(&app, "/readyz", 503);
    assert_eq!(answer["reasons"], json!(["stopping"]));
    for _ in 0..3 {
        let answer = app.get("/api/v1/whoami");
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["connection"], "close", "the next request goes to another process");
    }

    app.stop.cancel();
    wait_for("the port to close", || TcpStream::connect(app.address).is_err().then_some(()));
}

#[test]
fn a_streamed_answer_is_in_flight_until_its_end() {
    let app = App::start();
    let mut stream = TcpStream::connect(app.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET /api/v1/drip HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n\r\n").unwrap();
    let mut read = Vec::new();
    while !read.ends_with(b"first\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        read.extend(byte);
    }

    app.stop.cancel();
    assert_eq!(until(&app, "/readyz", 503)["reasons"], json!(["stopping"]));
    app.switches.finish.notify_one();
    stream.read_to_end(&mut read).unwrap();
    assert!(read.ends_with(b"rest\r\n0\r\n\r\n"), "{}", String::from_utf8_lossy(&read));
    wait_for("the port to close", || TcpStream::connect(app.address).is_err().then_some(()));
}

#[test]
fn a_stalled_reader_delays_the_stop_no_longer_than_its_limit() {
    let app = App::start_with(|server| server.drain(Duration::from_secs(2)));
    let mut stalled = TcpStream::connect(app.address).unwrap();
    write!(stalled, "GET /api/v1/endless HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n\r\n").unwrap();
    stalled.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stalled.read_exact(&mut [0; 12]).unwrap();

    // Without this limit the server would wait for 25 s, or for ever if the reader continued slowly.
    app.stop.cancel();
    wait_for("the server to end", || app.has_ended().then_some(()));
}

/// How long an idle connection remains open after the stop.
fn until_idle_one_is_closed() -> Duration {
    let app = App::start();
    let mut idle = TcpStream::connect(app.address).unwrap();
    idle.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut head = [0; 12];
    idle.read_exact(&mut head).unwrap();

    let started = Instant::now();
    app.stop.cancel();
    idle.read_to_end(&mut Vec::new()).unwrap();
    started.elapsed()
}

#[test]
fn an_idle_connection_does_not_delay_the_end() {
    // Without the stop it would remain open for five seconds each time. A slow machine may exceed the limit once.
    let is_at_once = |_try| until_idle_one_is_closed() < Duration::from_secs(4);
    assert!((0..3).any(is_at_once), "it was waited for");
}

#[test]
fn probes_and_metrics_move_to_the_internal_port() {
    let (app, internal) = apart();
    let inside = |path: &str| app.agent.get(format!("http://{internal}{path}")).call().unwrap();
    for path in ["/livez", "/readyz", "/health", "/metrics"] {
        assert_eq!(app.get(path).status(), 404, "{path}");
        assert_eq!(inside(path).status(), 200, "{path}");
    }
    assert_eq!(inside("/api/v1/whoami").status(), 404);
    assert_eq!(inside("/openapi.json").status(), 404);

    let mut slow = begin_slow(&app);
    app.stop.cancel();
    let deadline = Instant::now() + Duration::from_secs(15);
    while inside("/readyz").status() != 503 {
        assert!(Instant::now() < deadline, "still ready");
    }
    assert_eq!(inside("/livez").status(), 200);
    app.switches.finish.notify_one();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with(r#"{"finished":true}"#), "{answer}");
    testkit::wait_for("the internal port to close", || TcpStream::connect(internal).is_err().then_some(()));
    assert!(TcpStream::connect(app.address).is_err(), "it closes last");
}
