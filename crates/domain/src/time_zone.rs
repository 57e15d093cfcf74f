//! Local time in a zone, and quiet hours.
//!
//! The rules of the zones are compiled in. The library that reads them is private to this module.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use time::{Date, OffsetDateTime, Time, UtcOffset};

/// A time zone by its IANA name (`Europe/Warsaw`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeZone(jiff::tz::TimeZone);

/// The name is not in the tz database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a time zone's IANA name, such as Europe/Warsaw")]
pub struct NoTimeZone;

impl TimeZone {
    /// The same moment with the zone's offset at that time.
    pub fn local(&self, at: OffsetDateTime) -> OffsetDateTime {
        // Moments outside the library's range (years -9999 to 9999) have no rules and remain in UTC.
        let offset = Timestamp::from_second(at.unix_timestamp())
            .ok()
            .and_then(|timestamp| UtcOffset::from_whole_seconds(self.0.to_offset(timestamp).seconds()).ok());
        offset.and_then(|offset| at.checked_to_offset(offset)).unwrap_or(at)
    }

    /// The moment at which the local clock shows `time` on `date`, in UTC. Of two such moments the first. A skipped
    /// time is moved by the length of the gap (RFC 5545 §3.3.5). `None` at the ends of the calendar.
    pub fn moment(&self, date: Date, time: Time) -> Option<OffsetDateTime> {
        let (hour, minute, second) = time.as_hms();
        let [month, day, hour, minute, second] =
            [u8::from(date.month()), date.day(), hour, minute, second].map(u8::cast_signed);
        let year = i16::try_from(date.year()).ok()?;
        let shown = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
        let moment = self.0.to_ambiguous_timestamp(shown).compatible().ok()?;
        OffsetDateTime::from_unix_timestamp(moment.as_second()).ok()
    }
}

impl fmt::Display for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

impl FromStr for TimeZone {
    type Err = NoTimeZone;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        jiff::tz::TimeZone::get(name).map(Self).map_err(|_unknown| NoTimeZone)
    }
}

/// A daily period in which only critical alerts are sent (`22:00-07:00`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietHours {
    start: Time,
    end: Time,
}

/// The text is not a period of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be two different times of day, such as 22:00-07:00")]
pub struct NoQuietHours;

impl QuietHours {
    /// The end of the quiet hours in which `now` lies, in UTC. `None` when it lies outside. When the clock is changed
    /// during quiet hours, they still end at the local time.
    pub fn until(self, zone: &TimeZone, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let today = zone.local(now).date();
        [today.previous_day(), Some(today)].into_iter().flatten().find_map(|day| {
            let start = zone.moment(day, self.start)?;
            let end = zone.moment(if self.end > self.start { day } else { day.next_day()? }, self.end)?;
            (start <= now && now < end).then_some(end)
        })
    }
}

impl fmt::Display for QuietHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [start, end] = [self.start, self.end].map(|time| (time.hour(), time.minute()));
        write!(f, "{:02}:{:02}-{:02}:{:02}", start.0, start.1, end.0, end.1)
    }
}

impl FromStr for QuietHours {
    type Err = NoQuietHours;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (start, end) = text.split_once('-').ok_or(NoQuietHours)?;
        let (start, end) =
            time_of_day(start).zip(time_of_day(end)).filter(|(a, b)| a != b).ok_or(NoQuietHours)?;
        Ok(Self { start, end })
    }
}

/// `HH:MM`.
fn time_of_day(text: &str) -> Option<Time> {
    let (hour, minute) = text.trim().split_once(':')?;
    let two_digits = |part: &str| (part.len() == 2).then(|| part.parse().ok()).flatten();
    Time::from_hms(two_digits(hour)?, two_digits(minute)?, 0).ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use time::OffsetDateTime;
    use time::macros::{date, datetime, time};

    use super::{QuietHours, TimeZone};

    fn warsaw() -> TimeZone {
        "Europe/Warsaw".parse().unwrap()
    }

    fn quiet_until(hours: &str, now: OffsetDateTime) -> Option<OffsetDateTime> {
        hours.parse::<QuietHours>().unwrap().until(&warsaw(), now)
    }

    #[test]
    fn local_times_may_occur_twice_or_never() {
        let zone = warsaw();
        // 2026-03-29: 02:00 becomes 03:00. 2026-10-25: 03:00 becomes 02:00.
        let moment = |date, time| zone.moment(date, time).unwrap();
        assert_eq!(moment(date!(2026 - 03 - 29), time!(02:30)), datetime!(2026-03-29 01:30 UTC));
        assert_eq!(moment(date!(2026 - 03 - 29), time!(03:30)), datetime!(2026-03-29 01:30 UTC));
        assert_eq!(moment(date!(2026 - 10 - 25), time!(02:30)), datetime!(2026-10-25 00:30 UTC));
        assert_eq!(moment(date!(2026 - 10 - 25), time!(03:00)), datetime!(2026-10-25 02:00 UTC));
        assert_eq!(zone.local(datetime!(2026-10-25 01:30 UTC)).time(), time!(02:30));
        assert_eq!(zone.to_string(), "Europe/Warsaw");
    }

    #[test]
    fn quiet_hours_end_at_the_local_time() {
        for (now, until) in [
            // Winter: one hour before UTC.
            (datetime!(2026-01-10 20:59:59 UTC), None),
            (datetime!(2026-01-10 21:00 UTC), Some(datetime!(2026-01-11 06:00 UTC))),
            (datetime!(2026-01-11 05:59:59 UTC), Some(datetime!(2026-01-11 06:00 UTC))),
            (datetime!(2026-01-11 06:00 UTC), None),
            // The night that is an hour shorter, and the one that is an hour longer.
            (datetime!(2026-03-28 21:30 UTC), Some(datetime!(2026-03-29 05:00 UTC))),
            (datetime!(2026-03-29 04:59 UTC), Some(datetime!(2026-03-29 05:00 UTC))),
            (datetime!(2026-10-24 20:00 UTC), Some(datetime!(2026-10-25 06:00 UTC))),
            (datetime!(2026-10-25 05:59 UTC), Some(datetime!(2026-10-25 06:00 UTC))),
            (datetime!(2026-10-25 06:00 UTC), None),
        ] {
            assert_eq!(quiet_until("22:00-07:00", now), until, "{now}");
        }
        assert_eq!(
            quiet_until("13:00-15:30", datetime!(2026-07-01 12:00 UTC)),
            Some(datetime!(2026-07-01 13:30 UTC))
        );
        // It ends once, although the clock shows 02:15 a second time.
        assert_eq!(
            quiet_until("22:00-02:30", datetime!(2026-10-25 00:15 UTC)),
            Some(datetime!(2026-10-25 00:30 UTC))
        );
        assert_eq!(quiet_until("22:00-02:30", datetime!(2026-10-25 01:15 UTC)), None);
    }

    #[test]
    fn an_unknown_zone_and_an_invalid_period_are_rejected() {
        for text in ["", "Warsaw", "Europe/Warszawa", "+01:00", "../../etc/passwd"] {
            assert!(text.parse::<TimeZone>().is_err(), "{text}");
        }
        for text in ["", "22:00", "22-7", "22:00-22:00", "24:00-07:00", "22:60-07:00", "22:00-07:00-08:00"] {
            assert!(text.parse::<QuietHours>().is_err(), "{text}");
        }
        assert_eq!("22:00-07:05".parse::<QuietHours>().unwrap().to_string(), "22:00-07:05");
    }
}
