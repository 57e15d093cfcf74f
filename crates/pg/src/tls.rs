//! TLS to Postgres, with the URL options of libpq: `sslmode` and `sslrootcert`.
//!
//! `disable`: no TLS. `prefer` (the default) and `require`: encrypted, with any certificate. `verify-ca`: the
//! certificate must lead to a known root. `verify-full`: it must also name the host. The roots are those of
//! `sslrootcert` (a PEM file), otherwise the system's. With `sslrootcert`, `require` means `verify-ca`.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as RustlsError, RootCertStore,
    SignatureScheme,
};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;
use url::form_urlencoded;

use crate::Error;

/// The TLS options of a URL.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TlsOptions {
    pub(crate) mode: SslMode,
    check: Check,
    roots: Option<String>,
}

/// How a certificate is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    /// Not at all.
    Nothing,
    /// It must lead to a known root.
    Chain,
    /// It must also name the host.
    ChainAndName,
}

/// Removes the TLS options from the URL: the driver supports only some of them.
///
/// # Errors
/// `sslmode` is not one of libpq's values.
pub(crate) fn split(url: &str) -> Result<(String, TlsOptions), Error> {
    let (place, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut mode, mut roots, mut rest) = (String::from("prefer"), None, Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match form_urlencoded::parse(pair.as_bytes()).next() {
            Some((name, value)) if name == "sslmode" => mode = value.into_owned(),
            Some((name, value)) if name == "sslrootcert" => roots = Some(value.into_owned()),
            _ => rest.push(pair),
        }
    }
    let (mode, check) = match mode.as_str() {
        "disable" => (SslMode::Disable, Check::Nothing),
        "allow" | "prefer" => (SslMode::Prefer, Check::Nothing),
        "require" if roots.is_none() => (SslMode::Require, Check::Nothing),
        "require" | "verify-ca" => (SslMode::Require, Check::Chain),
        "verify-full" => (SslMode::Require, Check::ChainAndName),
        other => return Err(Error::Tls(format!("sslmode={other} is unknown"))),
    };
    let url = if rest.is_empty() { place.to_owned() } else { format!("{place}?{}", rest.join("&")) };
    Ok((url, TlsOptions { mode, check, roots: roots.filter(|roots| roots != "system") }))
}

impl TlsOptions {
    /// Creates the TLS connector.
    ///
    /// # Errors
    /// The roots cannot be read.
    pub(crate) fn connector(&self) -> Result<MakeRustlsConnect, Error> {
        let provider = Arc::new(ring::default_provider());
        let versions = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Tls(error.to_string()))?;
        let config = if self.check == Check::Nothing {
            let verifier = Lenient { inner: None, provider };
            versions.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        } else {
            let roots = Arc::new(self.roots()?);
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
                .build()
                .map_err(|error| Error::Tls(error.to_string()))?;
            match self.check {
                Check::ChainAndName => versions.with_webpki_verifier(verifier),
                Check::Chain | Check::Nothing => {
                    let verifier = Lenient { inner: Some(verifier), provider };
                    versions.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
                }
            }
        };
        Ok(MakeRustlsConnect::new(config.with_no_client_auth()))
    }

    fn roots(&self) -> Result<RootCertStore, Error> {
        let mut store = RootCertStore::empty();
        let Some(file) = &self.roots else {
            // One unreadable root must not invalidate the others.
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            return Ok(store);
        };
        let unusable = |error: String| Error::Tls(format!("sslrootcert={file}: {error}"));
        let certificates =
            CertificateDer::pem_file_iter(file).map_err(|error| unusable(error.to_string()))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
            store.add(certificate).map_err(|error| unusable(error.to_string()))?;
        }
        Ok(store)
    }
}

/// Accepts certificates of any name and, without an inner verifier, of any kind.
#[derive(Debug)]
struct Lenient {
    inner: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        let Some(inner) = &self.inner else { return Ok(ServerCertVerified::assertion()) };
        match inner.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            // The name is verified last: the chain is valid.
            Err(RustlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn tls_options_are_removed_from_the_url() {
        for (query, mode, check, roots) in [
            ("", SslMode::Prefer, Check::Nothing, None),
            ("sslmode=disable&", SslMode::Disable, Check::Nothing, None),
            ("sslmode=require&", SslMode::Require, Check::Nothing, None),
            ("sslmode=require&sslrootcert=/a%20b.pem&", SslMode::Require, Check::Chain, Some("/a b.pem")),
            ("sslrootcert=/ca.pem&sslmode=verify-ca&", SslMode::Require, Check::Chain, Some("/ca.pem")),
            ("sslmode=verify-full&", SslMode::Require, Check::ChainAndName, None),
            ("sslmode=verify-full&sslrootcert=system&", SslMode::Require, Check::ChainAndName, None),
        ] {
            let url = format!("postgres://u:p%40@h/db?{query}options=-c%20search_path%3Dx");
            let (rest, options) = split(&url).unwrap();
            assert_eq!(rest, "postgres://u:p%40@h/db?options=-c%20search_path%3Dx");
            assert_eq!(options, TlsOptions { mode, check, roots: roots.map(str::to_owned) }, "{query}");
        }
        assert_eq!(split("postgres://h/db").unwrap().0, "postgres://h/db");
        assert!(split("postgres://h/db?sslmode=full").is_err());
    }

    #[test]
    fn unreadable_roots_are_an_error() {
        let (_, options) = split("postgres://h/db?sslmode=verify-full&sslrootcert=/no/such.pem").unwrap();
        let error = options.connector().err().unwrap().to_string();
        assert!(error.contains("sslrootcert=/no/such.pem"), "{error}");
    }
}
