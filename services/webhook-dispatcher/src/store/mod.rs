//! The schema `webhook_dispatcher`: the only place with SQL.

pub(crate) mod claims;
pub(crate) mod deliveries;
pub(crate) mod exhausted_deliveries;
pub(crate) mod fan_out;
pub(crate) mod gauges;
pub(crate) mod health;
pub(crate) mod outcomes;
pub(crate) mod raw_json;
pub(crate) mod redelivery;
pub(crate) mod retention;
mod schema;
pub(crate) mod sealed;
pub(crate) mod stats;
pub(crate) mod subscriptions;

#[cfg(test)]
mod rows_read_tests;

/// Everything sealed here: what `rotate-keys` goes through.
pub(crate) const SEALED: [pg::SealedTable; 2] = [sealed::SEALED, web::idempotency::SEALED];
