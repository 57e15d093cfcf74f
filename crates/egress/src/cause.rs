//! The cause of a failed request.

use std::error::Error;
use std::io;

use crate::redact;
use crate::ssrf::Refused;
use crate::tls;

/// The class of the failure, for storage, and the text of the innermost cause, because the outer ones repeat the
/// address. Secrets are removed.
pub fn cause(error: &reqwest::Error) -> (&'static str, String) {
    let mut class = if error.is_connect() { "connect" } else { "network" };
    let mut cause: &dyn Error = error;
    loop {
        class = class_of(cause).unwrap_or(class);
        // An I/O error is not in the chain itself. The error that it wraps is reached only this way.
        let wrapped = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        match wrapped.map(|it| -> &dyn Error { it }).or_else(|| cause.source()) {
            Some(inner) => cause = inner,
            None => return (class, in_words(cause)),
        }
    }
}

fn in_words(cause: &(dyn Error + 'static)) -> String {
    match cause.downcast_ref() {
        Some(error) if tls::is_authority(error) => {
            "the certificate is an authority's, not a server's; a self-signed one is accepted only where exactly it is \
             given as custom_ca"
                .to_owned()
        }
        _ => redact(&cause.to_string()),
    }
}

fn class_of(cause: &(dyn Error + 'static)) -> Option<&'static str> {
    match cause.downcast_ref::<Refused>() {
        Some(Refused::Unknown(_) | Refused::Unanswered(_) | Refused::LookupFailed { .. }) => Some("dns"),
        Some(_) => Some("address"),
        None => cause.is::<rustls::Error>().then_some("tls"),
    }
}
