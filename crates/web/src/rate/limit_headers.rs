//! Rate limit headers (draft-ietf-httpapi-ratelimit-headers-10).

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

use quota::{Policy, Verdict};

use crate::problem::{Problem, RATE_LIMITED};

const LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// State of a caller's limit after a request was counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LimitState {
    policy: Policy,
    verdict: Verdict,
}

/// Passes the state to the outermost layer, which answers the request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slot(Arc<OnceLock<LimitState>>);

impl LimitState {
    pub(super) fn new(policy: Policy, verdict: Verdict) -> Self {
        Self { policy, verdict }
    }

    /// The answer, if the limit is exceeded.
    pub(crate) fn refusal(&self) -> Option<Problem> {
        let Verdict::Refused { wait } = self.verdict else { return None };
        let detail = format!("{} requests a minute are allowed", self.policy.per_minute);
        Some(Problem::new(&RATE_LIMITED).detail(detail).retry_after(wait.max(Duration::from_secs(1))))
    }

    pub(super) fn left(&self) -> u32 {
        match self.verdict {
            Verdict::Admitted { left } => left,
            Verdict::Refused { .. } => 0,
        }
    }
}

impl Slot {
    pub(crate) fn fill(&self, state: LimitState) {
        // A request is counted once.
        let _filled_before = self.0.set(state);
    }

    /// Adds `RateLimit-Policy` and `RateLimit`, if the request was counted.
    pub(crate) fn write_to(&self, headers: &mut HeaderMap) {
        let Some(state) = self.0.get() else { return };
        let left = state.left();
        let until_full = state.policy.until_full(left);
        let seconds = until_full.as_secs() + u64::from(until_full.subsec_nanos() > 0);
        let policy = format!(r#""default";q={};w=60"#, state.policy.per_minute);
        let limit = format!(r#""default";r={left};t={seconds}"#);
        for (name, text) in [(LIMIT_POLICY, policy), (LIMIT, limit)] {
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(name, value);
            }
        }
    }
}
