//! Rules of the backup: how an order is read, which content may replace which, and how orders are found and told apart.

pub(crate) mod alert;
pub(crate) mod archive;
pub(crate) mod difference;
pub(crate) mod journal;
pub(crate) mod order;
pub(crate) mod periods;
pub(crate) mod readiness;
pub(crate) mod replace;
pub(crate) mod search;
pub(crate) mod table;
pub(crate) mod version_key;
