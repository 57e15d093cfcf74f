//! Removes from recorded answers what is stored sealed: receivers repeat the URL and the headers of a request.

use percent_encoding::percent_decode_str;
use reqwest::header::{HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::domain::receiver_url;

/// In place of what is removed.
const MARK: &str = "…";
/// Characters of a path segment, a query value or a header value from which on it is removed wherever it stands. A shorter
/// one is removed only as part of a whole path, query or header value.
const SHORTEST_PART: usize = 8;

/// The secret texts of one endpoint, the longest first.
#[derive(Debug, Default)]
pub(super) struct Redaction(Vec<SecretString>);

impl Redaction {
    /// The path, the query and the header values of an endpoint, whole and in parts, as they are sent and percent-decoded.
    pub(super) fn new(url: &Url, headers: &HeaderMap) -> Self {
        let (path, query) = (url.path(), url.query().unwrap_or_default());
        let values = || headers.values().map(HeaderValue::as_bytes).map(String::from_utf8_lossy);
        let mut texts: Vec<String> = [receiver_url::split(url.as_str()).1, path, query]
            .into_iter()
            .filter(|whole| whole.len() > 1)
            .map(str::to_owned)
            .chain(values().filter(|whole| whole.len() >= SHORTEST_PART).map(String::from))
            .collect();
        let pairs = || query.split('&').flat_map(|pair| [pair, pair.split_once('=').map_or(pair, |it| it.1)]);
        let parts = path.split('/').chain([path.trim_matches('/')]).chain(pairs()).map(str::to_owned);
        let words = values().flat_map(|value| value.split(' ').map(str::to_owned).collect::<Vec<_>>());
        texts.extend(parts.chain(words).filter(|part| part.chars().count() >= SHORTEST_PART));
        let decoded = |text: &String| readable(&percent_decode_str(text).collect::<Vec<u8>>());
        texts.extend(texts.iter().map(|text| text.replace('+', " ")).collect::<Vec<_>>());
        texts.extend(texts.iter().map(decoded).filter(|text| text.len() > 1).collect::<Vec<_>>());
        texts.sort_unstable_by(|left, right| right.len().cmp(&left.len()).then_with(|| left.cmp(right)));
        texts.dedup();
        Self(texts.into_iter().map(SecretString::from).collect())
    }

    /// Bytes as valid text without U+0000 (for Postgres) and without what is secret, nor the beginning of it at the end:
    /// an answer may have been cut off there.
    pub(super) fn apply(&self, bytes: &[u8]) -> String {
        let mut text = readable(bytes);
        for secret in self.texts() {
            if text.contains(secret) {
                text = text.replace(secret, MARK);
            }
        }
        let end = text.trim_end_matches('\u{fffd}');
        if let Some(length) = self.texts().filter_map(|secret| begun(end, secret)).max() {
            text.truncate(end.len() - length);
            text.push_str(MARK);
        }
        text
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(ExposeSecret::expose_secret)
    }
}

/// Postgres's text holds valid UTF-8 without U+0000.
fn readable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}")
}

/// Bytes of the longest beginning of a secret that the text ends with, if it has [`SHORTEST_PART`] characters.
fn begun(text: &str, secret: &str) -> Option<usize> {
    let beginnings = secret.char_indices().skip(SHORTEST_PART).map(|(at, _)| secret.split_at(at).0);
    beginnings.filter(|beginning| text.ends_with(beginning)).map(str::len).max()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use reqwest::header::{HeaderMap, HeaderValue};

    use super::Redaction;

    fn redaction(url: &str) -> Redaction {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static("Bearer tajne-slowo"));
        headers.insert("x-tenant", HeaderValue::from_static("1"));
        Redaction::new(&url.parse().unwrap(), &headers)
    }

    #[test]
    fn secrets_of_the_url_are_removed_in_every_form() {
        let redaction = redaction("https://shop.example/in/tajny-token/x/?key=taj%2Bne+has%C5%82o&v=1");
        for (text, expected) in [
            ("Cannot POST /in/tajny-token/x/?key=taj%2Bne+has%C5%82o&v=1", "Cannot POST …"),
            ("/in/tajny-token/x/", "…"),
            ("at in/tajny-token/x!", "at …!"),
            (r"\/in\/tajny-token\/x", r"\/in\/…\/x"),
            ("token tajny-token", "token …"),
            ("key=taj%2Bne+has%C5%82o", "…"),
            ("taj+ne hasło", "…"),
            ("taj+ne+hasło", "…"),
            ("authorization: Bearer tajne-slowo", "authorization: …"),
            ("basic tajne-slowo", "basic …"),
            ("x-tenant: 1, in x", "x-tenant: 1, in x"),
            ("cut off: tajny-tok", "cut off: …"),
            ("cut off: tajny", "cut off: tajny"),
        ] {
            assert_eq!(redaction.apply(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn url_without_a_path_removes_nothing() {
        for url in ["https://shop.example/", "https://shop.example/?"] {
            assert_eq!(redaction(url).apply(b"a / b ? c\0\xff"), "a / b ? c\u{fffd}\u{fffd}", "{url}");
        }
    }
}
