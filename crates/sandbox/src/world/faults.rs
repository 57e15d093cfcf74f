//! Faults that a test injects.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::clock::seconds;

/// A fault: the requests that it affects, and its effects. Empty lists match all requests.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Fault {
    /// Only these routes: token, device, me, event-stats, events, orders, order, fulfillment, offers, commands.
    pub(crate) routes: Vec<String>,
    /// Only requests of these sellers.
    pub(crate) sellers: Vec<String>,
    /// Only requests for these orders.
    pub(crate) orders: Vec<String>,
    /// Share of the requests that fail with `status`, 0 to 1.
    pub(crate) error_rate: f64,
    /// 500, 503 …
    pub(crate) status: u16,
    /// Fail with a gateway's HTML page instead of JSON.
    pub(crate) html: bool,
    /// Fail with this `error` of OAuth instead of an API's.
    pub(crate) oauth_error: Option<String>,
    /// Sent as `Retry-After` with every failure.
    pub(crate) retry_after: Option<u64>,
    /// Sent as `X-RateLimit-Remaining` with every answer.
    pub(crate) remaining: Option<u64>,
    /// Share of the requests that get no answer for `timeout_ms`.
    pub(crate) timeout_rate: f64,
    pub(crate) timeout_ms: u64,
    /// Share of the requests whose connection ends without an answer.
    pub(crate) reset_rate: f64,
    /// Share of the requests that are carried out, but whose connection ends instead of an answer.
    pub(crate) lost_rate: f64,
    /// Share of the requests whose answer ends in the middle.
    pub(crate) truncate_rate: f64,
    /// Share of the requests that are answered 200 with text that is not JSON.
    pub(crate) garbage_rate: f64,
    /// Answer 429 to everything for this time, beginning now.
    pub(crate) block_seconds: u64,
    /// Latency of every answer, as over a real network.
    pub(crate) delay_ms: u64,
    pub(crate) seed: u64,
}

impl Default for Fault {
    fn default() -> Self {
        Self {
            routes: Vec::new(),
            sellers: Vec::new(),
            orders: Vec::new(),
            error_rate: 0.0,
            status: 500,
            html: false,
            oauth_error: None,
            retry_after: None,
            remaining: None,
            timeout_rate: 0.0,
            timeout_ms: 60_000,
            reset_rate: 0.0,
            lost_rate: 0.0,
            truncate_rate: 0.0,
            garbage_rate: 0.0,
            block_seconds: 0,
            delay_ms: 0,
            seed: 1,
        }
    }
}

impl Fault {
    /// The error of the fault.
    pub(crate) fn check(&self) -> Result<(), String> {
        let rates = [
            self.error_rate,
            self.timeout_rate,
            self.reset_rate,
            self.lost_rate,
            self.truncate_rate,
            self.garbage_rate,
        ];
        if !rates.iter().all(|rate| (0.0..=1.0).contains(rate)) {
            return Err("rates are between 0 and 1".to_owned());
        }
        if !(200..=599).contains(&self.status) {
            return Err("status is an HTTP status".to_owned());
        }
        Ok(())
    }

    fn is_about(&self, request: &About<'_>) -> bool {
        let is_in = |list: &[String], value: Option<&str>| {
            list.is_empty() || value.is_some_and(|value| list.iter().any(|it| it == value))
        };
        is_in(&self.routes, Some(request.route))
            && is_in(&self.sellers, request.seller)
            && is_in(&self.orders, request.order)
    }
}

/// The properties of a request by which faults select it.
pub(crate) struct About<'a> {
    pub(crate) route: &'a str,
    pub(crate) seller: Option<&'a str>,
    pub(crate) order: Option<&'a str>,
}

/// The effect on one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Spared,
    Error { status: u16, html: bool },
    Silence(Duration),
    Reset,
    Lost,
    Truncated,
    Garbage,
    Blocked,
}

/// Changes of an answer that are independent of its success.
#[derive(Debug, Default)]
pub(crate) struct Trimmings {
    pub(crate) oauth_error: Option<String>,
    pub(crate) retry_after: Option<u64>,
    pub(crate) remaining: Option<u64>,
}

struct Active {
    id: u64,
    fault: Fault,
    random: StdRng,
    blocked_until: Option<OffsetDateTime>,
}

#[derive(Default)]
pub(crate) struct Faults {
    active: Vec<Active>,
    last: u64,
}

impl Faults {
    /// Adds a fault and returns its id.
    pub(crate) fn add(&mut self, fault: Fault, now: OffsetDateTime) -> u64 {
        self.last += 1;
        let blocked_until =
            (fault.block_seconds > 0).then(|| now.saturating_add(seconds(fault.block_seconds)));
        let random = StdRng::seed_from_u64(fault.seed);
        self.active.push(Active { id: self.last, fault, random, blocked_until });
        self.last
    }

    /// Removes all faults.
    pub(crate) fn clear(&mut self) {
        self.active.clear();
    }

    /// Removes a fault. False when it does not exist.
    pub(crate) fn remove(&mut self, id: u64) -> bool {
        let before = self.active.len();
        self.active.retain(|active| active.id != id);
        self.active.len() < before
    }

    /// All faults with their ids.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u64, &Fault)> {
        self.active.iter().map(|active| (active.id, &active.fault))
    }

    pub(crate) fn is_blocked(&self, now: OffsetDateTime) -> bool {
        self.active.iter().any(|active| active.blocked_until.is_some_and(|until| now < until))
    }

    /// Decides about one request: its delay and its effect.
    pub(crate) fn decide(&mut self, request: &About<'_>, now: OffsetDateTime) -> (Duration, Fate, Trimmings) {
        let (mut delay, mut trimmings) = (Duration::ZERO, Trimmings::default());
        let mut fate = if self.is_blocked(now) { Fate::Blocked } else { Fate::Spared };
        for active in self.active.iter_mut().filter(|active| active.fault.is_about(request)) {
            let fault = &active.fault;
            delay += Duration::from_millis(fault.delay_ms);
            trimmings.retry_after = trimmings.retry_after.or(fault.retry_after);
            trimmings.remaining = trimmings.remaining.or(fault.remaining);
            if fate == Fate::Spared {
                fate = active.draw();
                trimmings.oauth_error.clone_from(&active.fault.oauth_error);
            }
        }
        (delay, fate, trimmings)
    }
}

impl Active {
    fn draw(&mut self) -> Fate {
        let fault = &self.fault;
        let fates = [
            (fault.timeout_rate, Fate::Silence(Duration::from_millis(fault.timeout_ms))),
            (fault.error_rate, Fate::Error { status: fault.status, html: fault.html }),
            (fault.reset_rate, Fate::Reset),
            (fault.lost_rate, Fate::Lost),
            (fault.truncate_rate, Fate::Truncated),
            (fault.garbage_rate, Fate::Garbage),
        ];
        let random = &mut self.random;
        fates.into_iter().find(|(rate, _)| random.random_bool(*rate)).map_or(Fate::Spared, |(_, fate)| fate)
    }
}
