//! Incomplete answers, as a reader sees them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::{App, KEY};

/// All bytes until the server closes the connection.
fn read(app: &App, end: &str, encoding: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(app.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!("GET /api/v1/parts/{end} HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n");
    write!(stream, "{head}Accept-Encoding: {encoding}\r\nConnection: close\r\n\r\n").unwrap();
    // The head is sent before the producer continues.
    let mut seen = vec![0; 15];
    stream.read_exact(&mut seen).unwrap();
    app.switches.finish.notify_one();
    stream.read_to_end(&mut seen).unwrap();
    seen
}

#[test]
fn only_a_complete_stream_ends_with_the_last_chunk() {
    let app = App::start();
    for encoding in ["identity", "gzip"] {
        for end in ["complete", "failed", "panicked"] {
            let seen = read(&app, end, encoding);
            let shown = String::from_utf8_lossy(&seen);
            assert!(shown.starts_with("HTTP/1.1 200 OK"), "{end}, {encoding}: {shown}");
            assert_eq!(shown.contains("content-encoding: gzip"), encoding == "gzip", "{end}");
            let is_whole = seen.ends_with(b"0\r\n\r\n");
            assert_eq!(is_whole, end == "complete", "{end}, {encoding}: {} bytes", seen.len());
        }
    }
    assert_eq!(app.get("/api/v1/orders").status(), 200, "the server still answers");
}
