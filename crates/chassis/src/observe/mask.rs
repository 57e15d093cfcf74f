//! The last defence against secrets in the log. Secrets are `secrecy` types, which do not print. Texts of libraries may
//! still contain one, e.g. an error with an address and its password.

use std::borrow::Cow;

/// Replacement of a secret.
pub(super) const MASK: &str = "••••";

/// Fields that are secret by their name or its suffix.
const SECRETS: [&str; 9] = [
    "password",
    "secret",
    "authorization",
    "api_key",
    "access_token",
    "refresh_token",
    "device_code",
    "cookie",
    "credential",
];

/// Words that precede a credential in a header.
const SCHEMES: [&str; 2] = ["Bearer ", "Basic "];

/// Whether the field's whole value is masked.
pub(super) fn is_secret(field: &str) -> bool {
    SECRETS.iter().any(|name| {
        field.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with(['_', '.']))
    })
}

/// Masks the passwords of addresses and the credentials of headers.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    let mut masked = Cow::Borrowed(text);
    if text.contains("://") {
        masked = Cow::Owned(passwords(&masked));
    }
    for scheme in SCHEMES {
        if masked.contains(scheme) {
            masked = Cow::Owned(credentials(&masked, scheme));
        }
    }
    masked
}

fn passwords(text: &str) -> String {
    let mut parts = text.split("://");
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        masked.push_str("://");
        let end = part.find(|c: char| c.is_whitespace() || "/?#\"'".contains(c)).unwrap_or(part.len());
        let (authority, rest) = part.split_at(end);
        match authority.rsplit_once('@') {
            Some((user, host)) => {
                let user = user.split_once(':').map_or(user, |(user, _)| user);
                for piece in [user, ":", MASK, "@", host] {
                    masked.push_str(piece);
                }
            }
            None => masked.push_str(authority),
        }
        masked.push_str(rest);
    }
    masked
}

fn credentials(text: &str, scheme: &str) -> String {
    let mut parts = text.split(scheme);
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| c.is_whitespace() || "\"',".contains(c)).unwrap_or(part.len());
        masked.push_str(scheme);
        masked.push_str(MASK);
        masked.push_str(part.get(end..).unwrap_or_default());
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::{is_secret, text};

    #[test]
    fn secrets_are_masked_and_other_text_remains() {
        for (given, shown) in [
            ("amqp://ola:żółć@host:5672/v refused", "amqp://ola:••••@host:5672/v refused"),
            ("a redis://:p@s@h and postgres://u:p@h/d", "a redis://:••••@h and postgres://u:••••@h/d"),
            ("https://host/path?a=b@c", "https://host/path?a=b@c"),
            ("\"Authorization: Bearer abc.def\", next", "\"Authorization: Bearer ••••\", next"),
            ("nothing to hide", "nothing to hide"),
        ] {
            assert_eq!(text(given), shown);
        }
        assert!(
            ["password", "db_password", "http.authorization", "client_secret"].into_iter().all(is_secret)
        );
        assert!(!["token_id", "secretary", "key", "passwords_changed"].into_iter().any(is_secret));
    }
}
