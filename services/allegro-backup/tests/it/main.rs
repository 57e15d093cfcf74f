//! allegro-backup as a process, against the sandbox and real servers.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod accounts;
mod bad_input;
mod conformance;
mod failpoints;
mod interface;
mod orders;
mod support;
mod tokens;
mod weather;
