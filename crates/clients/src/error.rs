//! Why another service did not do what it was asked.

use domain::Panic;
use reqwest::{Response, StatusCode};
use serde::Deserialize;

/// Sorted by what the asker does about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not there, or says that it cannot do anything now: every other question would end the same way.
    #[error("{service} is away: {reason}")]
    Away {
        /// Who was asked.
        service: &'static str,
        /// What happened.
        reason: String,
    },
    /// This question went wrong; it may be asked again.
    #[error("{service} answered {status}: {reason}")]
    Trouble {
        /// Who was asked.
        service: &'static str,
        /// The answer's status.
        status: u16,
        /// What it said.
        reason: String,
    },
    /// Asking again cannot help: there is no such thing, or it is not ours to ask for.
    #[error("{service} refused with {status}: {reason}")]
    Refused {
        /// Who was asked.
        service: &'static str,
        /// The answer's status.
        status: u16,
        /// What it said.
        reason: String,
    },
    /// The code that sends the request panicked; the request may be repeated.
    #[error("the request {0}")]
    Panicked(#[from] Panic),
}

/// As much of a problem (RFC 9457) as is told on.
#[derive(Deserialize)]
struct Problem {
    code: Option<String>,
    detail: Option<String>,
}

impl Error {
    pub(crate) fn network(service: &'static str, error: &reqwest::Error) -> Self {
        let reason = if error.is_timeout() {
            "no answer in time".to_owned()
        } else if error.is_connect() {
            "it cannot be connected to".to_owned()
        } else {
            "the connection broke".to_owned()
        };
        Self::Away { service, reason }
    }

    /// What was said cannot be read: another version of the other side, or another program.
    pub(crate) fn unreadable(service: &'static str, error: &dyn std::error::Error) -> Self {
        Self::Trouble { service, status: 200, reason: format!("its answer cannot be read: {error}") }
    }

    /// What an answer that is no success means.
    pub(crate) async fn read(service: &'static str, response: Response) -> Self {
        let status = response.status();
        let problem = response.json::<Problem>().await.ok();
        let (code, detail) = problem.map_or((None, None), |it| (it.code, it.detail));
        let words: Vec<String> = [code, detail].into_iter().flatten().collect();
        let reason = if words.is_empty() { "no reason given".to_owned() } else { words.join(": ") };
        match status {
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                Self::Away { service, reason }
            }
            StatusCode::UNAUTHORIZED | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                Self::Trouble { service, status: status.as_u16(), reason }
            }
            _ if status.is_client_error() => Self::Refused { service, status: status.as_u16(), reason },
            _ => Self::Trouble { service, status: status.as_u16(), reason },
        }
    }
}
