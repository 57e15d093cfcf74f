//! Rules of the backup: how an order is read, and which content may replace which.

pub(crate) mod alert;
pub(crate) mod journal;
pub(crate) mod order;
pub(crate) mod replace;
