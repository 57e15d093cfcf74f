//! Errors of requests to other services.

use domain::Panic;
use reqwest::{Response, StatusCode};
use serde::Deserialize;

/// An error, classified by how the caller reacts to it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The service is unavailable, or reports that it is. Every other request would fail too.
    #[error("{service} is unavailable: {reason}")]
    Unavailable {
        /// Name of the service.
        service: &'static str,
        /// The cause.
        reason: String,
    },
    /// This request failed and may be retried.
    #[error("{service} answered {status}: {reason}")]
    Failed {
        /// Name of the service.
        service: &'static str,
        /// Status of the answer.
        status: u16,
        /// Description by the service.
        reason: String,
    },
    /// A permanent error: the resource does not exist, or the caller may not access it.
    #[error("{service} refused with {status}: {reason}")]
    Refused {
        /// Name of the service.
        service: &'static str,
        /// Status of the answer.
        status: u16,
        /// Description by the service.
        reason: String,
    },
    /// The code that sends the request panicked; the request may be repeated.
    #[error("the request {0}")]
    Panicked(#[from] Panic),
}

/// The used fields of a problem (RFC 9457).
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
            "connecting failed".to_owned()
        } else {
            "the connection broke".to_owned()
        };
        Self::Unavailable { service, reason }
    }

    /// An answer that cannot be parsed: of another version of the service, or of another program.
    pub(crate) fn unreadable(service: &'static str, error: &dyn std::error::Error) -> Self {
        Self::Failed { service, status: 200, reason: format!("its answer cannot be read: {error}") }
    }

    /// The error of an answer that is not a success.
    pub(crate) async fn read(service: &'static str, response: Response) -> Self {
        let status = response.status();
        let problem = response.json::<Problem>().await.ok();
        let (code, detail) = problem.map_or((None, None), |it| (it.code, it.detail));
        let words: Vec<String> = [code, detail].into_iter().flatten().collect();
        let reason = if words.is_empty() { "no reason given".to_owned() } else { words.join(": ") };
        match status {
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                Self::Unavailable { service, reason }
            }
            StatusCode::UNAUTHORIZED | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                Self::Failed { service, status: status.as_u16(), reason }
            }
            _ if status.is_client_error() => Self::Refused { service, status: status.as_u16(), reason },
            _ => Self::Failed { service, status: status.as_u16(), reason },
        }
    }
}
