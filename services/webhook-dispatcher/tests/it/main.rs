//! webhook-dispatcher as a process, with real receivers.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod again;
mod bad_input;
mod certificates;
mod conformance;
mod delivery;
mod failpoints;
mod figures;
mod hostile;
mod interface;
mod isolation;
mod keys;
mod settings;
mod support;
mod told;
mod traces;
mod verifiers;
mod wanted;
mod weather;
