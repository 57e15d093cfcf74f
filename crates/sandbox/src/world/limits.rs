//! Rate limits: per application, and optionally per user.

use std::collections::HashMap;

use time::{Duration, OffsetDateTime};

use super::clock::seconds;
use super::rules::LimitRules;

/// The decision on one request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Verdict {
    /// Admitted; this many more in this minute.
    Fine { remaining: u64 },
    /// Answered later.
    Slower(std::time::Duration),
    /// 429; the application is blocked for this number of seconds.
    Refused { seconds: u64 },
}

#[derive(Debug, Default)]
pub(crate) struct Limits {
    minute: Option<(OffsetDateTime, u64)>,
    blocked_until: Option<OffsetDateTime>,
    /// Level of each user's bucket, and the time of that level.
    buckets: HashMap<String, (f64, OffsetDateTime)>,
    pub(crate) refused: u64,
}

impl Limits {
    pub(crate) fn is_blocked(&self, now: OffsetDateTime) -> bool {
        self.blocked_until.is_some_and(|until| now < until)
    }

    /// Counts a request of the application.
    pub(crate) fn count(&mut self, user: Option<&str>, rules: &LimitRules, now: OffsetDateTime) -> Verdict {
        if rules.requests_per_minute == 0 {
            return self.fill_bucket(user, rules, now, u64::MAX);
        }
        if let Some(until) = self.blocked_until.filter(|until| now < *until) {
            let until =
                if rules.lengthens { now.saturating_add(seconds(rules.block_seconds)) } else { until };
            return self.refuse(until, now);
        }
        let (begun, asked) = self.minute.filter(|(at, _)| now - *at < Duration::MINUTE).unwrap_or((now, 0));
        self.minute = Some((begun, asked + 1));
        if asked >= rules.requests_per_minute {
            self.minute = None;
            return self.refuse(now.saturating_add(seconds(rules.block_seconds)), now);
        }
        self.fill_bucket(user, rules, now, rules.requests_per_minute - asked - 1)
    }

    fn refuse(&mut self, until: OffsetDateTime, now: OffsetDateTime) -> Verdict {
        self.blocked_until = Some(until);
        self.refused += 1;
        Verdict::Refused { seconds: (until - now).whole_seconds().try_into().unwrap_or(1) }
    }

    /// Answers are delayed when the bucket is full, and are 429 when it is twice full.
    fn fill_bucket(
        &mut self,
        user: Option<&str>,
        rules: &LimitRules,
        now: OffsetDateTime,
        remaining: u64,
    ) -> Verdict {
        let Some(user) = user.filter(|_| rules.user_bucket > 0.0) else { return Verdict::Fine { remaining } };
        let (level, at) = self.buckets.get(user).copied().unwrap_or((0.0, now));
        let leaked = (now - at).as_seconds_f64() * rules.user_leak_per_second;
        let level = (level - leaked).max(0.0) + 1.0;
        if level > rules.user_bucket * 2.0 {
            self.refused += 1;
            return Verdict::Refused { seconds: 1 };
        }
        self.buckets.insert(user.to_owned(), (level, now));
        let over = level - rules.user_bucket;
        if over > 0.0 {
            return Verdict::Slower(std::time::Duration::from_secs_f64(over / rules.user_leak_per_second));
        }
        Verdict::Fine { remaining }
    }
}
