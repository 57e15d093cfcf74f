//! A service's name, in its spellings.

use anyhow::{Result, bail};

/// Maximum length. A queue, a role and a Kubernetes label each append something to the name.
const MAX_LENGTH: usize = 40;

/// `price-watch`, `price_watch`, `PriceWatch`, `PRICE_WATCH`.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) kebab: String,
    pub(super) snake: String,
    pub(super) pascal: String,
    pub(super) upper: String,
}

impl Name {
    /// Two or more words of lower-case letters and digits, joined by `-`. A single word could be a keyword of Rust or
    /// of SQL, or the name of a published crate.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let words: Vec<&str> = text.split('-').collect();
        let is_word = |word: &&str| {
            word.starts_with(|first: char| first.is_ascii_lowercase())
                && word.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit())
        };
        if words.len() < 2 || !words.iter().all(is_word) || text.len() > MAX_LENGTH || text == "new-service" {
            bail!(
                "{text:?} is no name for a service: write two or more words in small letters, price-watch for \
                 example, at most {MAX_LENGTH} characters"
            );
        }
        let capital = |word: &str| word.chars().next().map(|first| first.to_ascii_uppercase());
        let pascal =
            words.iter().flat_map(|word| capital(word).into_iter().chain(word.chars().skip(1))).collect();
        let snake = text.replace('-', "_");
        Ok(Self { kebab: text.to_owned(), upper: snake.to_ascii_uppercase(), snake, pascal })
    }

    /// Renders a file of the template for this service.
    pub(super) fn render(&self, template: &str, port: u16) -> String {
        template
            .replace("new-service", &self.kebab)
            .replace("new_service", &self.snake)
            .replace("NewService", &self.pascal)
            .replace("NEW_SERVICE", &self.upper)
            .replace("8999", &port.to_string())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::Name;

    #[test]
    fn a_name_has_four_spellings() {
        let name = Name::parse("price-watch2").unwrap();
        let rendered = name.render("new-service new_service NewService NEW_SERVICE_X 8999", 8010);
        assert_eq!(rendered, "price-watch2 price_watch2 PriceWatch2 PRICE_WATCH2_X 8010");
    }

    #[test]
    fn an_invalid_name_is_rejected() {
        let long = "a-".repeat(20) + "b";
        for text in
            ["", "-", "match", "user", "Price-Watch", "price_watch", "price--watch", "price-", "-price"]
        {
            assert!(Name::parse(text).is_err(), "{text}");
        }
        for text in ["2-prices", "price-wątch", "price watch", "../price-watch", "new-service", long.as_str()]
        {
            assert!(Name::parse(text).is_err(), "{text}");
        }
    }
}
