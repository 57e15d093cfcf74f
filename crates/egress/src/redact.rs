//! Removes secrets from foreign texts before they are logged or stored.

/// A word of token characters of at least this length counts as a secret. A UUID has 36.
const SECRET_LENGTH: usize = 40;

/// Replaces words that look like tokens by `‹redacted›`. Allegro's errors repeat whole tokens (`Invalid refresh token:
/// …`).
pub fn redact(text: &str) -> String {
    let is_token_letter =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '/' | '=');
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_token_letter) {
        let (before, from) = rest.split_at(start);
        let end = from.find(|c| !is_token_letter(c)).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        clean.push_str(before);
        let looks_like_jwt = word.starts_with("eyJ") && word.len() > 10;
        clean.push_str(if word.len() >= SECRET_LENGTH || looks_like_jwt { "‹redacted›" } else { word });
        rest = after;
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn tokens_are_redacted_and_words_remain() {
        let token = "eyJhbGciOiJSUzI1NiJ9.eyJ1c2VyX25hbWUiOiIxIn0.c2lnbmF0dXJl";
        assert_eq!(redact(&format!("Invalid refresh token: {token}")), "Invalid refresh token: ‹redacted›");
        assert_eq!(redact(&format!("{{\"a\":\"{token}\"}}")), "{\"a\":\"‹redacted›\"}");
        assert_eq!(redact(&"f".repeat(40)), "‹redacted›");
        let harmless = "Checkout form 83d4eaf0-37b6-11f0-9f40-2d41a5c68ed0 nie znaleziono, żółć.";
        assert_eq!(redact(harmless), harmless);
        assert_eq!(redact(""), "");
    }
}
