//! Client of the sandbox's admin interface: orders, journal and faults.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use stack::Stack;

use super::client::{answer, text};

/// Client of the sandbox's admin interface.
pub(crate) struct Allegro {
    agent: ureq::Agent,
    address: String,
}

/// One event of a seller's journal.
pub(crate) struct SourceEvent {
    pub(crate) id: String,
    /// When it was written and when it was first shown, in microseconds since the epoch.
    pub(crate) written_at: i64,
    pub(crate) served_at: i64,
}

impl Allegro {
    pub(crate) fn new(stack: &Stack) -> Self {
        let limit = Some(Duration::from_mins(5));
        let config = ureq::Agent::config_builder().timeout_global(limit).http_status_as_error(false);
        Self { agent: config.build().into(), address: stack.address("SANDBOX_URL").to_owned() }
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let url = format!("{}/_sandbox{path}", self.address);
        let answered = match method {
            "GET" => self.agent.get(&url).call(),
            "DELETE" => self.agent.delete(&url).call(),
            "PATCH" => self.agent.patch(&url).send_json(body),
            _ => self.agent.post(&url).send_json(body),
        };
        answer(&format!("{method} {url}"), answered)
    }

    /// Changes rules.
    pub(crate) fn rule(&self, change: &Value) -> Result<()> {
        self.send("PATCH", "/rules", change).map(drop)
    }

    /// Restores the initial rules.
    pub(crate) fn forget_rules(&self) -> Result<()> {
        self.send("DELETE", "/rules", &Value::Null).map(drop)
    }

    /// Adds a fault.
    pub(crate) fn fail(&self, fault: &Value) -> Result<()> {
        self.send("POST", "/faults", fault).map(drop)
    }

    /// Removes all faults.
    pub(crate) fn heal(&self) -> Result<()> {
        self.send("DELETE", "/faults", &Value::Null).map(drop)
    }

    /// Begins to generate orders.
    pub(crate) fn go_live(&self, wish: &Value) -> Result<()> {
        self.send("POST", "/live", wish).map(drop)
    }

    /// Stops generating orders and returns the number of generated ones.
    pub(crate) fn stop_live(&self) -> Result<u64> {
        let stopped = self.send("DELETE", "/live", &Value::Null)?;
        stopped.get("emitted").and_then(Value::as_u64).context("no count of orders")
    }

    /// Publishes every delayed event.
    pub(crate) fn flush(&self) -> Result<()> {
        self.send("POST", "/journal/flush", &json!({})).map(drop)
    }

    /// Revokes all of a seller's tokens.
    pub(crate) fn kill_tokens(&self, seller: &str) -> Result<()> {
        self.send("POST", &format!("/sellers/{seller}/change-password"), &json!({})).map(drop)
    }

    /// An access token of a seller, to call the API as an application does.
    pub(crate) fn access_token(&self, seller: &str) -> Result<String> {
        text(&self.send("POST", &format!("/sellers/{seller}/tokens"), &json!({}))?, "access_token")
    }

    /// Every order of a seller, line by line, with its whole content.
    pub(crate) fn each_order(&self, seller: &str, act: impl FnMut(Value) -> Result<()>) -> Result<()> {
        self.each_line(&format!("/journal?documents=true&seller_id={seller}"), act)
    }

    /// The ids of a seller's orders that were merged into others.
    pub(crate) fn merged_away(&self, seller: &str) -> Result<Vec<String>> {
        let mut ids = Vec::new();
        self.each_line(&format!("/journal?gone=true&seller_id={seller}"), |line| {
            if line.get("merged_into").is_some_and(Value::is_string) {
                ids.push(text(&line, "order_id")?);
            }
            Ok(())
        })?;
        Ok(ids)
    }

    /// A seller's events that were shown to a reader.
    pub(crate) fn events(&self, seller: &str) -> Result<Vec<SourceEvent>> {
        let mut events = Vec::new();
        self.each_line(&format!("/journal/events?seller_id={seller}"), |line| {
            let moment = |field: &str| line.get(field).and_then(Value::as_i64);
            if let Some((written_at, served_at)) = moment("written_at_micros").zip(moment("served_at_micros"))
            {
                events.push(SourceEvent { id: text(&line, "event_id")?, written_at, served_at });
            }
            Ok(())
        })?;
        Ok(events)
    }

    fn each_line(&self, path: &str, mut act: impl FnMut(Value) -> Result<()>) -> Result<()> {
        let mut answer = self.agent.get(format!("{}/_sandbox{path}", self.address)).call()?;
        let body = answer.body_mut().with_config().limit(u64::MAX).reader();
        for line in BufReader::new(body).lines() {
            act(serde_json::from_str(&line?)?)?;
        }
        Ok(())
    }
}
