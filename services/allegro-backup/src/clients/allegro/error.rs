//! How a call to Allegro fails. Texts are Allegro's, redacted: its errors echo whole tokens.

use std::time::Duration;

use reqwest::StatusCode;

use super::pause::Halt;
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
    /// A limit was met: the account, or everyone with our client id, waits.
    #[error("Allegro's limit was met; calls pause for {:?}", .0.wait)]
    Paused(Halt),
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
        /// When Allegro wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// Not what Allegro's documentation describes.
    #[error("Allegro's answer {text}")]
    Malformed {
        /// What is wrong with it.
        text: &'static str,
        /// The id of the first order or event in it, as far as it could be read.
        first: Option<String>,
    },
}

impl AllegroError {
    /// True when the request is not at fault: the same one may succeed later.
    pub(crate) const fn is_systemic(&self) -> bool {
        !matches!(self, Self::NotFound | Self::Refused { .. })
    }

    /// Nothing of it is of use.
    pub(crate) const fn malformed() -> Self {
        Self::Malformed { text: "cannot be read", first: None }
    }

    pub(super) fn network(error: &reqwest::Error) -> Self {
        let text = if error.is_timeout() { "no answer in time" } else { "the connection failed" };
        Self::Unavailable { network: true, text: text.to_owned(), retry_after: None }
    }

    /// The answer had begun.
    pub(super) fn broken(error: &reqwest::Error) -> Self {
        let text =
            if error.is_timeout() { "its answer did not end in time" } else { "its answer is cut off" };
        Self::Unavailable { network: true, text: text.to_owned(), retry_after: None }
    }

    /// What an API resource answered in place of a success.
    pub(super) fn refused(status: StatusCode, json: Option<&[u8]>, trace: &str) -> Self {
        if status == StatusCode::UNAUTHORIZED {
            return Self::Unauthorized;
        }
        if let Some(code) = json.and_then(oauth_code) {
            return Self::OAuth { code };
        }
        if status == StatusCode::NOT_FOUND {
            return Self::NotFound;
        }
        let errors = json.and_then(|body| serde_json::from_slice::<ApiErrors>(body).ok());
        let first = errors.and_then(|it| it.errors.into_iter().next());
        let text = first.map(|it| format!("{}: {}", it.code, it.message.unwrap_or_default()));
        let text = egress::redact(&text.unwrap_or_else(|| "without a reason".to_owned()));
        Self::Refused { status: status.as_u16(), text: format!("{text} (trace {trace})") }
    }

    /// What an OAuth endpoint answered in place of a success. 401 is about the application here, never about an account.
    pub(super) fn grant_refused(status: StatusCode, json: Option<&[u8]>) -> Self {
        let code = json.and_then(oauth_code);
        let code = code.or_else(|| (status == StatusCode::UNAUTHORIZED).then(|| "unauthorized".to_owned()));
        match code {
            Some(code) => Self::OAuth { code },
            None => Self::Refused { status: status.as_u16(), text: "without a reason".to_owned() },
        }
    }
}

/// The `error` of an OAuth answer: a short word, whatever was sent.
fn oauth_code(body: &[u8]) -> Option<String> {
    let OAuthError { error } = serde_json::from_slice(body).ok()?;
    Some(egress::redact(&error).chars().take(100).collect())
}
