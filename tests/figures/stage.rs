//! The service as it is used: the released program, with its database and its vhost.

use std::time::Duration;

use diesel::sql_types::{BigInt, Double};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use messaging::Broker;
use serde_json::{Value, json};
use testkit::{Database, Program, Vhost, eventually_within};

use crate::sink::{Manner, Sink};
use crate::tell::Teller;

/// How long anything may take to come about.
const PATIENCE: Duration = Duration::from_mins(3);

/// Receivers live on this machine, without TLS.
const SETTINGS: [(&str, &str); 3] =
    [("WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8"), ("WEBHOOK_ALLOW_HTTP", "true"), ("LOG_LEVEL", "INFO")];

/// One service with receivers. Ends with the value.
pub(crate) struct Stage {
    pub(crate) service: Program,
    pub(crate) sink: Sink,
    pool: pg::Pool,
    _database: Database,
    vhost: Vhost,
}

/// A subscription, and its endpoint's number.
pub(crate) struct Subscribed {
    pub(crate) endpoint: usize,
    pub(crate) id: String,
    pub(crate) secret: String,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

#[derive(QueryableByName)]
struct Seconds {
    #[diesel(sql_type = Double)]
    seconds: f64,
}

impl Stage {
    pub(crate) async fn new(binary: &'static str) -> Self {
        let (database, vhost) = (Database::of_service("webhook_dispatcher").await, Vhost::create());
        let service = Program::start(binary, "webhook-dispatcher", database.url(), vhost.url(), &SETTINGS);
        let stage = Self { service, sink: Sink::start(), pool: database.pool(), _database: database, vhost };
        // What is told before its queue is bound is lost here: there is no relay that waits.
        eventually_within(PATIENCE, "its queue", async || {
            stage.service.log().contains("\"consuming\"").then_some(())
        })
        .await;
        stage
    }

    pub(crate) async fn teller(&self) -> Teller {
        Teller::new(&Broker::new(self.vhost.url(), "figures").unwrap()).await
    }

    /// Subscribes an endpoint of this manner to the facts told here.
    pub(crate) fn subscribe(&self, manner: Manner, wish: &Value) -> Subscribed {
        let (endpoint, url) = self.sink.endpoint(manner);
        let mut whole = json!({ "url": url, "events": ["account.*"] });
        whole.as_object_mut().unwrap().extend(wish.as_object().cloned().unwrap_or_default());
        let (status, made) = self.service.post("/webhooks", &whole);
        assert_eq!(status, 201, "{made}");
        let text = |field: &str| made.get(field).and_then(Value::as_str).unwrap().to_owned();
        Subscribed { endpoint, id: text("id"), secret: text("secret") }
    }

    pub(crate) async fn execute(&self, sql: &str) {
        sql_query(sql).execute(&mut *self.pool.get().await.unwrap()).await.unwrap();
    }

    pub(crate) async fn count(&self, from: &str) -> usize {
        let mut conn = self.pool.get().await.unwrap();
        let counted: Count =
            sql_query(format!("SELECT count(*) FROM {from}")).get_result(&mut *conn).await.unwrap();
        usize::try_from(counted.count).unwrap()
    }

    /// From when the first fact was taken up until the last outcome was committed.
    pub(crate) async fn seconds(&self) -> f64 {
        let mut conn = self.pool.get().await.unwrap();
        let asked: Seconds = sql_query(
            "SELECT extract(epoch FROM (SELECT max(pg_xact_commit_timestamp(xmin)) FROM webhook_deliveries) \
                 - (SELECT min(received_at) FROM messages))::float8 AS seconds",
        )
        .get_result(&mut *conn)
        .await
        .unwrap();
        asked.seconds
    }

    /// Bytes of one fact's body, as it is sent.
    pub(crate) async fn body_bytes(&self) -> usize {
        let bytes = self.count("generate_series(1, (SELECT max(octet_length(body)) FROM messages))").await;
        assert!(bytes > 0);
        bytes
    }

    /// Writes deliveries that are due, of a fact for each hundred, for all subscriptions.
    pub(crate) async fn fill(&self, deliveries: usize) {
        let facts = deliveries / self.count("webhook_subscriptions").await;
        self.execute(&format!(
            "INSERT INTO messages (id, type, subject, body, occurred_at, received_at) \
             SELECT gen_random_uuid(), 'account.connected', 'x', convert_to(repeat('x', 900), 'UTF8'), now(), now() \
             FROM generate_series(1, {facts})"
        ))
        .await;
        // One statement may not take longer than half a minute.
        for part in 0..10 {
            self.execute(&format!(
                "INSERT INTO webhook_deliveries (id, message_id, subscription_id, event_type, status, next_attempt_at, \
                     created_at, updated_at) \
                 SELECT gen_random_uuid(), m.id, s.id, m.type, 'pending', now(), now(), now() \
                 FROM messages m CROSS JOIN (SELECT id, row_number() OVER () AS number FROM webhook_subscriptions) s \
                 WHERE s.number % 10 = {part}"
            ))
            .await;
        }
        self.execute("ANALYZE").await;
    }

    /// Returns when the receivers have so many, and nothing is left to be delivered.
    pub(crate) async fn until_done(&self, deliveries: usize) {
        eventually_within(PATIENCE, "all to be received", async || {
            (self.sink.total() >= deliveries).then_some(())
        })
        .await;
        eventually_within(PATIENCE, "all to be recorded", async || {
            (self.count("webhook_deliveries WHERE status IN ('pending', 'delivering')").await == 0)
                .then_some(())
        })
        .await;
    }

    /// Every delivery was made once, and is recorded with one attempt.
    pub(crate) async fn verify(&self, deliveries: usize) {
        assert_eq!(
            self.count("webhook_deliveries WHERE status = 'success' AND attempts = 1").await,
            deliveries
        );
        assert_eq!(self.count("delivery_attempts WHERE response_status = 204").await, deliveries);
        let times = crate::sink::times(&self.sink.hits());
        assert_eq!(times.len(), deliveries, "different deliveries received");
        assert!(times.values().all(|times| *times == 1), "some were received twice");
    }
}
