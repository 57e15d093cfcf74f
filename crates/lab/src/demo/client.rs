//! Client of the services.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use stack::Stack;
use ureq::Body;
use ureq::http::Response;

const TIMEOUT: Duration = Duration::from_secs(20);

/// Client of the services and the sandbox over HTTP, with a token.
pub(crate) struct Client {
    agent: ureq::Agent,
    token: String,
    backup: String,
    webhooks: String,
    sandbox: String,
}

/// An order of the sandbox.
pub(crate) struct SourceOrder {
    pub(crate) id: String,
    pub(crate) is_cancelled: bool,
}

/// Progress of reading the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) read: u64,
    pub(crate) total: u64,
    pub(crate) is_under_way: bool,
    /// Attempt of the task: the attempt of a dead worker counts as running until the task is taken over.
    pub(crate) attempt: u64,
    pub(crate) is_complete: bool,
}

impl Client {
    pub(crate) fn new(stack: &Stack) -> Result<Self> {
        let agent =
            ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false).build();
        Ok(Self {
            agent: agent.into(),
            token: stack.token()?,
            backup: format!("{}/api/v1", stack.address("ALLEGRO_BACKUP_URL")),
            webhooks: format!("{}/api/v1", stack.address("WEBHOOK_DISPATCHER_URL")),
            sandbox: format!("{}/_sandbox", stack.address("SANDBOX_URL")),
        })
    }

    fn get(&self, url: &str) -> Result<Value> {
        let request = self.agent.get(url).header("Authorization", format!("Bearer {}", self.token));
        answer(&format!("GET {url}"), request.call())
    }

    fn post(&self, url: &str, body: &Value) -> Result<Value> {
        let request = self.agent.post(url).header("Authorization", format!("Bearer {}", self.token));
        answer(&format!("POST {url}"), request.send_json(body))
    }

    /// The number of webhooks that a kill of the webhook-dispatcher at this address may repeat: the sum of its current
    /// windows.
    pub(crate) fn window(&self, address: &str) -> Result<usize> {
        let url = format!("{address}/metrics");
        let text = self.agent.get(&url).call()?.body_mut().read_to_string()?;
        let value = text.lines().find_map(|line| line.strip_prefix("webhook_window_deliveries "));
        Ok(value.map_or(Ok(0), str::parse)?)
    }

    /// Creates a subscription and returns its secret.
    pub(crate) fn subscribe(&self, url: &str) -> Result<String> {
        let wish = json!({ "url": url, "events": ["*"], "description": "an outside subscriber" });
        text(&self.post(&format!("{}/webhooks", self.webhooks), &wish)?, "secret")
    }

    /// Creates past orders of a shop: the seller's, or the first one.
    pub(crate) fn make_orders(&self, seller: Option<&str>, count: u32) -> Result<()> {
        // The first shop's orders are the same each time.
        let seed = seller.is_none().then_some(2026);
        let wish = json!({ "count": count, "seed": seed, "seller_id": seller });
        self.post(&format!("{}/orders", self.sandbox), &wish)?;
        Ok(())
    }

    /// Creates another shop at Allegro and returns its seller's id.
    pub(crate) fn add_seller(&self, login: &str) -> Result<String> {
        text(&self.post(&format!("{}/sellers", self.sandbox), &json!({ "login": login }))?, "id")
    }

    /// Sets the latency of Allegro's answers, as over a real network.
    pub(crate) fn slow_down(&self, delay: Duration) -> Result<()> {
        let url = format!("{}/faults", self.sandbox);
        let answer = self.agent.put(&url).send_json(json!({ "delay_ms": delay.as_millis() }))?;
        if !answer.status().is_success() {
            bail!("PUT {url} answered {}", answer.status());
        }
        Ok(())
    }

    /// Begins to generate new orders of a shop: the seller's, or the first one.
    pub(crate) fn go_live(
        &self,
        seller: Option<&str>,
        count: u32,
        rate: u32,
        cancel_percent: u32,
    ) -> Result<()> {
        let wish = json!({
            "count": count, "rate_per_second": rate, "cancel_percent": cancel_percent, "seller_id": seller,
        });
        self.post(&format!("{}/live", self.sandbox), &wish)?;
        Ok(())
    }

    /// Number of new orders so far.
    pub(crate) fn arrived(&self) -> Result<u64> {
        number(&self.get(&format!("{}/live", self.sandbox))?, "emitted")
    }

    /// Cancels an order as a buyer.
    pub(crate) fn cancel(&self, order_id: &str) -> Result<()> {
        self.post(&format!("{}/orders/{order_id}/buyer-cancel", self.sandbox), &json!({}))?;
        Ok(())
    }

    /// Connects the account of a shop, the seller's or the first one: begins a device flow, approves it at the sandbox,
    /// and waits until the account is connected.
    pub(crate) fn connect(&self, user: &str, seller: Option<&str>) -> Result<()> {
        let id = self.authorize(user, seller)?;
        self.wait_for_connection(&id)
    }

    /// Begins a device flow and approves it at the sandbox, without waiting for the account. Returns the
    /// authorization's id.
    pub(crate) fn authorize(&self, user: &str, seller: Option<&str>) -> Result<String> {
        let wish = json!({ "user_id": user, "account_name": "Sklep Zażółcony" });
        let begun = self.post(&format!("{}/tokens/auth/initialize", self.backup), &wish)?;
        let (code, id) = (text(&begun, "user_code")?, text(&begun, "authorization_id")?);
        self.post(
            &format!("{}/authorizations/{code}/approve", self.sandbox),
            &json!({ "seller_id": seller }),
        )?;
        Ok(id)
    }

    /// Waits until an authorization has created an account.
    pub(crate) fn wait_for_connection(&self, id: &str) -> Result<()> {
        let url = format!("{}/tokens/auth/status/{id}", self.backup);
        super::wait_until("the account is connected", Duration::from_mins(1), || {
            let status = text(&self.get(&url)?, "status")?;
            if !["pending", "completed"].contains(&status.as_str()) {
                bail!("connecting ended as {status}");
            }
            Ok(status == "completed")
        })
    }

    /// Number of running tasks.
    pub(crate) fn running_tasks(&self) -> Result<usize> {
        let page = self.get(&format!("{}/sync/tasks?status=PROGRESS&limit=200", self.backup))?;
        Ok(page.get("items").and_then(Value::as_array).map_or(0, Vec::len))
    }

    /// Number of schedules.
    pub(crate) fn schedules(&self) -> Result<usize> {
        let page = self.get(&format!("{}/sync/schedules?limit=200", self.backup))?;
        Ok(page.get("items").and_then(Value::as_array).map_or(0, Vec::len))
    }

    /// The accounts of a user in the service's answer: token id and state.
    pub(crate) fn accounts(&self, user: &str) -> Result<Vec<(String, String)>> {
        let status = self.get(&format!("{}/sync/status/{user}", self.backup))?;
        let accounts = status.get("accounts").and_then(Value::as_array).into_iter().flatten();
        accounts.map(|account| Ok((text(account, "token_id")?, text(account, "state")?))).collect()
    }

    /// The completeness report of an account. `None` if there is no such report.
    pub(crate) fn gaps(&self, token_id: &str) -> Result<Option<Value>> {
        let url = format!("{}/sync/gaps/{token_id}", self.backup);
        let request = self.agent.get(&url).header("Authorization", format!("Bearer {}", self.token));
        let mut answer = request.call().with_context(|| format!("GET {url}"))?;
        match answer.status().as_u16() {
            404 => Ok(None),
            200 => Ok(Some(serde_json::from_str(&answer.body_mut().read_to_string()?)?)),
            other => bail!("GET {url} answered {other}"),
        }
    }

    /// Starts a full sync of a user's account.
    pub(crate) fn read_list_again(&self, user: &str) -> Result<()> {
        self.post(&format!("{}/sync/manual/{user}", self.backup), &json!({}))?;
        Ok(())
    }

    /// Progress of reading the list.
    pub(crate) fn reading(&self, user: &str) -> Result<Reading> {
        let status = self.get(&format!("{}/sync/status/{user}", self.backup))?;
        let account = status.pointer("/accounts/0").context("no account yet")?;
        let task_status = account.pointer("/task/status").and_then(Value::as_str).unwrap_or_default();
        Ok(Reading {
            read: number(account, "orders_read")?,
            total: number(account, "orders_total")?,
            is_under_way: task_status == "PROGRESS",
            attempt: account.pointer("/task/attempt").and_then(Value::as_u64).unwrap_or_default(),
            is_complete: account.get("last_complete_list_sync").is_some_and(Value::is_string),
        })
    }

    /// Every order of every shop at Allegro.
    pub(crate) fn source_orders(&self) -> Result<Vec<SourceOrder>> {
        let listed = self.get(&format!("{}/sellers", self.sandbox))?;
        let mut orders = Vec::new();
        for seller in listed.get("sellers").and_then(Value::as_array).into_iter().flatten() {
            orders.extend(self.source_orders_of(&text(seller, "id")?)?);
        }
        Ok(orders)
    }

    fn source_orders_of(&self, seller: &str) -> Result<Vec<SourceOrder>> {
        let mut answer = self.agent.get(format!("{}/journal?seller_id={seller}", self.sandbox)).call()?;
        let journal = answer.body_mut().with_config().limit(u64::MAX).read_to_string()?;
        journal
            .lines()
            .map(|line| {
                let order: Value = serde_json::from_str(line)?;
                let is_cancelled = ["status", "fulfillment_status"]
                    .iter()
                    .any(|field| order.get(field).and_then(Value::as_str) == Some("CANCELLED"));
                Ok(SourceOrder { id: text(&order, "order_id")?, is_cancelled })
            })
            .collect()
    }

    /// Every stored order, with its status.
    pub(crate) fn stored_orders(&self, user: &str) -> Result<BTreeMap<String, String>> {
        let mut stored = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let mut cursor = None::<String>;
        loop {
            let mut url = format!("{}/orders/{user}?limit=200", self.backup);
            if let Some(cursor) = &cursor {
                url = format!("{url}&cursor={cursor}");
            }
            let page = self.get(&url)?;
            for order in page.get("items").and_then(Value::as_array).into_iter().flatten() {
                let id = text(order, "allegro_order_id")?;
                if !seen.insert(id.clone()) {
                    bail!("the list names order {id} twice");
                }
                stored.insert(id, text(order, "status")?);
            }
            cursor = page.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
            if cursor.is_none() {
                return Ok(stored);
            }
        }
    }
}

/// The JSON of a successful answer.
pub(super) fn answer(asked: &str, answered: Result<Response<Body>, ureq::Error>) -> Result<Value> {
    let mut answered = answered.with_context(|| asked.to_owned())?;
    let status = answered.status();
    let text = answered.body_mut().with_config().limit(u64::MAX).read_to_string()?;
    if !status.is_success() {
        bail!("{asked} answered {status}: {text}");
    }
    Ok(serde_json::from_str(&text)?)
}

pub(super) fn text(value: &Value, field: &str) -> Result<String> {
    let found = value.get(field).and_then(Value::as_str);
    Ok(found.with_context(|| format!("no {field} in {value}"))?.to_owned())
}

fn number(value: &Value, field: &str) -> Result<u64> {
    value.get(field).and_then(Value::as_u64).with_context(|| format!("no {field} in {value}"))
}
