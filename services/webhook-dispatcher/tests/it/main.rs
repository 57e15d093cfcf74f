//! webhook-dispatcher as a process, with real receivers.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod again;
mod asymmetric;
mod bad_input;
mod certificates;
mod conformance;
mod connections;
mod corrupt_rows;
mod delivery;
mod failpoints;
mod figures;
mod forgotten;
mod hostile;
mod instants;
mod interface;
mod isolation;
mod keys;
mod panics;
mod payload;
mod receiver_urls;
mod restarts;
mod rolling;
mod settings;
mod support;
mod throttling;
mod told;
mod traces;
mod verifiers;
mod wanted;
mod weather;

/// What our documents give to receivers.
#[path = "../../../../docs/guides/verify-webhooks/verify_v1a.rs"]
mod verify_v1a;
