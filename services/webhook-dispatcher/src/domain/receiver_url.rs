//! The URLs of receivers.
//!
//! The path and the query of a webhook's URL often hold a token. They are stored sealed, and shown only to credentials that
//! may write. Scheme, host and port are stored and shown in clear.

use url::Url;

const MAX_BYTES: usize = 2048;
/// Replaces path and query.
const HIDDEN: &str = "/…";
/// [`HIDDEN`] as URL parsers write it.
const HIDDEN_PATH: &str = "/%E2%80%A6";

/// The reason for which a text is not a receiver's URL: an error code and a message.
pub(crate) type Mistake = (&'static str, &'static str);

/// Normalises a URL (WHATWG URL): a host name in ASCII, an address in its usual form, no default port, everything
/// else percent-encoded. The guard checks the address later.
///
/// # Errors
/// The text has parts that a parser would silently drop (white space around it, control characters, a fragment), is not an
/// absolute URL, is longer than 2048 bytes in either form, or is the shortened form of [`shown`].
pub(crate) fn normalise(text: &str) -> Result<Url, Mistake> {
    if text.trim() != text || text.contains(char::is_control) {
        return Err(("malformed", "must not hold control characters, or begin or end with white space"));
    }
    let url: Url = text.parse().map_err(|_malformed| ("malformed", "is not an absolute URL"))?;
    if text.len() > MAX_BYTES || url.as_str().len() > MAX_BYTES {
        return Err(("too_long", "is at most 2048 bytes long"));
    }
    if url.fragment().is_some() {
        return Err(("malformed", "must not have a fragment (#…): it is never sent"));
    }
    if url.path() == HIDDEN_PATH {
        return Err(("malformed", "is the shortened form; give the whole URL"));
    }
    Ok(url)
}

/// Splits a normalised URL into scheme, host and port, and path with query.
pub(crate) fn split(url: &str) -> (&str, &str) {
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    let path = url.get(after_scheme..).and_then(|rest| rest.find('/'));
    url.split_at(path.map_or(url.len(), |at| after_scheme + at))
}

/// The shortened form of a URL, which every reader may see.
pub(crate) fn shown(origin: &str) -> String {
    format!("{origin}{HIDDEN}")
}

#[cfg(test)]
mod tests {
    use super::{normalise, shown, split};

    #[test]
    fn urls_are_normalised_as_they_are_used() {
        for (text, origin, path) in [
            ("https://Shop.Example", "https://shop.example", "/"),
            ("HTTPS://shop.example:443/a b?t=ż", "https://shop.example", "/a%20b?t=%C5%BC"),
            ("https://żółw.example:8443/x", "https://xn--w-uga1v8h.example:8443", "/x"),
            ("https://xn--w-uga1v8h.example:8443/x", "https://xn--w-uga1v8h.example:8443", "/x"),
            ("https://0x7f.1/../a//b?", "https://127.0.0.1", "/a//b?"),
            ("https:\\\\shop.example\\a", "https://shop.example", "/a"),
            ("http://[::FFFF:1]:80/?q=http://x/", "http://[::ffff:1]", "/?q=http://x/"),
            ("https://shop.example?q=a/b", "https://shop.example", "/?q=a/b"),
        ] {
            let url = normalise(text).map(String::from);
            assert_eq!(url.as_deref().map(split), Ok((origin, path)), "{text}");
        }
        assert_eq!(shown("https://shop.example:8443"), "https://shop.example:8443/…");
    }

    #[test]
    fn parts_that_a_parser_drops_are_refused() {
        let long = format!("https://shop.example/{}", "ż".repeat(400));
        for text in [
            " https://shop.example/",
            "https://shop.example/ ",
            "https://shop.example/\u{a0}",
            "https://shop.exam\tple/",
            "https://shop.example/a\r\nb",
            "https://shop.example/\u{7f}",
            "https://shop.example/\u{85}x",
            "\u{1}https://shop.example/",
            "https://shop.example/#part",
            "https://shop.example/#",
            "https://shop.example/…",
            "https://shop.example/…?q",
            "shop.example/hooks",
            "/hooks",
            "https://",
            "",
            &long,
        ] {
            assert!(normalise(text).is_err(), "{text:?}");
        }
    }
}
