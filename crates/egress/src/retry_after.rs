//! Parses `Retry-After`.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// Maximum delay.
const LONGEST: Duration = Duration::from_hours(24);

/// The delay of `Retry-After`, at most a day. `None` when the header is absent or malformed.
///
/// Accepts seconds of any number of digits and the three forms of an HTTP date (RFC 9110 §5.6.7 and §10.2.3), also with
/// a numeric zone. A past date is a delay of zero.
pub fn retry_after(headers: &HeaderMap, now: OffsetDateTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Parsing fails here only for a number that is too large.
        text.parse().map_or(LONGEST, Duration::from_secs)
    } else {
        let until = httpdate::parse_http_date(text).map(OffsetDateTime::from).ok();
        let until = until.or_else(|| OffsetDateTime::parse(text, &Rfc2822).ok())?;
        (until - now).try_into().unwrap_or_default()
    };
    Some(wait.min(LONGEST))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::Duration;

    use reqwest::header::{HeaderMap, RETRY_AFTER};
    use time::macros::datetime;

    use super::retry_after;

    #[test]
    fn seconds_and_every_form_of_a_date_are_parsed() {
        let now = datetime!(1994-11-06 08:47:37 UTC);
        for (value, expected) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("00000000000000000000000120", Some(120)),
            ("99999999", Some(86_400)),
            ("99999999999999999999", Some(86_400)),
            ("340282366920938463463374607431768211456", Some(86_400)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(120)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(120)),
            ("Sun Nov  6 08:49:37 1994", Some(120)),
            ("Sun, 06 Nov 1994 09:49:37 +0100", Some(120)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("Mon, 06 Nov 1995 08:49:37 GMT", Some(86_400)),
            ("Monday, 06-Nov-95 08:49:37 GMT", Some(86_400)),
            ("", None),
            ("-5", None),
            ("+5", None),
            ("1.5", None),
            ("soon", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
            assert_eq!(retry_after(&headers, now), expected.map(Duration::from_secs), "{value:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
