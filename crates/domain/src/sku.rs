//! Stock keeping units.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Maximum length of an SKU in characters, which is Allegro's limit of `offer.external.id`.
const MAX_CHARS: usize = 100;

/// The seller's identifier of an article, set in Allegro's `offer.external.id`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, min_length = 1, max_length = 100)]
pub struct Sku(String);

/// The reason why a text is not an SKU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SkuError {
    /// Only white space.
    #[error("a SKU must not be blank")]
    Blank,
    /// Longer than Allegro allows.
    #[error("a SKU has at most {MAX_CHARS} characters")]
    TooLong,
    /// Contains U+0000, which Postgres cannot store.
    #[error("a SKU must not contain the character U+0000")]
    NulCharacter,
}

impl Sku {
    /// Parses an SKU. White space around it is removed.
    ///
    /// # Errors
    /// The text is blank, longer than 100 characters, or contains U+0000.
    pub fn parse(text: &str) -> Result<Self, SkuError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(SkuError::Blank);
        }
        if text.chars().count() > MAX_CHARS {
            return Err(SkuError::TooLong);
        }
        if text.contains('\0') {
            return Err(SkuError::NulCharacter);
        }
        Ok(Self(text.to_owned()))
    }

    /// The SKU as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Sku {
    type Error = SkuError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Sku> for String {
    fn from(sku: Sku) -> Self {
        sku.0
    }
}

impl fmt::Display for Sku {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Sku, SkuError};

    #[test]
    fn a_sku_is_trimmed_and_bounded_in_characters_not_bytes() {
        assert_eq!(Sku::parse("  AH-129834 ").map(String::from), Ok("AH-129834".to_owned()));
        assert_eq!(Sku::parse(" \t"), Err(SkuError::Blank));
        assert!(Sku::parse(&"ż".repeat(100)).is_ok());
        assert_eq!(Sku::parse(&"ż".repeat(101)), Err(SkuError::TooLong));
        assert_eq!(Sku::parse("AH\u{0}1"), Err(SkuError::NulCharacter));
    }
}
