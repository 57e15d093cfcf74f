//! Policies of what moves: for an order there is too little for, and for one that is cancelled after its shipment.

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

/// What becomes of the units of an order that is cancelled after its shipment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterShipment {
    /// A person confirms their return.
    Ask,
    /// They return at once.
    Return,
}

impl AfterShipment {
    /// Reads a setting.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        match text {
            "ask" => Ok(Self::Ask),
            "return" => Ok(Self::Return),
            _ => Err("is either `ask` or `return`".to_owned()),
        }
    }
}

impl fmt::Display for AfterShipment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ask => "ask",
            Self::Return => "return",
        })
    }
}
