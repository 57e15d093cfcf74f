//! The service, somebody who tells facts, and an allegro-backup that can be told to fail.

use std::hash::{DefaultHasher, Hash, Hasher};

use diesel::sql_types::BigInt;
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::events::{
    AccountConnected, Envelope, Event, LineItem, NewEvent, OrderCancelled, OrderEvent, OrderReady,
};
use domain::{IdSource, TokenId, UuidV7Source};
use messaging::{Broker, Relay};
use serde_json::{Value, json};
use testkit::{Database, Program, Vhost, eventually};
use time::{Duration, OffsetDateTime};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer};

pub(crate) use crate::backup::Backup;
use crate::backup::KEY;

/// Everything one test needs. Ends with the value.
pub(crate) struct Desk {
    pub(crate) service: Program,
    pub(crate) backup: Backup,
    pub(crate) pool: pg::Pool,
    _database: Database,
    pub(crate) vhost: Vhost,
    _server: MockServer,
    _stop: DropGuard,
}

impl Desk {
    pub(crate) async fn open() -> Self {
        Self::open_with(&[]).await
    }

    pub(crate) async fn open_with(settings: &[(&str, &str)]) -> Self {
        let (database, vhost) = (Database::of_service("stock_sync").await, Vhost::create());
        let (server, backup) = (MockServer::start().await, Backup::default());
        Mock::given(any()).respond_with(backup.clone()).mount(&server).await;
        let url = server.uri();
        let common = [("ALLEGRO_BACKUP_URL", url.as_str()), ("ALLEGRO_BACKUP_API_KEY", KEY)];
        let binary = env!("CARGO_BIN_EXE_zaplecze-stock-sync");
        let settings = [&common, settings].concat();
        let service = Program::start(binary, "stock-sync", database.url(), vhost.url(), &settings);
        let stop = CancellationToken::new();
        let broker = Broker::new(vhost.url(), "teller").unwrap();
        let relay = Relay::new("teller", database.url().clone(), broker);
        tokio::spawn(relay.run(stop.clone()));
        let pool = database.pool();
        let desk = Self {
            service,
            backup,
            pool,
            _database: database,
            vhost,
            _server: server,
            _stop: stop.drop_guard(),
        };
        desk.tell_until_taken(&[connected(token())]).await;
        desk
    }

    /// Tells facts as another service would.
    pub(crate) async fn tell(&self, facts: &[Envelope]) {
        let told: Result<(), pg::Error> =
            self.pool.transaction(async |conn| messaging::outbox::push(conn, facts).await).await;
        told.unwrap();
    }

    /// Changes rows as time would.
    pub(crate) async fn execute(&self, sql: &str) -> usize {
        let mut conn = self.pool.get().await.unwrap();
        sql_query(sql).execute(&mut *conn).await.unwrap()
    }

    /// Tells facts and returns when they have been taken in.
    pub(crate) async fn tell_until_taken(&self, facts: &[Envelope]) {
        self.tell(facts).await;
        let ids: Vec<String> = facts.iter().map(|it| format!("'{}'", it.id)).collect();
        let rows = format!("inbox WHERE event_id IN ({})", ids.join(", "));
        let all = i64::try_from(facts.len()).unwrap();
        eventually("facts to be taken in", async || (self.count(&rows).await == all).then_some(())).await;
    }

    /// Has what is under way looked over now.
    pub(crate) async fn look_over(&self) {
        let now = OffsetDateTime::now_utc();
        assert_eq!(self.service.post("/schedules/monitor/run", &json!({})).0, 202);
        let looked =
            format!("task_history WHERE kind = 'monitor' AND status = 'succeeded' AND started_at > '{now}'");
        eventually("it to be looked over", async || (self.count(&looked).await > 0).then_some(())).await;
    }

    /// Puts units on the shelf.
    pub(crate) fn put(&self, sku: &str, units: i64) {
        let (status, body) = self
            .service
            .put(&format!("/stock/{}/{}", encode(sku), encode("Ирина")), &json!({ "on_hand": units }));
        assert_eq!(status, 200, "{body}");
    }

    /// Units on the shelf.
    pub(crate) fn on_hand(&self, sku: &str) -> i64 {
        let (status, body) = self.service.get(&format!("/stock/{}", encode(sku)));
        assert_eq!(status, 200, "{body}");
        body["levels"][0]["on_hand"].as_i64().unwrap()
    }

