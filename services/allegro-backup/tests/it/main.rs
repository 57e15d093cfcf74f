//! allegro-backup as a process, against the sandbox and real servers.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod accounts;
mod archive;
mod bad_input;
mod clock;
mod commands;
mod conformance;
mod corrupt_rows;
mod device;
mod edges;
mod export_breaks;
mod failpoints;
mod instants;
mod interface;
mod lenient;
mod limits;
mod memory;
mod metrics;
mod orders;
mod quarantine;
mod reading;
mod readings;
mod refreshes;
mod rereads;
mod revoked;
mod steps;
mod support;
mod throttled;
mod tokens;
mod troubles;
mod unheard;
mod weather;
