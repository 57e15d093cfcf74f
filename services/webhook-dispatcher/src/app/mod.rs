//! Use cases of the HTTP interface, and who is told what.

pub(crate) mod deliveries;
pub(crate) mod events;
pub(crate) mod fan_out;
pub(crate) mod gauges;
pub(crate) mod replays;
pub(crate) mod subscriptions;
