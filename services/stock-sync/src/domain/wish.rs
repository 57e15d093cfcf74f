//! What is wanted of a value that may be absent.

use serde::{Deserialize, Deserializer};

/// As it was, or another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Wish<T> {
    /// Not spoken of.
    #[default]
    AsItWas,
    /// This, or nothing.
    Be(Option<T>),
}

impl<T> Wish<T> {
    /// The value from now on.
    pub(crate) fn or(self, was: Option<T>) -> Option<T> {
        match self {
            Self::AsItWas => was,
            Self::Be(value) => value,
        }
    }

    /// Changes the value's type.
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Wish<U> {
        match self {
            Self::AsItWas => Wish::AsItWas,
            Self::Be(value) => Wish::Be(value.map(change)),
        }
    }

    /// The value that is wanted, if one is.
    pub(crate) const fn wanted(&self) -> Option<&T> {
        match self {
            Self::AsItWas => None,
            Self::Be(value) => value.as_ref(),
        }
    }
}

/// A field that is not there is `#[serde(default)]`; null is nothing.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Wish<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(Self::Be)
    }
}
