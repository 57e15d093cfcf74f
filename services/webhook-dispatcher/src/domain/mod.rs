//! Rules of delivery: what is signed and how, when it is tried again, who wants what.

pub(crate) mod alert;
pub(crate) mod catalogue;
pub(crate) mod decimal;
pub(crate) mod delivery;
pub(crate) mod filter;
pub(crate) mod headers;
pub(crate) mod health;
pub(crate) mod json;
pub(crate) mod pattern;
pub(crate) mod payload;
pub(crate) mod receiver_url;
pub(crate) mod schedule;
pub(crate) mod settings;
pub(crate) mod signature;
pub(crate) mod tls;
