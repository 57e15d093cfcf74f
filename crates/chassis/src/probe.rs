//! `health-check`: asks the service on this machine whether it is ready, for images without a shell.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::config::Http;

/// Longer than the service itself waits for its dependencies.
const TIMEOUT: Duration = Duration::from_secs(5);

/// An answer to a probe is short.
const MAX_ANSWER: u64 = 64 * 1024;

/// # Errors
/// The service does not answer, or says it is not ready; the text says why.
pub(crate) fn check(http: Http) -> anyhow::Result<()> {
    let host = match http.host {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        given => given,
    };
    let address = SocketAddr::from((host, http.port));
    let answer = ask(address).with_context(|| format!("no answer from http://{address}/readyz"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split(' ').nth(1) {
        Some("200") => Ok(()),
        Some(status) => bail!("not ready ({status}): {body}"),
        None => bail!("http://{address}/readyz does not speak HTTP"),
    }
}

fn ask(address: SocketAddr) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    // In one piece: formatting straight into a socket sends many small ones.
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
