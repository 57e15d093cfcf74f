//! Moments on the command line.

use ::domain::Instant;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

/// Reads a moment; a day is its beginning in UTC.
///
/// # Errors
/// What it should look like.
pub(super) fn moment(text: &str) -> Result<OffsetDateTime, &'static str> {
    let day = || Date::parse(text, format_description!("[year]-[month]-[day]")).ok();
    let beginning = || Instant::try_from(day()?.midnight().assume_utc()).ok();
    let instant = text.parse().ok().or_else(beginning).map(OffsetDateTime::from);
    instant.ok_or(
        "must be a day like 2026-11-01 (it begins in UTC), or a moment like 2026-11-01T08:30:00+01:00, \
         in the years 0001 to 9999",
    )
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::moment;

    #[test]
    fn a_day_is_its_beginning_and_anything_else_is_told_what_is_wanted() {
        for (text, expected) in [
            ("2026-11-01", Some(datetime!(2026-11-01 00:00 UTC))),
            ("2026-11-01T08:30:00+01:00", Some(datetime!(2026-11-01 08:30 +1))),
            ("0001-01-01", Some(datetime!(0001-01-01 00:00 UTC))),
            ("0000-12-31", None),
            ("9999-12-31T23:59:59-01:00", None),
            ("2026-02-30", None),
            ("01.11.2026", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(moment(text).ok(), expected, "{text}");
        }
    }
}
