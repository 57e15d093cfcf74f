//! What becomes of an order there is too little for.

use std::fmt;

/// The policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// Nothing of it is taken.
    Reject,
    /// All of it is taken: the default warehouse may go below zero.
    AllowNegative,
}

impl Shortage {
    /// Reads a setting.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        match text {
            "reject" => Ok(Self::Reject),
            "allow_negative" => Ok(Self::AllowNegative),
            _ => Err("is either `reject` or `allow_negative`".to_owned()),
        }
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reject => "reject",
            Self::AllowNegative => "allow_negative",
        })
    }
}
