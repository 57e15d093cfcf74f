//! Whom a client of somebody's own believes, and who it is.

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

/// Whom a client believes, and who it is, where that is not the usual.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// Certificates believed beside those of the public authorities, as PEM: authorities, or a server's own self-signed one.
    pub custom_ca: Option<String>,
    /// Our own certificate, its chain and its key, as PEM.
    pub client_certificate: Option<SecretString>,
}

/// Why certificates or a key cannot be used. Says nothing about the key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No PEM, or not of a certificate or a key.
    #[error("a certificate or key is not valid PEM")]
    Pem(#[from] pem::Error),
    /// A certificate nobody can believe, or a key that is not the certificate's.
    #[error("a certificate or key cannot be used")]
    Unusable(#[from] rustls::Error),
    /// There is nobody to believe.
    #[error("there are no authorities to believe")]
    Authorities(#[from] VerifierBuilderError),
}

impl Tls {
    /// The settings of TLS, with HTTP/2 and HTTP/1.1 offered.
    ///
    /// # Errors
    /// When a certificate or a key is none.
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

/// Believes chains that end at an authority of the system or at one of the pinned certificates, and a pinned certificate
/// itself.
///
/// A self-signed certificate made by `openssl req -x509` says that it is an authority, and such a one is refused as a
/// server's own (RFC 5280 does not know it, webpki calls it `CaUsedAsEndEntity`). Whoever has been given exactly that
/// certificate means exactly that server.
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
            // The period of validity is checked before this is found.
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

/// True when a server's own certificate is refused because it is an authority's.
pub(crate) fn is_authority(error: &rustls::Error) -> bool {
    let rustls::Error::InvalidCertificate(CertificateError::Other(other)) = error else { return false };
    matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}
