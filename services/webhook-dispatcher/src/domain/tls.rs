//! Certificates an owner gives: refused when they are given, not when they are needed.

use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// Certificates of authorities.
///
/// # Errors
/// What is wrong with them.
pub(crate) fn check_authorities(pem: &str) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// A certificate chain and the key that belongs to it.
///
/// # Errors
/// What is wrong with it; never the key.
pub(crate) fn check_identity(pem: &str) -> Result<(), String> {
    let chain = certificates(pem)?;
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|_hidden| "holds no private key in PEM".to_owned())?;
    let identity = CertifiedKey::from_der(chain, key, &default_provider());
    identity.map(drop).map_err(|_hidden| "its key cannot be used or is not the certificate's".to_owned())
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let found = found.map_err(|error| error.to_string())?;
    if found.is_empty() { Err("holds no certificate in PEM".to_owned()) } else { Ok(found) }
}
