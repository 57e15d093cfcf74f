//! A shop at the sandbox, allegro-backup, and stock-sync: each as it is, one beside the other.

use std::collections::BTreeMap;
use std::time::Duration;

use sandbox::Settings;
use serde_json::{Value, json};
use testkit::{Database, Program, Vhost, eventually_within};

use crate::allegro::Allegro;

/// How stock-sync is known to allegro-backup.
const KEY: &str = "zk_stock-sync_only-of-a-stack-on-one-machine";
const KEY_HASH: &str = "stock-sync:85075d8f90e886763792674a3aefd6569cc2dc25a507581a8e8c5d19de81445d\
    :allegro-backup:read allegro-backup:write service";
/// Events are looked at each second, and a poller that died keeps its turn for a while.
const PATIENCE: Duration = Duration::from_mins(1);
/// What every shop of the sandbox sells.
pub(crate) const GOODS: [&str; 6] = ["AH-000", "AH-001", "AH-002", "AH-003", "AH-004", "AH-005"];
/// Units of each on the shelf at first.
pub(crate) const UNITS: i64 = 1000;

/// Everything one test needs. Ends with the value.
pub(crate) struct Shop {
    pub(crate) allegro: Allegro,
    pub(crate) backup: Program,
    pub(crate) stock: Program,
    _databases: [Database; 2],
    _vhost: Vhost,
}

/// An order as the sandbox has it.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) is_cancelled: bool,
    /// Sent by the seller, and a line of it has a SKU.
    pub(crate) is_ours: bool,
    /// Units by SKU.
    pub(crate) units: BTreeMap<String, i64>,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        let vhost = Vhost::create();
        let databases =
            [Database::of_service("allegro_backup").await, Database::of_service("stock_sync").await];
        let client_id = uuid::Uuid::now_v7().to_string();
        let settings = Settings { device_interval: 0, client_id: client_id.clone(), ..Settings::default() };
        let allegro = Allegro::start(settings);
        let url = allegro.url("");
        let settings = [
            ("ALLEGRO_CLIENT_ID", client_id.as_str()),
            ("ALLEGRO_CLIENT_SECRET", "sandbox-secret"),
            ("ALLEGRO_API_URL", &url),
            ("ALLEGRO_AUTH_URL", &url),
            ("ALLEGRO_BACKUP_EVENTS_INTERVAL_SECONDS", "1"),
            ("AUTH_API_KEYS", KEY_HASH),
            ("REDIS_URL", &testkit::redis_url()),
        ];
        let [its, other] = &databases;
        let binary = env!("CARGO_BIN_EXE_e2e-allegro-backup");
        let backup = Program::start(binary, "allegro-backup", its.url(), vhost.url(), &settings);
        let settings = [("ALLEGRO_BACKUP_URL", backup.url()), ("ALLEGRO_BACKUP_API_KEY", KEY)];
        let binary = env!("CARGO_BIN_EXE_e2e-stock-sync");
        let stock = Program::start(binary, "stock-sync", other.url(), vhost.url(), &settings);
        for sku in GOODS {
            let (status, body) = stock
                .put(&format!("/stock/{sku}/%D0%98%D1%80%D0%B8%D0%BD%D0%B0"), &json!({ "on_hand": UNITS }));
            assert_eq!(status, 200, "{body}");
        }
        Self { allegro, backup, stock, _databases: databases, _vhost: vhost }
    }

    /// Connects the seller's account for a user; returns its id once its list is read and stock-sync knows it.
    pub(crate) async fn connect(&self, user: &str) -> String {
        let (status, begun) =
            self.backup.post("/tokens/auth/initialize", &json!({ "user_id": user, "account_name": user }));
        assert_eq!(status, 202, "{begun}");
        self.allegro.decide(&begun, "approve");
        let path = format!("/tokens/auth/status/{}", begun["authorization_id"].as_str().unwrap());
        let token_id = eventually_within(PATIENCE, "the account to be connected", async || {
            let (_, authorization) = self.backup.get(&path);
            authorization["token_id"].as_str().map(str::to_owned)
        })
        .await;
        eventually_within(PATIENCE, "its list to be read", async || {
            let (_, standing) = self.backup.get(&format!("/sync/status/{user}"));
            standing["accounts"][0]["last_complete_list_sync"].is_string().then_some(())
        })
        .await;
        eventually_within(PATIENCE, "stock-sync to know it", async || {
            let (_, known) = self.stock.get("/stock-sync/accounts");
            known["items"].as_array()?.iter().any(|it| it["token_id"] == token_id).then_some(())
        })
        .await;
        token_id
    }

    /// The orders that are there.
    pub(crate) fn orders(&self) -> Vec<Order> {
        let lines = self.allegro.page("/_sandbox/journal?documents=true", &[]);
        lines.lines().map(|line| order(&serde_json::from_str::<Value>(line).unwrap()["document"])).collect()
    }

    /// Waits until an order is marked as taken from the stock, or as not taken, in every one of these accounts.
    pub(crate) async fn until_marked(&self, order: &str, accounts: &[&String], is_marked: bool) {
        for token_id in accounts {
            let path = format!("/orders/{token_id}/{order}/technical-flags");
            let what = format!("the mark of {order} to be {is_marked}");
            eventually_within(PATIENCE, &what, async || {
                let (status, flags) = self.backup.get(&path);
                (status == 200 && flags["is_stock_updated"] == is_marked).then_some(())
            })
            .await;
        }
    }

    /// Units of each thing that are missing from the shelf.
    pub(crate) fn gone(&self) -> BTreeMap<String, i64> {
        let left = |sku: &str| {
            let (_, shown) = self.stock.get(&format!("/stock/{sku}"));
            UNITS - shown["levels"][0]["on_hand"].as_i64().unwrap()
        };
        GOODS.iter().map(|sku| ((*sku).to_owned(), left(sku))).filter(|(_, units)| *units != 0).collect()
    }
}

fn order(form: &Value) -> Order {
    let mut units = BTreeMap::new();
    for line in form["lineItems"].as_array().unwrap() {
        if let Some(sku) = line["offer"]["external"]["id"].as_str() {
            *units.entry(sku.to_owned()).or_default() += line["quantity"].as_i64().unwrap();
        }
    }
    Order {
        id: form["id"].as_str().unwrap().to_owned(),
        is_cancelled: form["status"] == "CANCELLED",
        is_ours: form["fulfillment"]["provider"]["id"] == "SELLER" && !units.is_empty(),
        units,
    }
}

/// Units of these orders together.
pub(crate) fn sum<'a>(orders: impl IntoIterator<Item = &'a Order>) -> BTreeMap<String, i64> {
    let mut sum = BTreeMap::new();
    for (sku, units) in orders.into_iter().flat_map(|order| &order.units) {
        *sum.entry(sku.clone()).or_default() += units;
    }
    sum
}
