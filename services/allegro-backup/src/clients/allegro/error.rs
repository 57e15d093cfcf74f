//! How a call to Allegro fails. Texts are Allegro's, redacted: its errors echo whole tokens.

use std::time::Duration;

use reqwest::StatusCode;

use super::wire::{ApiErrors, OAuthError};

/// A failed call.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AllegroError {
    /// The access token is not good (any more).
    #[error("Allegro does not accept the access token")]
    Unauthorized,
    /// An OAuth error code (RFC 6749 §5.2, RFC 8628 §3.5).
    #[error("Allegro answered {code}")]
    OAuth {
        /// The code.
        code: String,
    },
    /// Everybody with our client id waits.
    #[error("Allegro's limit was met; calls pause for {0:?}")]
    Paused(Duration),
    /// There is no such thing for this account.
    #[error("Allegro knows no such resource")]
    NotFound,
    /// Allegro refuses this very request.
    #[error("Allegro refused the request with {status}: {text}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Why.
        text: String,
    },
    /// Allegro or the network is away.
    #[error("Allegro cannot be reached: {text}")]
    Unavailable {
        /// True when no answer came at all.
        network: bool,
        /// What happened.
        text: String,
    },
    /// Not what Allegro's documentation describes.
    #[error("Allegro's answer cannot be read")]
    Malformed,
}

impl AllegroError {
    /// True when the request is not at fault: the same one may succeed later.
    pub(crate) const fn is_systemic(&self) -> bool {
        !matches!(self, Self::NotFound | Self::Refused { .. })
    }

    pub(super) fn network(error: &reqwest::Error) -> Self {
        let text = if error.is_timeout() { "no answer in time" } else { "the connection failed" };
        Self::Unavailable { network: true, text: text.to_owned() }
    }

    pub(super) fn refused(status: StatusCode, json: Option<&[u8]>) -> Self {
        if status.is_server_error() {
            return Self::Unavailable { network: false, text: format!("it answered {}", status.as_u16()) };
        }
        if let Some(OAuthError { error }) = json.and_then(|body| serde_json::from_slice(body).ok()) {
            return match error.as_str() {
                // Any API resource says so; the OAuth endpoints say what is wrong with the grant.
                "invalid_token" | "unauthorized" => Self::Unauthorized,
                _ => Self::OAuth { code: error },
            };
        }
        match status {
            StatusCode::UNAUTHORIZED => Self::Unauthorized,
            StatusCode::NOT_FOUND => Self::NotFound,
            _ => {
                let errors = json.and_then(|body| serde_json::from_slice::<ApiErrors>(body).ok());
                let first = errors.and_then(|it| it.errors.into_iter().next());
                let text = first.map(|it| format!("{}: {}", it.code, it.message.unwrap_or_default()));
                let text = egress::redact(&text.unwrap_or_else(|| "without a reason".to_owned()));
                Self::Refused { status: status.as_u16(), text }
            }
        }
    }
}
