//! What a service answered.

use serde_json::Value;
use ureq::http::{HeaderMap, Response};

/// More than any answer of a test.
const MAX_BYTES: u64 = 64 << 20;

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    pub(super) fn read(response: Response<ureq::Body>) -> Result<Self, ureq::Error> {
        let (head, mut body) = response.into_parts();
        let body = body.with_config().limit(MAX_BYTES).read_to_vec()?;
        Ok(Self { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// A header, empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON, null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// True when it is `application/problem+json` about its own status, with everything a problem has.
    pub fn is_problem(&self) -> bool {
        let problem = self.json();
        self.header("content-type").starts_with("application/problem+json")
            && problem["status"] == self.status
            && ["type", "title", "code", "request_id"].iter().all(|field| problem[*field].is_string())
    }
}
