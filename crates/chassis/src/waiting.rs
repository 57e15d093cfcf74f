//! Answers probes while the service cannot start yet: the process is alive, and not ready for a stated reason.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::sign::SingleCertAndKey;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

use crate::config::{Http, Tls};

/// A client that sends nothing for so long gets no answer.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// Answers probes in place of the service.
pub(crate) struct Waiting {
    reason: Arc<Mutex<String>>,
    answering: AbortOnDropHandle<()>,
}

impl Waiting {
    /// Begins to answer at the address of the service's probes, by HTTPS if the service uses it there.
    ///
    /// # Errors
    /// The port or the certificate cannot be used. The service could not use it either.
    pub(crate) async fn begin(http: &Http) -> anyhow::Result<Self> {
        let tls = http.tls.as_ref().filter(|_| http.internal_port.is_none()).map(acceptor).transpose()?;
        let port = http.internal_port.unwrap_or(http.port);
        let listener = TcpListener::bind(SocketAddr::from((http.host, port))).await?;
        let reason: Arc<Mutex<String>> = Arc::default();
        let current = Arc::clone(&reason);
        let answering = tokio::spawn(async move {
            loop {
                // An error concerns one connection, or is temporary.
                let Ok((peer, _)) = listener.accept().await else { continue };
                let reason = current.lock().unwrap_or_else(PoisonError::into_inner).clone();
                tokio::spawn(tokio::time::timeout(READ_TIMEOUT, greet(peer, tls.clone(), reason)));
            }
        });
        Ok(Self { reason, answering: AbortOnDropHandle::new(answering) })
    }

    /// Releases the port for the service.
    pub(crate) async fn end(self) {
        self.answering.abort();
        // The socket is closed when the task has ended.
        let _aborted = self.answering.await;
    }

    /// Sets the reason why the service cannot start.
    pub(crate) fn because(&self, reason: String) {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }
}

fn acceptor(tls: &Tls) -> anyhow::Result<TlsAcceptor> {
    let key = tls.load().map_err(|mistake| anyhow::anyhow!("{mistake}"))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn greet(peer: TcpStream, tls: Option<TlsAcceptor>, reason: String) -> io::Result<()> {
    match tls {
        Some(tls) => answer(tls.accept(peer).await?, reason).await,
        None => answer(peer, reason).await,
    }
}

async fn answer(mut peer: impl AsyncRead + AsyncWrite + Unpin, reason: String) -> io::Result<()> {
    let mut head = [0; 2048];
    let read = peer.read(&mut head).await?;
    let (status, body) = if head.get(..read).is_some_and(|head| head.starts_with(b"GET /livez ")) {
        ("200 OK", json!({ "status": "alive" }))
    } else {
        ("503 Service Unavailable", json!({ "status": "not_ready", "reasons": [reason] }))
    };
    let body = body.to_string();
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    peer.write_all(answer.as_bytes()).await?;
    peer.shutdown().await
}
