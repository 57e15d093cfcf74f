//! What goes wrong on purpose.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::clock::seconds;

/// One fault: to which requests it comes, and what it does to them. Empty lists mean all.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Only these: token, device, me, event-stats, events, orders, order, fulfillment, offers, commands.
    pub(crate) routes: Vec<String>,
    /// Only requests of these sellers.
    pub(crate) sellers: Vec<String>,
    /// Only requests for these orders.
    pub(crate) orders: Vec<String>,
    /// Part of the requests that fail with `status`, 0 to 1.
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
    /// Part of the requests that get no answer for `timeout_ms`.
    pub(crate) timeout_rate: f64,
    pub(crate) timeout_ms: u64,
    /// Part of the requests whose connection ends without an answer.
    pub(crate) reset_rate: f64,
    /// Part of the requests that are carried out, but whose connection ends instead of the answer.
    pub(crate) lost_rate: f64,
    /// Part of the requests whose answer breaks off in the middle.
    pub(crate) truncate_rate: f64,
    /// Part of the requests that are answered 200 with something that is no JSON.
    pub(crate) garbage_rate: f64,
    /// Answer 429 to everything for so long, beginning now.
    pub(crate) block_seconds: u64,
    /// Every answer takes so long, as over a real network.
    pub(crate) delay_ms: u64,
    pub(crate) seed: u64,
}

impl Default for Wanted {
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

impl Wanted {
    /// What is wrong with it.
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

/// A request, as far as faults look at it.
pub(crate) struct About<'a> {
    pub(crate) route: &'a str,
    pub(crate) seller: Option<&'a str>,
    pub(crate) order: Option<&'a str>,
}

/// What happens to one request.
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

/// What stands in or on an answer besides its fate.
#[derive(Debug, Default)]
pub(crate) struct Trimmings {
    pub(crate) oauth_error: Option<String>,
    pub(crate) retry_after: Option<u64>,
    pub(crate) remaining: Option<u64>,
}

struct Active {
    id: u64,
    wanted: Wanted,
    random: StdRng,
    blocked_until: Option<OffsetDateTime>,
}

#[derive(Default)]
pub(crate) struct Faults {
    active: Vec<Active>,
    last: u64,
}

impl Faults {
    /// This fault beside those there are. Returns its id.
    pub(crate) fn add(&mut self, wanted: Wanted, now: OffsetDateTime) -> u64 {
        self.last += 1;
        let blocked_until =
            (wanted.block_seconds > 0).then(|| now.saturating_add(seconds(wanted.block_seconds)));
        let random = StdRng::seed_from_u64(wanted.seed);
        self.active.push(Active { id: self.last, wanted, random, blocked_until });
        self.last
    }

    /// No fault any more.
    pub(crate) fn clear(&mut self) {
        self.active.clear();
    }

    /// Ends one; false when there is no such one.
    pub(crate) fn remove(&mut self, id: u64) -> bool {
        let before = self.active.len();
        self.active.retain(|active| active.id != id);
        self.active.len() < before
    }

    /// All there are, with their ids.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u64, &Wanted)> {
        self.active.iter().map(|active| (active.id, &active.wanted))
    }

    pub(crate) fn is_blocked(&self, now: OffsetDateTime) -> bool {
        self.active.iter().any(|active| active.blocked_until.is_some_and(|until| now < until))
    }

    /// Decides about one request: how much later it is answered, and how.
    pub(crate) fn decide(&mut self, request: &About<'_>, now: OffsetDateTime) -> (Duration, Fate, Trimmings) {
        let (mut delay, mut trimmings) = (Duration::ZERO, Trimmings::default());
        let mut fate = if self.is_blocked(now) { Fate::Blocked } else { Fate::Spared };
        for active in self.active.iter_mut().filter(|active| active.wanted.is_about(request)) {
            let wanted = &active.wanted;
            delay += Duration::from_millis(wanted.delay_ms);
            trimmings.retry_after = trimmings.retry_after.or(wanted.retry_after);
            trimmings.remaining = trimmings.remaining.or(wanted.remaining);
            if fate == Fate::Spared {
                fate = active.draw();
                trimmings.oauth_error.clone_from(&active.wanted.oauth_error);
            }
        }
        (delay, fate, trimmings)
    }
}

impl Active {
    fn draw(&mut self) -> Fate {
        let wanted = &self.wanted;
        let fates = [
            (wanted.timeout_rate, Fate::Silence(Duration::from_millis(wanted.timeout_ms))),
            (wanted.error_rate, Fate::Error { status: wanted.status, html: wanted.html }),
            (wanted.reset_rate, Fate::Reset),
            (wanted.lost_rate, Fate::Lost),
            (wanted.truncate_rate, Fate::Truncated),
            (wanted.garbage_rate, Fate::Garbage),
        ];
        let random = &mut self.random;
        fates.into_iter().find(|(rate, _)| random.random_bool(*rate)).map_or(Fate::Spared, |(_, fate)| fate)
    }
}
