//! What we ask Allegro, as limits and metrics tell it apart.

/// A route of Allegro's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Device,
    DeviceToken,
    Refresh,
    Me,
    EventStats,
    Events,
    Orders,
    Order,
    /// Only whether it answers.
    Probe,
}

/// Routes that may have a limit of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    General,
    Orders,
    Events,
    Device,
}

impl Route {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::DeviceToken => "device_token",
            Self::Refresh => "refresh",
            Self::Me => "me",
            Self::EventStats => "event_stats",
            Self::Events => "events",
            Self::Orders => "orders",
            Self::Order => "order",
            Self::Probe => "probe",
        }
    }

    pub(super) const fn group(self) -> Option<Group> {
        match self {
            Self::Device | Self::DeviceToken => Some(Group::Device),
            Self::Me | Self::EventStats | Self::Order => Some(Group::General),
            Self::Events => Some(Group::Events),
            Self::Orders => Some(Group::Orders),
            // A refresh must not wait: a pair may depend on it.
            Self::Refresh | Self::Probe => None,
        }
    }
}
