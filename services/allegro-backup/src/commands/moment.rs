//! Moments on the command line.

use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

/// Reads a moment; a day is its beginning in UTC.
///
/// # Errors
/// What it should look like.
pub(super) fn moment(text: &str) -> Result<OffsetDateTime, &'static str> {
    let day = || {
        Date::parse(text, format_description!("[year]-[month]-[day]")).map(|day| day.midnight().assume_utc())
    };
    OffsetDateTime::parse(text, &Rfc3339).or_else(|_no_moment| day()).map_err(
        |_neither| "a day like 2026-11-01 (it begins in UTC), or a moment like 2026-11-01T08:30:00+01:00",
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
            ("2026-02-30", None),
            ("01.11.2026", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(moment(text).ok(), expected, "{text}");
        }
    }
}
