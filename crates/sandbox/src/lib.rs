//! A local Allegro for people and tests: device flow, rotating tokens, orders and their event journal.
//!
//! It answers as Allegro's documentation and reports of its users describe, on one origin for both of Allegro's hosts.
//! All state is in memory. Functions that Allegro does not have (create orders, cause faults, read the exact state) are
//! under `/_sandbox`; see docs/guides/use-the-sandbox.md.

mod answer;
mod routes;
mod server;
mod world;

pub use server::{Sandbox, Settings};

/// Every rule with its initial value, by group and name.
pub fn rules() -> serde_json::Value {
    serde_json::json!(world::rules::Rules::default())
}
