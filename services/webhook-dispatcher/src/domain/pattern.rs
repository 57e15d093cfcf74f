//! Which events a subscription wants.

use domain::events::CATALOGUE;

/// True when `pattern` (a type, `<noun>.*` or `*`) covers this event type.
pub(crate) fn covers(pattern: &str, event_type: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some("") => true,
        Some(noun) => noun.ends_with('.') && event_type.starts_with(noun),
        None => pattern == event_type,
    }
}

/// True when some event that is told today is covered: anything else is a typing error.
pub(crate) fn is_known(pattern: &str) -> bool {
    CATALOGUE.iter().any(|event| covers(pattern, event.name))
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
        assert!(is_known("order.ready") && is_known("account.*") && is_known("*"));
        assert!(!is_known("order.shipped") && !is_known("orders.*") && !is_known("*.created"));
    }
}
