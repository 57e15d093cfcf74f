//! Who we say we are. Since June 2026 Allegro wants `Name/version (+address)`, the name of the registered application,
//! and may turn away who says otherwise.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// A `User-Agent` as Allegro wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserAgent(String);

impl fmt::Display for UserAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for UserAgent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rule = || "must be Name/version (+https://address), without a space in the name".to_owned();
        let is_word = |word: &str| {
            let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            (1..=64).contains(&word.len()) && word.bytes().all(is_letter)
        };
        let (product, comment) = text.split_once(' ').ok_or_else(rule)?;
        let (name, version) = product.split_once('/').ok_or_else(rule)?;
        let address = comment.strip_prefix("(+").and_then(|rest| rest.strip_suffix(')')).ok_or_else(rule)?;
        let is_address = address.bytes().all(|byte| byte.is_ascii_graphic())
            && Url::parse(address)
                .is_ok_and(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
        let has_digit = version.bytes().any(|byte| byte.is_ascii_digit());
        if is_word(name) && is_word(version) && has_digit && is_address {
            Ok(Self(text.to_owned()))
        } else {
            Err(rule())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::UserAgent;

    #[test]
    fn a_name_with_its_version_and_an_address_with_its_plus() {
        for good in
            ["Zaplecze/0.1.0 (+https://zaplecze.example/about)", "my-shop/2 (+http://shop.example/?a=1)"]
        {
            assert_eq!(good.parse::<UserAgent>().map(|it| it.to_string()), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "Zaplecze",
            "Zaplecze/0.1.0",
            "Zaplecze/0.1.0 (https://zaplecze.example)",
            "Zaplecze/0.1.0 (+zaplecze.example)",
            "Za plecze/0.1.0 (+https://zaplecze.example)",
            "Zaplecze/v (+https://zaplecze.example)",
            "Zaplecze/0.1.0 (+https://zaplecze.example) x",
            "Zaplecze/0.1.0\r\nX: y (+https://zaplecze.example)",
            "/1 (+https://zaplecze.example)",
        ] {
            assert!(bad.parse::<UserAgent>().is_err(), "{bad:?}");
        }
    }
}
