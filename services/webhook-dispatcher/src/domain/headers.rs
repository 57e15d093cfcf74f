//! Headers an owner may have sent along.

use std::collections::BTreeMap;

use reqwest::header::HeaderName;
use secrecy::{ExposeSecret, SecretString};

pub(crate) const MAX_HEADERS: usize = 20;
const MAX_VALUE: usize = 4096;

/// They belong to one connection (RFC 9110 §7.6.1), or every request has them by itself.
const OURS: [&str; 16] = [
    "accept-encoding",
    "connection",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-webhook-signature",
];
const OUR_PREFIXES: [&str; 2] = ["content-", "webhook-"];

/// What is wrong with headers: a name, a code, and what to say.
pub(crate) fn check(headers: &BTreeMap<String, SecretString>) -> Vec<(&str, &'static str, &'static str)> {
    let mut wrong = Vec::new();
    let mut seen = Vec::new();
    for (name, value) in headers {
        let lower = name.to_ascii_lowercase();
        let is_ours =
            OURS.contains(&lower.as_str()) || OUR_PREFIXES.iter().any(|prefix| lower.starts_with(prefix));
        if HeaderName::from_bytes(name.as_bytes()).is_err() {
            wrong.push((name.as_str(), "malformed", "is no header's name"));
        } else if is_ours {
            let message = "is set by the dispatcher or belongs to the connection";
            wrong.push((name.as_str(), "header_refused", message));
        } else if seen.contains(&lower) {
            wrong.push((
                name.as_str(),
                "duplicate",
                "is there already: the case of letters makes no difference",
            ));
        }
        seen.push(lower);
        let value = value.expose_secret();
        // `HeaderValue` also accepts tabs and bytes above ASCII, which receivers read in different ways (RFC 9110 §5.5).
        let is_printable = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if value.len() > MAX_VALUE || !is_printable {
            let message = "has a value of at most 4096 printable ASCII characters";
            wrong.push((name.as_str(), "malformed", message));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::check;

    #[test]
    fn what_the_request_has_by_itself_is_refused() {
        for (name, value, expected) in [
            ("Authorization", "Bearer x", None),
            ("X-Tenant", "zielony", None),
            ("HOST", "x", Some("header_refused")),
            ("Content-Length", "1", Some("header_refused")),
            ("content-anything", "1", Some("header_refused")),
            ("Webhook-Id", "1", Some("header_refused")),
            ("User-Agent", "me", Some("header_refused")),
            ("Transfer-Encoding", "chunked", Some("header_refused")),
            ("X-Webhook-Signature", "me", Some("header_refused")),
            ("X Tenant", "x", Some("malformed")),
            ("X-Tenant", "a\r\nHost: b", Some("malformed")),
            ("X-Tenant", "zielony sklep", None),
            ("X-Tenant", "żółty", Some("malformed")),
            ("X-Tenant", "a\tb", Some("malformed")),
            ("X-Tenant", "a\u{7f}", Some("malformed")),
            ("", "x", Some("malformed")),
        ] {
            let headers = BTreeMap::from([(name.to_owned(), value.into())]);
            assert_eq!(check(&headers).first().map(|it| it.1), expected, "{name}: {value}");
        }
        let twice = ["x-a", "X-A"].map(|name| (name.to_owned(), "1".into()));
        assert_eq!(check(&twice.into()).len(), 1);
    }
}
