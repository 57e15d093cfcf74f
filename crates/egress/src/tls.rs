//! The certificates that a client trusts and presents.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{VerifierBuilderError, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use secrecy::{ExposeSecret, SecretString};

/// Certificates that a client trusts or presents, in addition to the defaults.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// Certificates trusted in addition to the public authorities, as PEM: authorities, or the server's own self-signed
    /// one.
    pub custom_ca: Option<String>,
    /// Our own certificate, its chain and its key, as PEM.
    pub client_certificate: Option<SecretString>,
}

/// The reason why certificates or a key cannot be used. It never contains the key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The text is not PEM, or contains neither a certificate nor a key.
    #[error("a certificate or key is not valid PEM")]
    Pem(#[from] pem::Error),
    /// A certificate that cannot be trusted, or a key that does not match its certificate.
    #[error("a certificate or key cannot be used")]
    Unusable(#[from] rustls::Error),
    /// No authority is trusted.
    #[error("no trusted certificate authorities were found")]
    Authorities(#[from] VerifierBuilderError),
}

impl Tls {
    /// The TLS settings, with HTTP/2 and HTTP/1.1 offered.
    ///
    /// # Errors
    /// A certificate or a key is invalid.
    pub(crate) fn config(&self) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(default_provider());
        let pinned = self.custom_ca.as_deref().map_or_else(|| Ok(Vec::new()), certificates)?;
        let verifier = Verifier::new(pinned, Arc::clone(&provider))?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &self.client_certificate {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let pem = pem.expose_secret();
                let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())?;
                builder.with_client_auth_cert(certificates(pem)?, key)?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect()
}

/// Accepts chains that end at a system authority or at a pinned certificate, and a pinned certificate itself.
///
/// `openssl req -x509` makes a self-signed certificate that declares itself an authority. webpki refuses it as a server
/// certificate (`CaUsedAsEndEntity`; RFC 5280 does not define this case). Pinning exactly that certificate accepts it.
#[derive(Debug)]
struct Verifier {
    chains: Arc<WebPkiServerVerifier>,
    pinned: Vec<CertificateDer<'static>>,
}

impl Verifier {
    fn new(pinned: Vec<CertificateDer<'static>>, provider: Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in &pinned {
            roots.add(certificate.clone())?;
        }
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
        Ok(Self { chains, pinned })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The validity period has been checked before this error.
            Err(error) if is_authority(&error) && self.pinned.contains(end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chains.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chains.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

/// Whether a server's own certificate is rejected because it is an authority's.
pub(crate) fn is_authority(error: &rustls::Error) -> bool {
    let rustls::Error::InvalidCertificate(CertificateError::Other(other)) = error else { return false };
    matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}
