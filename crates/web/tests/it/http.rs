//! Methods, paths, ids, failures: the outermost layer's guarantees for every answer.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;
use ureq::http::Request;

use crate::auth::bearer;
use crate::support::{App, KEY, problem};

/// Sends bytes and reads until the server closes the connection.
fn raw(app: &App, request: &str) -> String {
    let mut stream = TcpStream::connect(app.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

#[test]
fn unknown_paths_and_methods_are_problems() {
    let app = App::start();
    for path in ["/", "/nothing", "/api/v1/nothing", "/api/v2/orders", "/api", "/livez/x"] {
        let (status, answer) = problem(app.get(path));
        assert_eq!((status, &answer["code"]), (404, &"not_found".into()), "{path}");
    }
    for (method, path, allow) in [
        ("DELETE", "/api/v1/orders", "GET, POST, HEAD"),
        ("POST", "/api/v1/whoami", "GET, HEAD"),
        ("BREW", "/api/v1/whoami", "GET, HEAD"),
        ("OPTIONS", "/livez", "GET, HEAD"),
    ] {
        let request = Request::builder().method(method).uri(app.url(path)).header("x-api-key", KEY);
        let agent = app.agent.configure_request(request.body(()).unwrap()).allow_non_standard_methods(true);
        let response = app.agent.run(agent.build()).unwrap();
        assert_eq!(response.headers()["allow"], allow, "{method} {path}");
        assert_eq!(problem(response).1["code"], "method_not_allowed", "{method} {path}");
    }
}

#[test]
fn a_path_matches_with_a_trailing_slash_and_for_head() {
    let app = App::start();
    assert_eq!(app.get("/api/v1/orders/").status(), 200);
    let mut response = app.agent.head(app.url("/api/v1/orders")).header("x-api-key", KEY).call().unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-length"], r#"{"limit":50,"user":null}"#.len().to_string());
    assert_eq!(response.body_mut().read_to_string().unwrap(), "");
}

#[test]
fn a_request_id_is_accepted_when_harmless_and_made_otherwise() {
    let app = App::start();
    let echoed = |id: &str| {
        let answer = raw(
            &app,
            &format!("GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-Id: {id}\r\n\r\n"),
        );
        let line = answer.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap();
        line.to_owned()
    };
    let longest = "x".repeat(128);
    for id in ["order-17", "{\"a\":1}", &longest] {
        assert_eq!(echoed(id), id);
    }
    for id in ["", "two words", "żółw", &"x".repeat(129)] {
        let made: uuid::Uuid = echoed(id).parse().unwrap();
        assert_eq!(made.get_version_num(), 7, "{id:?}");
    }
    let request = app.agent.get(app.url("/api/v1/whoami")).header("x-api-key", KEY);
    let answer: Value =
        request.header("x-request-id", "mine").call().unwrap().body_mut().read_json().unwrap();
    assert_eq!(answer["request_id"], "mine", "the handler sees the same id");
}

/// The HTTP library itself answers malformed requests, as docs/reference/ERRORS.md describes.
#[test]
fn malformed_requests_are_answered_without_a_body() {
    let app = App::start();
    let head = "GET /livez HTTP/1.1\r\nx: ";
    // No more bytes than the server reads: the connection of a client that still sends is reset.
    let long = head.to_owned() + &"x".repeat((1 << 17) - head.len());
    let many = (0..97).fold(String::new(), |head, number| head + &format!("x-{number}: 1\r\n"));
    for (what, request, status) in [
        ("no request line", "nonsense\r\n\r\n".to_owned(), "400 Bad Request"),
        ("an unknown version", "GET /livez HTTP/3.7\r\n\r\n".to_owned(), "400 Bad Request"),
        ("a header without colon", "GET /livez HTTP/1.1\r\nhost\r\n\r\n".to_owned(), "400 Bad Request"),
        (
            "two lengths",
            "POST /api/v1/orders HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n".to_owned(),
            "400 Bad Request",
        ),
        ("a long target", format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(1 << 16)), "400 Bad Request"),
        ("many headers", format!("GET /livez HTTP/1.1\r\n{many}\r\n"), "431 Request Header Fields Too Large"),
        ("a long header", long, "431 Request Header Fields Too Large"),
        ("half a head", "GET /livez HTTP/1.1\r\nhost: x\r\n".to_owned(), "408 Request Timeout"),
    ] {
        let answer = raw(&app, &request).to_ascii_lowercase();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        assert!(head.starts_with(&format!("http/1.1 {status}").to_ascii_lowercase()), "{what}: {answer}");
        assert!(head.contains("content-length: 0") && body.is_empty(), "{what}: {answer}");
        assert!(!head.contains("x-request-id") && !head.contains("content-type"), "{what}: {answer}");
    }
}

#[test]
fn panics_and_internal_errors_become_bare_500s() {
    let app = App::start();
    for path in ["/api/v1/panic", "/api/v1/broken", "/api/v1/panic-in-routing", "/api/v1/panic"] {
        let (status, answer) = problem(app.get(path));
        assert_eq!((status, &answer["code"]), (500, &"internal".into()));
        assert_eq!(answer["instance"], path);
        let text = answer.to_string();
        assert!(!text.contains("boom") && !text.contains("hunter2") && !text.contains("SELECT"), "{text}");
    }
    assert_eq!(app.get("/api/v1/orders").status(), 200);
}

#[test]
fn a_request_that_takes_too_long_is_abandoned() {
    let app = App::start_with(|server| server.request_timeout(Duration::from_millis(50)));
    let response = app.get("/api/v1/slow");
    assert_eq!(response.headers()["retry-after"], "1");
    let (status, answer) = problem(response);
    assert_eq!((status, &answer["code"]), (503, &"request_timeout".into()));
}

#[test]
fn spawned_work_runs_on_the_runtime_that_outlives_workers() {
    let app = App::start();
    let answer: Value = app.get("/api/v1/spawn").body_mut().read_json().unwrap();
    let thread = answer["thread"].as_str().unwrap();
    assert!(!thread.contains("actix"), "spawned on {thread}");
}

#[test]
fn requests_are_measured_by_route_and_never_by_path() {
    let app = App::start();
    app.get("/api/v1/orders/0190d1c0-0000-7000-8000-000000000000");
    app.get("/api/v1/orders/not-an-id");
    app.get("/api/v1/secret-path-nobody-knows");
    let text = app.get("/metrics").body_mut().read_to_string().unwrap();
    for (route, status) in
        [("/api/v1/orders/{order_id}", 200), ("/api/v1/orders/{order_id}", 400), ("unmatched", 404)]
    {
        let labels = format!(
            r#"http_server_request_duration_seconds_count{{http_route="{route}",http_request_method="GET",http_response_status_code="{status}"}}"#
        );
        assert!(text.contains(&labels), "{labels}\n{text}");
    }
    assert!(text.contains(r#"le="0.005""#), "a histogram, not a summary");
    assert!(!text.contains("not-an-id") && !text.contains("secret-path"), "{text}");
}

#[test]
fn the_document_is_served_without_credential() {
    let app = App::start();
    let answer: Value =
        app.agent.get(app.url("/openapi.json")).call().unwrap().body_mut().read_json().unwrap();
    assert_eq!(answer["openapi"], "3.1.0");
}

/// The head, and the body without the frames of its chunks.
fn accepting(app: &App, path: &str, accepted: &str) -> (String, Vec<u8>) {
    let request = app.agent.get(app.url(path)).header("x-api-key", KEY);
    let mut response = request.header("accept-encoding", accepted).call().unwrap();
    let head = format!("{:?}", response.headers());
    (head, response.body_mut().read_to_vec().unwrap())
}

#[test]
fn long_answers_are_compressed_on_request() {
    let app = App::start();
    let (plain_head, plain) = accepting(&app, "/api/v1/long", "identity");
    assert!(plain_head.contains("\"vary\": \"accept-encoding\""), "{plain_head}");
    for accepted in ["br", "gzip;q=0", "identity, gzip;q=0"] {
        let (head, body) = accepting(&app, "/api/v1/long", accepted);
        assert!(!head.contains("content-encoding") && body == plain, "{accepted}: {head}");
    }
    for path in ["/api/v1/long", "/api/v1/stream"] {
        for accepted in ["gzip", "br, gzip;q=0.5"] {
            let (head, body) = accepting(&app, path, accepted);
            assert!(head.contains("\"content-encoding\": \"gzip\""), "{path} {accepted}: {head}");
            assert!(head.contains("\"vary\": \"accept-encoding\""), "{path} {accepted}: {head}");
            assert!(body.starts_with(&[0x1f, 0x8b]) && body.len() < plain.len() / 2, "{} bytes", body.len());
        }
    }
    for path in ["/api/v1/whoami", "/api/v1/picture"] {
        let (head, _) = accepting(&app, path, "gzip");
        assert!(!head.contains("content-encoding"), "{path}: {head}");
    }
}

#[test]
fn a_compressed_stream_is_flushed_with_each_part() {
    let app = App::start();
    let mut stream = TcpStream::connect(app.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!("GET /api/v1/drip HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n");
    write!(stream, "{head}Accept-Encoding: gzip\r\nConnection: close\r\n\r\n").unwrap();
    let mut seen = Vec::new();
    // The gzip header and the first bytes arrive while the handler still holds back the rest.
    while !seen.windows(2).any(|pair| pair == [0x1f, 0x8b]) {
        let mut bytes = [0; 1024];
        let count = stream.read(&mut bytes).unwrap();
        assert!(count > 0, "ended early: {}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&bytes[..count]);
    }
    app.switches.finish.notify_one();
    stream.read_to_end(&mut seen).unwrap();
    assert!(seen.ends_with(b"0\r\n\r\n"), "the last chunk");
}

/// Stores the log.
#[derive(Clone, Default)]
pub(crate) struct Kept(pub(crate) Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Kept {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[test]
fn each_answer_is_logged_once_with_its_id_and_without_its_path() {
    let kept = Kept::default();
    tracing_subscriber::fmt().with_writer(kept.clone()).with_ansi(false).init();
    let app = App::start();
    let request = app.agent.get(app.url("/api/v1/orders/a-device-code?user=jan"));
    let token = bearer(&json!({ "user_id": "ewa" }));
    request.header("authorization", &token).header("x-request-id", "the-id").call().unwrap();

    let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("the-id")).collect();
    assert_eq!(lines.len(), 1, "{text}");
    assert!(lines[0].contains(r#"route="/api/v1/orders/{order_id}" status=400"#), "{text}");
    assert!(
        !text.contains("a-device-code") && !text.contains("jan") && !text.contains("correct-horse"),
        "{text}"
    );
}
