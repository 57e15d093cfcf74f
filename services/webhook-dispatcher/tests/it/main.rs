//! webhook-dispatcher as a process, with real receivers.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod bad_input;
mod delivery;
mod interface;
mod keys;
mod support;
mod traces;
