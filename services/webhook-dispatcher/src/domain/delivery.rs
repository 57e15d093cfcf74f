//! States of deliveries and what starts their attempts.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A state a delivery may be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Pending,
    Delivering,
    Success,
    Failed,
    Skipped,
    Cancelled,
}

impl Status {
    pub(crate) const ALL: [Self; 6] =
        [Self::Pending, Self::Delivering, Self::Success, Self::Failed, Self::Skipped, Self::Cancelled];

    /// Parses the stored and public name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// The stored and public name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivering => "delivering",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether no attempt follows unless somebody asks for one.
    pub(crate) const fn is_final(self) -> bool {
        match self {
            Self::Pending | Self::Delivering => false,
            Self::Success | Self::Failed | Self::Skipped | Self::Cancelled => true,
        }
    }
}

/// What started the current run of attempts of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// The event.
    Auto,
    /// A retry of this delivery.
    Manual,
    Replay,
    /// A test of the receiver.
    Test,
}

impl Trigger {
    const ALL: [Self; 4] = [Self::Auto, Self::Manual, Self::Replay, Self::Test];

    /// Parses the stored and public name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|trigger| trigger.as_str() == name)
    }

    /// The stored and public name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Manual => "manual",
            Self::Replay => "replay",
            Self::Test => "test",
        }
    }
}
