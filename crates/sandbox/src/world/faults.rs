//! What goes wrong on purpose.

use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

/// The faults asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Part of the requests that fail with `status`, 0 to 1.
    pub(crate) error_rate: f64,
    /// 500, 503 …
    pub(crate) status: u16,
    /// Fail with a gateway's HTML page instead of JSON.
    pub(crate) html: bool,
    /// Part of the requests that get no answer for `timeout_ms`.
    pub(crate) timeout_rate: f64,
    pub(crate) timeout_ms: u64,
    /// Answer 429 to everything for so long, beginning now.
    pub(crate) block_seconds: u64,
    /// Only these: token, device, me, event-stats, events, orders, order. Empty means all.
    pub(crate) routes: Vec<String>,
    /// Part of the requests that are done, and whose answer breaks off in the middle.
    pub(crate) cut_rate: f64,
    /// Fail with this `error` of OAuth instead of an API's.
    pub(crate) oauth_error: Option<String>,
    /// Sent as `Retry-After` with every failure.
    pub(crate) retry_after: Option<u64>,
    /// Sent as `X-RateLimit-Remaining` with every answer.
    pub(crate) remaining: Option<u64>,
    /// Numbers of the device flow are sent as text, as the documentation shows them.
    pub(crate) text_numbers: bool,
    /// Every answer takes so long, as over a real network.
    pub(crate) delay_ms: u64,
    pub(crate) seed: u64,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            error_rate: 0.0,
            status: 500,
            html: false,
            timeout_rate: 0.0,
            timeout_ms: 60_000,
            block_seconds: 0,
            routes: Vec::new(),
            cut_rate: 0.0,
            oauth_error: None,
            retry_after: None,
            remaining: None,
            text_numbers: false,
            delay_ms: 0,
            seed: 1,
        }
    }
}

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Spared,
    Error {
        status: u16,
        html: bool,
    },
    Silence(Duration),
    Blocked,
    /// It is done, and its answer breaks off.
    Cut,
}

#[derive(Default)]
pub(crate) struct Faults {
    active: Option<(Wanted, StdRng)>,
    blocked_until: Option<Instant>,
}

impl Faults {
    pub(crate) fn set(&mut self, wanted: Wanted) {
        use rand::SeedableRng;
        self.blocked_until =
            (wanted.block_seconds > 0).then(|| Instant::now() + Duration::from_secs(wanted.block_seconds));
        let random = StdRng::seed_from_u64(wanted.seed);
        self.active = Some((wanted, random));
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked_until.is_some_and(|until| Instant::now() < until)
    }

    /// What was asked for, if anything was.
    pub(crate) fn wanted(&self) -> Option<&Wanted> {
        self.active.as_ref().map(|(wanted, _)| wanted)
    }

    /// How long an answer takes.
    pub(crate) fn delay(&self) -> Duration {
        self.active.as_ref().map_or(Duration::ZERO, |(wanted, _)| Duration::from_millis(wanted.delay_ms))
    }

    /// Decides about one request.
    pub(crate) fn fate(&mut self, route: &str) -> Fate {
        if self.is_blocked() {
            return Fate::Blocked;
        }
        let Some((wanted, random)) = &mut self.active else { return Fate::Spared };
        if !wanted.routes.is_empty() && !wanted.routes.iter().any(|it| it == route) {
            return Fate::Spared;
        }
        if random.random_bool(wanted.timeout_rate.clamp(0.0, 1.0)) {
            return Fate::Silence(Duration::from_millis(wanted.timeout_ms));
        }
        if random.random_bool(wanted.error_rate.clamp(0.0, 1.0)) {
            return Fate::Error { status: wanted.status, html: wanted.html };
        }
        if random.random_bool(wanted.cut_rate.clamp(0.0, 1.0)) {
            return Fate::Cut;
        }
        Fate::Spared
    }
}
