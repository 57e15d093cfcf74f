//! Where receivers listen.
//!
//! The path and the query of a webhook's URL often hold a token: they are stored sealed and shown to nobody but their
//! owner; scheme, host and port are stored and shown in clear.

use url::Url;

const MAX_BYTES: usize = 2048;
/// In place of path and query.
const HIDDEN: &str = "/…";
/// The same as parsers of URLs write it.
const HIDDEN_PATH: &str = "/%E2%80%A6";

/// Why a text is no receiver's URL: a code, and what to say.
pub(crate) type Mistake = (&'static str, &'static str);

/// A URL as it will be used (WHATWG URL): a host name in ASCII, an address in its usual form, no default port, everything
/// else percent-encoded. Whether it may be called is not decided here.
///
/// # Errors
/// What a parser would drop without a word: white space around it, control characters, a fragment; what is no absolute URL,
/// is longer than 2048 bytes in either form, or is the shortened form of [`shown`].
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

/// What everybody may see of a URL.
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
    fn what_a_parser_would_drop_is_refused() {
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
