//! Instants from outside: requests, queries, messages, answers, files, tokens, the command line.
//!
//! Invariant: an [`Instant`] can be stored, written as RFC 3339 and read back unchanged. All text and numbers from
//! outside are parsed as instants here.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime, UtcOffset};

/// A point in time in UTC, in the years 1 to 9999, in whole microseconds. RFC 3339 can write it and Postgres can store it.
/// Finer values are truncated towards the past, never rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Instant(OffsetDateTime);

/// The reason why a text or a number is not an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InstantError {
    /// Not a date and time with an offset (RFC 3339 §5.6).
    #[error("must be an RFC 3339 date and time with an offset, such as 2026-11-21T08:00:00Z")]
    Malformed,
    /// Before the year 1 or after the year 9999, once converted to UTC.
    #[error("must be in the years 0001 to 9999 in UTC")]
    OutOfRange,
}

impl Instant {
    /// Parses a number of seconds since 1970, as in tokens (`NumericDate`, RFC 7519 §2).
    ///
    /// # Errors
    /// [`InstantError::OutOfRange`], also for NaN and infinities.
    pub fn from_unix_seconds(seconds: f64) -> Result<Self, InstantError> {
        let since_1970 = Duration::checked_seconds_f64(seconds);
        let at = since_1970.and_then(|it| OffsetDateTime::UNIX_EPOCH.checked_add(it));
        at.ok_or(InstantError::OutOfRange)?.try_into()
    }
}

impl TryFrom<OffsetDateTime> for Instant {
    type Error = InstantError;

    fn try_from(at: OffsetDateTime) -> Result<Self, Self::Error> {
        let utc = at.checked_to_offset(UtcOffset::UTC).filter(|utc| utc.year() > 0);
        utc.map(|utc| Self(utc.truncate_to_microsecond())).ok_or(InstantError::OutOfRange)
    }
}

impl From<Instant> for OffsetDateTime {
    fn from(instant: Instant) -> Self {
        instant.0
    }
}

impl FromStr for Instant {
    type Err = InstantError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        OffsetDateTime::parse(text, &Rfc3339).map_err(|_unparsable| InstantError::Malformed)?.try_into()
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.format(&Rfc3339).map_err(|_unwritable| fmt::Error)?)
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        time::serde::rfc3339::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Whether `from` is before `to`, or one of them is absent.
pub fn are_in_order(from: Option<OffsetDateTime>, to: Option<OffsetDateTime>) -> bool {
    from.zip(to).is_none_or(|(from, to)| from < to)
}

/// Serializes a field of a message or a document as an [`Instant`] (`#[serde(with = "domain::instant")]`).
///
/// # Errors
/// The value is out of range, or the serializer fails.
pub fn serialize<S: Serializer>(at: &OffsetDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    Instant::try_from(*at).map_err(ser::Error::custom)?.serialize(serializer)
}

/// Deserializes a field of a message or a document as an [`Instant`].
///
/// # Errors
/// The value is not an instant.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OffsetDateTime, D::Error> {
    Instant::deserialize(deserializer).map(Into::into)
}