    /// The operations of an order, as `(operation_type, status)`, first made first.
    pub(crate) fn operations(&self, order: &str) -> Vec<Value> {
        let (status, body) = self.service.get("/stock-sync/pending?limit=200");
        assert_eq!(status, 200, "{body}");
        let mut found: Vec<Value> = body["operations"].as_array().unwrap().clone();
        found.retain(|it| it["order_id"] == order);
        found.sort_by_key(|it| it["id"].to_string());
        found
    }

    /// Returns when an order's operations are in these states.
    pub(crate) async fn until(&self, order: &str, states: &[(&str, &str)]) {
        let mut seen = Vec::new();
        let reached = async || {
            seen = self.operations(order);
            let is = |it: &Value| {
                (it["operation_type"].as_str().unwrap().to_owned(), it["status"].as_str().unwrap().to_owned())
            };
            let now: Vec<_> = seen.iter().map(is).collect();
            (now.iter().map(|(kind, status)| (kind.as_str(), status.as_str())).eq(states.iter().copied()))
                .then_some(())
        };
        eventually(&format!("{order} to be {states:?}"), reached).await;
    }

    /// Returns when somebody waits for a lock.
    pub(crate) async fn until_one_waits(&self) {
        let waiting = "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        eventually("somebody to wait", async || (self.count(waiting).await > 0).then_some(())).await;
    }

    /// Rows of a table, or of a part of it.
    pub(crate) async fn count(&self, rows: &str) -> i64 {
        #[derive(QueryableByName)]
        struct Count {
            #[diesel(sql_type = BigInt)]
            count: i64,
        }
        let mut conn = self.pool.get().await.unwrap();
        let counted: Count =
            sql_query(format!("SELECT count(*) FROM {rows}")).get_result(&mut *conn).await.unwrap();
        counted.count
    }
}

/// A word as it stands in a path.
fn encode(word: &str) -> String {
    url::form_urlencoded::byte_serialize(word.as_bytes()).collect()
}

/// The account everything is sold through.
pub(crate) fn token() -> TokenId {
    Uuid::from_u128(1).into()
}

/// An order of one line each of these SKUs and units.
pub(crate) fn order(id: &str, lines: &[(&str, i64)]) -> OrderEvent {
    let line = |(at, (sku, quantity)): (usize, &(&str, i64))| LineItem {
        id: line_id(&format!("{id}-line-{at}")),
        offer_id: Some("1".to_owned()),
        sku: Some((*sku).to_owned()),
        quantity: Some(*quantity),
        price: None,
    };
    OrderEvent {
        token_id: token(),
        user_id: "sklep".to_owned(),
        allegro_seller_id: "1".to_owned(),
        order_id: id.to_owned().into(),
        status: Some("READY_FOR_PROCESSING".to_owned()),
        fulfillment_status: None,
        fulfillment_provider: Some("SELLER".to_owned()),
        revision: None,
        version: 1,
        order_date: Some(OffsetDateTime::now_utc()),
        updated_at: None,
        total: None,
        line_items: lines.iter().enumerate().map(line).collect(),
        backfill: false,
        ready_at: None,
        was_shipped: false,
        read_at: None,
        first_stored_at: None,
        merged_into: None,
    }
}

/// A line's id as Allegro makes it, the same for the same name.
pub(crate) fn line_id(name: &str) -> String {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    Uuid::from_u64_pair(hasher.finish(), hasher.finish()).to_string()
}

pub(crate) fn ready(order: OrderEvent) -> Envelope {
    wrap(&OrderReady(order))
}

/// The order is cancelled, after it was ready.
pub(crate) fn cancelled(order: OrderEvent) -> Envelope {
    wrap(&OrderCancelled(OrderEvent { version: order.version + 1, ..order }))
}

/// The account is connected, since an hour ago.
pub(crate) fn connected(token_id: TokenId) -> Envelope {
    wrap(&AccountConnected {
        token_id,
        user_id: "sklep".to_owned(),
        account_name: None,
        allegro_seller_id: "1".to_owned(),
        allegro_login: "sklep".to_owned(),
        connected_at: OffsetDateTime::now_utc() - Duration::hours(1),
        generation: 1,
    })
}

fn wrap<E: Event>(event: &E) -> Envelope {
    let new =
        NewEvent { id: UuidV7Source.next_id().into(), time: OffsetDateTime::now_utc(), correlation_id: None };
    Envelope::wrap(event, new).unwrap()
}
