//! Timestamps, complete or shortened.

use domain::Instant;
use time::OffsetDateTime;

/// Reads a timestamp of ISO 8601. Seconds, the time of day and the offset (UTC) may be left out, and the offset's colon.
pub(crate) fn read(text: &str) -> Option<OffsetDateTime> {
    let text = text.trim();
    let instant = text.parse::<Instant>().or_else(|_shortened| complete(text).parse());
    instant.ok().map(Into::into)
}

/// The text with what was left out. A text that is no timestamp stays none.
fn complete(text: &str) -> String {
    let (date, rest) = text.split_once(['T', 't', ' ']).unwrap_or((text, "00:00:00Z"));
    let offset_at = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (time, offset) = rest.split_at(offset_at);
    let seconds = if time.matches(':').count() == 1 { ":00" } else { "" };
    let offset = match (offset.split_at_checked(3), offset) {
        (_, "") => "Z".to_owned(),
        (Some((hours, "")), _) => format!("{hours}:00"),
        (Some((hours, minutes)), _) if minutes.len() == 2 => format!("{hours}:{minutes}"),
        (_, offset) => offset.to_owned(),
    };
    format!("{date}T{time}{seconds}{offset}")
}

#[cfg(test)]
mod tests {
    use super::read;
    use time::macros::datetime;

    #[test]
    fn shortened_timestamps_are_completed() {
        for text in [
            "2026-11-21T08:00:00.000Z",
            "2026-11-21T08:00:00Z",
            "2026-11-21T08:00Z",
            "2026-11-21T08:00:00",
            "2026-11-21 08:00",
            "2026-11-21T09:00:00+0100",
            "2026-11-21T09:00+01",
            " 2026-11-21T08:00:00Z ",
        ] {
            assert_eq!(read(text), Some(datetime!(2026-11-21 08:00 UTC)), "{text}");
        }
        assert_eq!(read("2026-11-21"), Some(datetime!(2026-11-21 00:00 UTC)));
    }

    #[test]
    fn other_texts_are_no_timestamps() {
        for text in
            ["", "yesterday", "T", "2026-02-30", "2026-11-21T", "9999-12-31T23:59:59-01:00", "+", "ż:ż"]
        {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
