//! A local Allegro for people and tests: device flow, rotating tokens, orders and their event journal.
//!
//! It answers as Allegro's documentation and its users' reports say Allegro answers, on one origin for both of
//! Allegro's hosts. Everything lives in memory. What Allegro lets nobody do (make orders, break things, read the
//! truth) is under `/_sandbox`; see docs/guides/use-the-sandbox.md.

mod answer;
mod routes;
mod server;
mod world;

pub use server::{Sandbox, Settings};

/// Every rule with its value at the start, by group and name.
pub fn rules() -> serde_json::Value {
    serde_json::json!(world::rules::Rules::default())
}
