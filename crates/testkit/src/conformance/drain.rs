//! SIGTERM: not ready any more, what is in flight is answered, the exit code is 0.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{Findings, Stage};
use crate::eventually;

/// The conventions' own limit.
const LIMIT: Duration = Duration::from_secs(25);

pub(super) async fn check(stage: &mut Stage<'_>, findings: &mut Findings) {
    // A caller that has sent its head and not its body is in flight for as long as we like.
    let Some(operation) = stage.operations.iter().find(|it| it.has_body && !it.has_values()) else {
        panic!("there is no operation with a body to keep in flight");
    };
    let address = stage.program.url().trim_start_matches("http://").to_owned();
    let mut caller = TcpStream::connect(&address).expect("a connection");
    caller.set_read_timeout(Some(LIMIT)).expect("a socket");
    let head = format!(
        "{} {} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: 2\r\nExpect: 100-continue\r\n\r\n",
        operation.method, operation.template, stage.program.token
    );
    caller.write_all(head.as_bytes()).expect("a connection");
    let mut answer = BufReader::new(caller.try_clone().expect("a socket"));
    // It is answered when the request has been taken.
    let (mut line, mut end) = (String::new(), String::new());
    answer.read_line(&mut line).expect("an answer");
    answer.read_line(&mut end).expect("an answer");
    findings.expect(line.starts_with("HTTP/1.1 100"), || format!("told {line:?} before the body"));

    stage.program.terminate();
    let asked = Instant::now();
    eventually("/readyz to say that it stops", async || {
        let answer = stage.program.request("GET", "/readyz", &[], &[]).ok()?;
        (answer.status == 503 && String::from_utf8_lossy(&answer.body).contains("stopping")).then_some(())
    })
    .await;
    caller.write_all(b"{}").expect("a connection");
    let mut rest = String::new();
    answer.read_to_string(&mut rest).expect("an answer to its end");
    let is_answered = rest.starts_with("HTTP/1.1 4") || rest.starts_with("HTTP/1.1 2");
    findings.expect(is_answered, || format!("what was in flight was answered {rest:.100}"));

    let status = stage.program.until_ended();
    findings.expect(status.code() == Some(0), || format!("after SIGTERM it ended with {status}"));
    findings.expect(asked.elapsed() <= LIMIT, || format!("it took {:?} to stop", asked.elapsed()));
}
