//! `health-check`: asks the service on this machine whether it is ready, for images without a shell.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use crate::config::Http;

/// Longer than the service's own checks of its dependencies may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum size of an answer in bytes.
const MAX_ANSWER: u64 = 64 * 1024;

/// # Errors
/// The service does not answer, or is not ready. The error states the reason.
pub(crate) fn check(http: &Http) -> anyhow::Result<()> {
    let host = match http.host {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        given => given,
    };
    // The internal port speaks plain HTTP.
    let (port, is_tls) = http.internal_port.map_or((http.port, http.tls.is_some()), |port| (port, false));
    let address = SocketAddr::from((host, port));
    let url = format!("{}://{address}/readyz", if is_tls { "https" } else { "http" });
    let answer = ask(address, is_tls).with_context(|| format!("no answer from {url}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split(' ').nth(1) {
        Some("200") => Ok(()),
        Some(status) => bail!("not ready ({status}): {body}"),
        None => bail!("{url} does not speak HTTP"),
    }
}

fn ask(address: SocketAddr, is_tls: bool) -> anyhow::Result<String> {
    let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    if !is_tls {
        return Ok(converse(stream, address)?);
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();
    let client = ClientConnection::new(Arc::new(config), ServerName::from(address.ip()))?;
    Ok(converse(StreamOwned::new(client, stream), address)?)
}

fn converse(mut stream: impl Read + Write, address: SocketAddr) -> io::Result<String> {
    // One write: formatting into a socket sends many small segments.
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    match stream.take(MAX_ANSWER).read_to_end(&mut answer) {
        // A server that closes TLS without `close_notify` has answered completely.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && !answer.is_empty() => {}
        read => drop(read?),
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Accepts any certificate: the request stays on this machine and holds no secret, and the certificate names the
/// address that callers use, not the loopback address.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
