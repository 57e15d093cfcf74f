//! stock-sync as a process, on real servers.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod actions;
mod alerts;
mod backup;
mod bundles;
mod conformance;
mod corrupt_rows;
mod failpoints;
mod goods;
mod instants;
mod interface;
mod inventory;
mod order_states;
mod orders;
mod panics;
mod payloads;
mod races;
mod reconcile;
mod retention;
mod support;
mod what_counts;
