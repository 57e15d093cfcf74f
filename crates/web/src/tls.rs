//! HTTPS, with a certificate that may be exchanged while serving.

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

/// How often the files are looked at. Whoever exchanges certificates does so days before the old one expires.
const LOOK: Duration = Duration::from_secs(5);

/// The certificate new connections are shown.
#[derive(Debug)]
pub(crate) struct Certificate {
    files: Tls,
    current: RwLock<Arc<CertifiedKey>>,
    stamps: Mutex<[Stamp; 2]>,
}

/// What changes with a file's content; none while it is not there.
type Stamp = Option<(SystemTime, u64)>;

impl Certificate {
    /// # Errors
    /// A file cannot be read or used.
    pub(crate) fn load(files: Tls) -> Result<Self, Mistake> {
        // Looked at before they are read: a change in between is seen as one afterwards.
        let stamps = Mutex::new(stamps(&files));
        let current = RwLock::new(Arc::new(files.load()?));
        Ok(Self { files, current, stamps })
    }

    /// How the server speaks TLS.
    pub(crate) fn server_config(self: &Arc<Self>) -> io::Result<ServerConfig> {
        let versions = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        Ok(versions.with_no_client_auth().with_cert_resolver(Arc::<Self>::clone(self)))
    }

    /// Takes over what changes in the files, for as long as it is polled.
    pub(crate) async fn keep_current(self: &Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            let this = Arc::clone(self);
            if let Err(panic) = tokio::task::spawn_blocking(move || this.look()).await {
                tracing::error!(%panic, "could not look at the certificate");
            }
        }
    }

    /// A change that cannot be used (half written, a key of another certificate) is told once; the old one stays.
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
                tracing::info!("the server's certificate was exchanged");
                metrics::counter!(CERTIFICATES, "outcome" => "exchanged").increment(1);
            }
            Err(mistake) => {
                tracing::error!(%mistake, "the server's new certificate cannot be used; the old one stays");
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