/// As [`serialize`] and [`deserialize`], for a field that may be absent.
pub mod option {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};
    use time::OffsetDateTime;

    use super::Instant;

    /// Serializes an instant or null.
    ///
    /// # Errors
    /// The value is out of range, or the serializer fails.
    pub fn serialize<S: Serializer>(at: &Option<OffsetDateTime>, serializer: S) -> Result<S::Ok, S::Error> {
        at.map(Instant::try_from).transpose().map_err(ser::Error::custom)?.serialize(serializer)
    }

    /// Deserializes an instant or null.
    ///
    /// # Errors
    /// The value is neither an instant nor null.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<OffsetDateTime>, D::Error> {
        Option::<Instant>::deserialize(deserializer).map(|at| at.map(Into::into))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};
    use time::macros::datetime;
    use time::{OffsetDateTime, UtcOffset};

    use super::{Instant, InstantError};

    fn read(text: &str) -> Result<String, InstantError> {
        text.parse::<Instant>().map(|instant| instant.to_string())
    }

    #[test]
    fn an_instant_is_converted_to_utc_and_truncated() {
        for (text, expected) in [
            ("2026-11-21T08:00:00Z", "2026-11-21T08:00:00Z"),
            ("2026-11-21t08:00:00z", "2026-11-21T08:00:00Z"),
            ("2026-11-21T08:00:00-00:00", "2026-11-21T08:00:00Z"),
            ("2026-11-21T08:00:00.120+01:30", "2026-11-21T06:30:00.12Z"),
            ("2026-11-21T08:00:00.123456999Z", "2026-11-21T08:00:00.123456Z"),
            ("1969-12-31T23:59:59.9999999Z", "1969-12-31T23:59:59.999999Z"),
            ("2026-11-21T08:00:00.12345678999999999999Z", "2026-11-21T08:00:00.123456Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.999999Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            ("0000-12-31T23:59:59-00:01", "0001-01-01T00:00:59Z"),
            ("9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn years_outside_1_to_9999_in_utc_are_rejected() {
        for text in [
            "9999-12-31T23:59:59-00:01",
            "9999-12-31T23:59:59.999999-23:59",
            "0001-01-01T00:00:00+00:01",
            "0000-01-01T00:00:00Z",
            "0000-12-31T23:59:59+23:59",
        ] {
            assert_eq!(read(text), Err(InstantError::OutOfRange), "{text}");
        }
    }

    #[test]
    fn other_texts_are_rejected() {
        for text in [
            "",
            "yesterday",
            "2026-11-21",
            "2026-11-21T08:00:00",
            "2026-11-21T08:00Z",
            "2026-02-30T00:00:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T08:00:60Z",
            "2026-11-21T08:00:00.Z",
            "2026-11-21T08:00:00+24:00",
            "10000-01-01T00:00:00Z",
            "-0001-01-01T00:00:00Z",
            "+2026-11-21T08:00:00Z",
            " 2026-11-21T08:00:00Z",
            "2026-11-21T08:00:00Z ",
            "1795248000",
        ] {
            assert_eq!(read(text), Err(InstantError::Malformed), "{text:?}");
        }
    }

    #[test]
    fn unix_seconds_have_the_same_range() {
        let seconds = |seconds| Instant::from_unix_seconds(seconds).map(|instant| instant.to_string());
        assert_eq!(seconds(0.0).as_deref(), Ok("1970-01-01T00:00:00Z"));
        assert_eq!(seconds(1_795_248_000.5).as_deref(), Ok("2026-11-21T08:00:00.5Z"));
        assert_eq!(seconds(-62_135_596_800.0).as_deref(), Ok("0001-01-01T00:00:00Z"));
        assert_eq!(seconds(253_402_300_799.0).as_deref(), Ok("9999-12-31T23:59:59Z"));
        for outside in [-62_135_596_801.0, 253_402_300_800.0, 1e300, f64::MIN, f64::INFINITY, f64::NAN] {
            assert_eq!(seconds(outside), Err(InstantError::OutOfRange), "{outside}");
        }
    }

    #[test]
    fn fields_are_read_and_written_as_instants() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Fields {
            #[serde(with = "crate::instant")]
            at: OffsetDateTime,
            #[serde(default, with = "crate::instant::option")]
            until: Option<OffsetDateTime>,
        }

        let read = |text: &str| serde_json::from_str::<Fields>(text);
        let fields = read(r#"{"at":"2026-11-21T08:00:00.1234567+01:00","until":null}"#).unwrap();
        assert_eq!(fields, Fields { at: datetime!(2026-11-21 07:00:00.123456 UTC), until: None });
        assert_eq!(read(r#"{"at":"2026-11-21T07:00:00.123456Z"}"#).unwrap(), fields);
        let written = serde_json::to_string(&fields).unwrap();
        assert_eq!(written, r#"{"at":"2026-11-21T07:00:00.123456Z","until":null}"#);
        let error = read(r#"{"at":"2026-11-21T08:00:00Z","until":"9999-12-31T23:59:59-01:00"}"#).unwrap_err();
        assert!(error.to_string().starts_with("must be in the years 0001 to 9999 in UTC"), "{error}");
        for wrong in ["5", "null", "[]", r#""0000-01-01T00:00:00Z""#] {
            assert!(read(&format!(r#"{{"at":{wrong}}}"#)).is_err(), "{wrong}");
        }
        let unwritable = Fields { at: datetime!(9999-12-31 23:00 -2), until: None };
        assert!(serde_json::to_string(&unwritable).is_err());
    }

    /// Every value the type of the `time` crate can have, at every offset.
    fn moments() -> impl Strategy<Value = OffsetDateTime> {
        let seconds = -377_705_116_800_i64..=253_402_300_799;
        (seconds, 0..1_000_000_000_u32, -86_399..=86_399_i32).prop_filter_map(
            "a date",
            |(second, nano, offset)| {
                let utc = OffsetDateTime::from_unix_timestamp(second).ok()?.replace_nanosecond(nano).ok()?;
                Some(utc.replace_offset(UtcOffset::from_whole_seconds(offset).ok()?))
            },
        )
    }

    proptest! {
        #[test]
        fn a_written_instant_is_read_back(at in moments()) {
            // Years 1 to 9999 in UTC.
            let is_in_range = (-62_135_596_800..=253_402_300_799).contains(&at.unix_timestamp());
            let instant = Instant::try_from(at);
            prop_assert_eq!(instant.is_ok(), is_in_range);
            if let Ok(instant) = instant {
                prop_assert_eq!(instant.to_string().parse(), Ok(instant));
                let truncated = at - OffsetDateTime::from(instant);
                prop_assert!((0..1_000).contains(&truncated.whole_nanoseconds()));
            }
        }

        #[test]
        fn order_is_kept(one in moments(), other in moments()) {
            if let (Ok(first), Ok(second)) = (Instant::try_from(one), Instant::try_from(other)) {
                prop_assert!(one > other || first <= second);
            }
        }

        #[test]
        fn no_text_panics(text in r"[0-9]{0,5}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:(60|[0-9]{2})(\.[0-9]{0,40})?([Zz]|[+-][0-9]{2}:[0-9]{2})?") {
            if let Ok(instant) = text.parse::<Instant>() {
                prop_assert_eq!(instant.to_string().parse(), Ok(instant));
            }
        }
    }
}
