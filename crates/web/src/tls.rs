//! HTTPS with a certificate that may be replaced while the server runs.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use chassis::config::{Mistake, Tls};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::metrics::CERTIFICATES;

/// Interval of checks of the files. Certificates are usually replaced days before the old one expires.
const LOOK: Duration = Duration::from_secs(5);

/// The certificate of new connections.
#[derive(Debug)]
pub(crate) struct Certificate {
    files: Tls,
    current: RwLock<Arc<CertifiedKey>>,
    stamps: Mutex<[Stamp; 2]>,
}

/// Values that change with a file's content. `None` while the file does not exist.
type Stamp = Option<(SystemTime, u64)>;

impl Certificate {
    /// # Errors
    /// A file cannot be read or used.
    pub(crate) fn load(files: Tls) -> Result<Self, Mistake> {
        // Read before the files: a change in between is detected by the next check.
        let stamps = Mutex::new(stamps(&files));
        let current = RwLock::new(Arc::new(files.load()?));
        Ok(Self { files, current, stamps })
    }

    /// The TLS configuration of the server.
    pub(crate) fn server_config(self: &Arc<Self>) -> io::Result<ServerConfig> {
        let versions = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        Ok(versions.with_no_client_auth().with_cert_resolver(Arc::<Self>::clone(self)))
    }

    /// Loads changed files, while it is polled.
    pub(crate) async fn keep_current(self: &Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            let this = Arc::clone(self);
            if let Err(panic) = tokio::task::spawn_blocking(move || this.look()).await {
                tracing::error!(%panic, "check of the certificate failed");
            }
        }
    }

    /// An unusable change (incomplete files, a key of another certificate) is logged once, and the old certificate
    /// remains.
    fn look(&self) {
        let now = stamps(&self.files);
        let mut before = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        if *before == now {
            return;
        }
        *before = now;
        match self.files.load() {
            Ok(fresh) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
                tracing::info!("server certificate was exchanged");
                metrics::counter!(CERTIFICATES, "outcome" => "exchanged").increment(1);
            }
            Err(mistake) => {
                tracing::error!(%mistake, "new server certificate cannot be used; the old one remains");
                metrics::counter!(CERTIFICATES, "outcome" => "refused").increment(1);
            }
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn stamps(files: &Tls) -> [Stamp; 2] {
    [&files.certificate, &files.key].map(|file| stamp(file))
}

fn stamp(file: &Path) -> Stamp {
    let about = fs::metadata(file).ok()?;
    Some((about.modified().ok()?, about.len()))
}
