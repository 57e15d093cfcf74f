//! The sandbox's clock, and Allegro's format of times.

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{Duration, OffsetDateTime, UtcOffset};

const FORMAT: &[BorrowedFormatItem<'static>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// The system's time plus an offset: it runs by itself, jumps forward on request, and never goes back.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Clock {
    ahead: Duration,
}

impl Clock {
    /// A clock that shows this time now.
    pub(crate) fn showing(moment: OffsetDateTime) -> Self {
        Self { ahead: moment - OffsetDateTime::now_utc() }
    }

    pub(crate) fn now(self) -> OffsetDateTime {
        OffsetDateTime::now_utc().saturating_add(self.ahead)
    }

    pub(crate) const fn advance(&mut self, by: std::time::Duration) {
        let by = Duration::new(by.as_secs().cast_signed(), 0);
        self.ahead = self.ahead.saturating_add(by);
    }
}

/// UTC with milliseconds.
pub(crate) fn written(at: OffsetDateTime) -> String {
    at.to_offset(UtcOffset::UTC).format(FORMAT).unwrap_or_default()
}

/// Microseconds since the epoch.
pub(crate) fn micros(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1000).unwrap_or(i64::MAX)
}

/// A number of seconds from the rules, as a duration.
pub(crate) fn seconds(number: u64) -> Duration {
    Duration::seconds(i64::try_from(number).unwrap_or(i64::MAX))
}
