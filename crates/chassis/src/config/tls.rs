//! The server's TLS certificate.

use std::fmt::Display;
use std::path::PathBuf;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::reader::{Mistake, Reader};

const CERTIFICATE: &str = "API_TLS_CERT";
const KEY: &str = "API_TLS_KEY";

/// The files of the server's certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// PEM: the certificate, then the intermediate certificates.
    pub certificate: PathBuf,
    /// PEM: the private key.
    pub key: PathBuf,
}

impl Tls {
    /// Reads the current content of both files.
    ///
    /// # Errors
    /// A file cannot be read or is not PEM, or the key does not match the certificate. The error names the setting.
    pub fn load(&self) -> Result<CertifiedKey, Mistake> {
        let broken = |name: &str, file: &PathBuf, error: &dyn Display| Mistake {
            name: name.to_owned(),
            text: format!("{}: {error}", file.display()),
        };
        let chain = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| broken(CERTIFICATE, &self.certificate, &error))?;
        if chain.is_empty() {
            return Err(broken(CERTIFICATE, &self.certificate, &"holds no certificate"));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| broken(KEY, &self.key, &error))?;
        CertifiedKey::from_der(chain, key, &ring::default_provider())
            .map_err(|error| broken(KEY, &self.key, &format!("does not match the certificate: {error}")))
    }
}

impl Reader {
    /// Reads `API_TLS_CERT` and `API_TLS_KEY`: both or neither.
    pub(super) fn tls(&mut self) -> Option<Tls> {
        let certificate = self.optional_text(
            CERTIFICATE,
            "File with the server's certificate chain (PEM), to serve HTTPS; read again when it changes.",
        );
        let key = self.optional_text(KEY, "File with the private key of API_TLS_CERT (PEM).");
        let (certificate, key) = match (certificate, key) {
            (Some(certificate), Some(key)) => (certificate.into(), key.into()),
            (Some(_), None) => {
                self.mistake(KEY, format!("is required where {CERTIFICATE} is set"));
                return None;
            }
            (None, Some(_)) => {
                self.mistake(CERTIFICATE, format!("is required where {KEY} is set"));
                return None;
            }
            (None, None) => return None,
        };
        let tls = Tls { certificate, key };
        if let Err(mistake) = tls.load() {
            self.note(mistake);
        }
        Some(tls)
    }
}
