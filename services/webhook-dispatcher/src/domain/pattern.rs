//! Which events a subscription wants.

use domain::events::CATALOGUE;

const MAX_TYPE: usize = 100;

/// True when `pattern` (a type, `<noun>.*` or `*`) covers this event type.
pub(crate) fn covers(pattern: &str, event_type: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some("") => true,
        Some(noun) => noun.ends_with('.') && event_type.starts_with(noun),
        None => pattern == event_type,
    }
}

/// True when some event may be told that is covered: one of ours, or one that may come from `outside`. Anything else is
/// a typing error.
pub(crate) fn is_known(pattern: &str, outside: &[String]) -> bool {
    let is_ours = CATALOGUE.iter().any(|event| covers(pattern, event.name));
    let is_outside = |allowed: &String| covers(allowed, pattern) && (is_type(pattern) || pattern == allowed);
    is_ours || outside.iter().any(is_outside)
}

/// True for the name of an event type: words of small letters, digits and underscores, joined by full stops.
pub(crate) fn is_type(name: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    name.len() <= MAX_TYPE && name.contains('.') && name.split('.').all(is_word)
}

#[cfg(test)]
mod tests {
    use super::{covers, is_known};

    #[test]
    fn patterns_cover_types_nouns_or_everything() {
        for (pattern, event_type, expected) in [
            ("order.created", "order.created", true),
            ("order.created", "order.created.v2", false),
            ("order.*", "order.cancelled", true),
            ("order.*", "order_sync.completed", false),
            ("order*", "order.created", false),
            ("*", "account.connected", true),
            ("", "order.created", false),
        ] {
            assert_eq!(covers(pattern, event_type), expected, "{pattern} {event_type}");
        }
    }

    #[test]
    fn what_covers_nothing_is_unknown() {
        let outside = ["custom.*".to_owned(), "erp.stock_counted".to_owned()];
        let known =
            ["order.ready", "account.*", "*", "custom.parcel_weighed", "custom.*", "erp.stock_counted"];
        let unknown =
            ["order.shipped", "orders.*", "*.created", "custom.Wrong", "erp.*", "erp.other", "custom*"];
        for (patterns, expected) in [(known.as_slice(), true), (&unknown, false)] {
            for pattern in patterns {
                assert_eq!(is_known(pattern, &outside), expected, "{pattern}");
            }
        }
        assert!(is_known("order.*", &[]) && !is_known("custom.x", &[]));
    }
}
