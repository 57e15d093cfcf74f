//! The languages of texts for people.

use std::fmt;
use std::str::FromStr;

/// A language of texts for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    /// Russian.
    Ru,
    /// Polish.
    Pl,
    /// English.
    En,
}

/// The text is not the code of a supported language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be ru, pl or en")]
pub struct NoLanguage;

impl Language {
    /// All languages.
    pub const ALL: [Self; 3] = [Self::Ru, Self::Pl, Self::En];

    /// The ISO 639-1 code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ru => "ru",
            Self::Pl => "pl",
            Self::En => "en",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Language {
    type Err = NoLanguage;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|language| language.as_str() == text).ok_or(NoLanguage)
    }
}
