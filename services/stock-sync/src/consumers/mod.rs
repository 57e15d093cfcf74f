//! Facts that are listened to.

mod orders;

pub(crate) use orders::Orders;
