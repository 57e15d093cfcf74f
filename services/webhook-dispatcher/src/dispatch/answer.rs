//! What is kept of a receiver's answer: a hostile one may send anything, for as long as it likes.

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode};
use serde_json::map::Entry;
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::redaction::Redaction;

/// What is read of a body. One that is longer costs the connection.
const READ_BYTES: usize = 64 * 1024;
/// What is kept of it, and of the headers.
const KEPT_BYTES: usize = 4 * 1024;
/// What is searched for secrets of a body or a header value before it is cut to [`KEPT_BYTES`].
const REDACTED_BYTES: usize = 2 * KEPT_BYTES;
/// How long an endpoint that is overloaded and does not say for how long is left alone.
const SHORT_PAUSE: Duration = Duration::from_secs(1);

/// The first part of a body as text, and whether the answer broke off before its end.
pub(super) async fn excerpt(
    response: &mut Response,
    redaction: &Redaction,
) -> (Option<String>, Option<reqwest::Error>) {
    let (mut kept, mut length) = (Vec::new(), 0);
    let broken = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                length += chunk.len();
                let room = REDACTED_BYTES.saturating_sub(kept.len());
                kept.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
                if length >= READ_BYTES {
                    break None;
                }
            }
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    (Some(text(&kept, redaction)).filter(|text| !text.is_empty()), broken)
}

/// The first part of it, redacted.
fn text(bytes: &[u8], redaction: &Redaction) -> String {
    let mut text = redaction.apply(bytes.get(..REDACTED_BYTES).unwrap_or(bytes));
    text.truncate(text.floor_char_boundary(KEPT_BYTES));
    text
}

/// The headers that fit, as an object: the value of each name, or an array of its values when the name
/// is repeated (`Set-Cookie` cannot be joined to one value, RFC 9110 §5.3).
pub(super) fn headers(headers: &HeaderMap, redaction: &Redaction) -> Value {
    let mut kept = Map::new();
    let mut room = KEPT_BYTES;
    for (name, value) in headers {
        let value = text(value.as_bytes(), redaction);
        let Some(left) = room.checked_sub(name.as_str().len() + value.len()) else { break };
        room = left;
        let value = Value::String(value);
        match kept.entry(name.as_str()) {
            Entry::Vacant(place) => {
                place.insert(value);
            }
            Entry::Occupied(mut place) => match place.get_mut() {
                Value::Array(values) => values.push(value),
                first => *first = Value::Array(vec![first.take(), value]),
            },
        }
    }
    Value::Object(kept)
}

/// An endpoint's request for fewer deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SlowDown {
    /// How long deliveries to it pause.
    pub(super) pause: Duration,
    /// True for throttling (429, and 503 with `Retry-After`): the try uses no attempt.
    pub(super) is_throttling: bool,
}

/// The pause that an answer asks for: by `Retry-After`, or a second if it reports an overload without the header.
pub(super) fn slow_down(status: StatusCode, headers: &HeaderMap, now: OffsetDateTime) -> Option<SlowDown> {
    if status.is_success() {
        return None;
    }
    let asked = egress::retry_after(headers, now);
    let (is_overloaded, is_throttling) = match status.as_u16() {
        429 => (true, true),
        503 => (true, asked.is_some()),
        502 | 504 => (true, false),
        _ => (false, false),
    };
    let pause = asked.or_else(|| is_overloaded.then_some(SHORT_PAUSE))?;
    Some(SlowDown { pause: pause.max(SHORT_PAUSE), is_throttling })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::Duration;

    use reqwest::StatusCode;
    use reqwest::header::{HeaderMap, RETRY_AFTER};
    use serde_json::json;
    use time::macros::datetime;

    use super::{KEPT_BYTES, Redaction, SlowDown, headers, slow_down, text};

    #[test]
    fn endpoints_are_left_alone_for_as_long_as_they_ask() {
        let now = datetime!(1994-11-06 08:49:37 UTC);
        for (status, value, expected) in [
            (429, Some("120"), Some((120, true))),
            (429, Some("soon"), Some((1, true))),
            (429, None, Some((1, true))),
            (429, Some("99999999999999999999"), Some((86_400, true))),
            (503, Some("Sun, 06 Nov 1994 08:51:37 GMT"), Some((120, true))),
            (503, Some("Sunday, 06-Nov-94 08:51:37 GMT"), Some((120, true))),
            (503, Some("Sun Nov  6 08:51:37 1994"), Some((120, true))),
            (503, Some("Sun, 06 Nov 1994 08:00:00 GMT"), Some((1, true))),
            (503, Some("soon"), Some((1, false))),
            (503, None, Some((1, false))),
            (502, None, Some((1, false))),
            (504, None, Some((1, false))),
            (500, None, None),
            (500, Some("7"), Some((7, false))),
            (200, Some("7"), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(value.map(|value| (RETRY_AFTER, value.parse().unwrap())));
            let found = slow_down(StatusCode::from_u16(status).unwrap(), &headers, now);
            let expected = expected.map(|(seconds, is_throttling)| SlowDown {
                pause: Duration::from_secs(seconds),
                is_throttling,
            });
            assert_eq!(found, expected, "{status} {value:?}");
        }
    }

    #[test]
    fn every_value_of_a_repeated_header_is_kept() {
        let mut given = HeaderMap::new();
        for (name, value) in
            [("set-cookie", "a=1"), ("via", "proxy"), ("set-cookie", "b=2"), ("set-cookie", "c=3")]
        {
            given.append(name, value.parse().unwrap());
        }
        assert_eq!(
            headers(&given, &Redaction::default()),
            json!({ "set-cookie": ["a=1", "b=2", "c=3"], "via": "proxy" })
        );
    }

    #[test]
    fn what_is_kept_is_short_valid_text() {
        assert_eq!(text(b"a\0\xff\xc5\xbb", &Redaction::default()), "a\u{fffd}\u{fffd}Ż");
        let long = text("ż".repeat(KEPT_BYTES).as_bytes(), &Redaction::default());
        assert!(long.len() <= KEPT_BYTES && long.ends_with('ż'));
        let secret = Redaction::new(&"https://shop.example/tajny-token".parse().unwrap(), &HeaderMap::new());
        let straddling = format!("{}/tajny-token", "x".repeat(KEPT_BYTES - 8));
        assert_eq!(text(straddling.as_bytes(), &secret), format!("{}…", "x".repeat(KEPT_BYTES - 8)));
        let mut many = HeaderMap::new();
        (0..100).for_each(|number| {
            many.insert(
                reqwest::header::HeaderName::from_bytes(format!("x-{number}").as_bytes()).unwrap(),
                "v".repeat(100).parse().unwrap(),
            );
        });
        assert!(
            serde_json::to_string(&headers(&many, &Redaction::default())).unwrap().len() < 2 * KEPT_BYTES
        );
    }
}
