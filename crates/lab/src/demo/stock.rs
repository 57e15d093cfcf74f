//! stock-sync as a caller sees it.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use stack::Stack;

use super::client::{answer, text};

/// The default warehouse, as it stands in a path.
const WAREHOUSE: &str = "%D0%98%D1%80%D0%B8%D0%BD%D0%B0";
const TIMEOUT: Duration = Duration::from_mins(2);

/// Asks one process of stock-sync, over connections of its own.
pub(crate) struct Stock {
    agent: ureq::Agent,
    token: String,
    address: String,
}

impl Stock {
    /// A caller of the process of this name.
    pub(crate) fn new(stack: &Stack, process: &str) -> Result<Self> {
        Ok(Self {
            agent: agent(),
            token: stack.token()?,
            address: format!("{}/api/v1", stack.address_of(process)?),
        })
    }

    /// The same process, asked over other connections.
    pub(crate) fn another(&self) -> Self {
        Self { agent: agent(), token: self.token.clone(), address: self.address.clone() }
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let (url, bearer) = (format!("{}{path}", self.address), format!("Bearer {}", self.token));
        let answered = match method {
            "GET" => self.agent.get(&url).header("Authorization", bearer).call(),
            "PUT" => self.agent.put(&url).header("Authorization", bearer).send_json(body),
            _ => self.agent.post(&url).header("Authorization", bearer).send_json(body),
        };
        answer(&format!("{method} {url}"), answered)
    }

    /// Puts so many units of a thing on the shelf.
    pub(crate) fn put(&self, sku: &str, units: i64) -> Result<()> {
        self.send("PUT", &format!("/stock/{sku}/{WAREHOUSE}"), &json!({ "on_hand": units })).map(drop)
    }

    /// Units of a thing on the shelf.
    pub(crate) fn on_hand(&self, sku: &str) -> Result<i64> {
        let shown = self.send("GET", &format!("/stock/{sku}"), &Value::Null)?;
        shown.pointer("/levels/0/on_hand").and_then(Value::as_i64).context("no level")
    }

    /// Hands an order in as Allegro shapes it, and returns what became of it.
    pub(crate) fn process(&self, order: &Value) -> Result<String> {
        text(&self.send("POST", "/orders/process", order)?, "outcome")
    }

    /// Compares an account with allegro-backup, and returns what differs.
    pub(crate) fn reconcile(&self, token_id: &str) -> Result<Value> {
        self.send("POST", "/stock-sync/reconcile", &json!({ "token_id": token_id }))
    }

    /// What it tells of itself.
    pub(crate) fn status(&self) -> Result<Value> {
        self.send("GET", "/stock-sync/status", &Value::Null)
    }
}

/// The server closes what is idle for five seconds: a connection that may be closing is not used.
fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false);
    config.max_idle_age(Duration::from_secs(2)).build().into()
}
