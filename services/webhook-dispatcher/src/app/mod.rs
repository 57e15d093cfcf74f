//! Use cases of the HTTP interface.

pub(crate) mod deliveries;
pub(crate) mod subscriptions;
