//! Client of stock-sync.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use stack::Stack;

use super::client::{answer, text};

/// Path of the default warehouse.
const WAREHOUSE: &str = "%D0%98%D1%80%D0%B8%D0%BD%D0%B0";
const TIMEOUT: Duration = Duration::from_mins(2);

/// Client of one process of stock-sync, with its own connections.
pub(crate) struct Stock {
    agent: ureq::Agent,
    token: String,
    address: String,
}

impl Stock {
    /// A client of the process of this name.
    pub(crate) fn new(stack: &Stack, process: &str) -> Result<Self> {
        Ok(Self {
            agent: agent(),
            token: stack.token()?,
            address: format!("{}/api/v1", stack.address_of(process)?),
        })
    }

    /// A client of the same process with other connections.
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

    /// Sets the units of a SKU.
    pub(crate) fn put(&self, sku: &str, units: i64) -> Result<()> {
        self.send("PUT", &format!("/stock/{sku}/{WAREHOUSE}"), &json!({ "on_hand": units })).map(drop)
    }

    /// Units of a SKU.
    pub(crate) fn on_hand(&self, sku: &str) -> Result<i64> {
        let shown = self.send("GET", &format!("/stock/{sku}"), &Value::Null)?;
        shown.pointer("/levels/0/on_hand").and_then(Value::as_i64).context("no level")
    }

    /// Submits an order in Allegro's form, and returns its outcome.
    pub(crate) fn process(&self, order: &Value) -> Result<String> {
        text(&self.send("POST", "/orders/process", order)?, "outcome")
    }

    /// Reconciles an account with allegro-backup, and returns the differences.
    pub(crate) fn reconcile(&self, token_id: &str) -> Result<Value> {
        self.send("POST", "/stock-sync/reconcile", &json!({ "token_id": token_id }))
    }

    /// The service's status.
    pub(crate) fn status(&self) -> Result<Value> {
        self.send("GET", "/stock-sync/status", &Value::Null)
    }
}

/// The server closes connections after five idle seconds. Older idle connections are not reused.
fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false);
    config.max_idle_age(Duration::from_secs(2)).build().into()
}
