//! What a request sets going goes out at once, not when the scanner looks the next time.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use diesel_async::SimpleAsyncConnection;
use egress::ssrf::{Guard, Rules, USUAL_PORTS};
use pg::sealed::Keyring;
use runtime::Infra;
use serde_json::{Value, json};
use testkit::{Database, eventually};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::{CancellationToken, DropGuard};
use web::{Authenticator, Idempotency, Server};

use crate::config::Keep;
use crate::dispatch::{self, Dispatcher, Job, Load};
use crate::state::State;

/// The service without what sends: jobs are only handed over. Ends with the value.
struct Desk {
    address: String,
    client: reqwest::Client,
    jobs: UnboundedReceiver<Job>,
    pool: pg::Pool,
    _database: Database,
    _stop: DropGuard,
}

impl Desk {
    /// One that looks for deliveries so seldom.
    async fn looking_every(pause: Duration) -> Self {
        let database = Database::create("webhook_dispatcher", "").await;
        pg::migrate(database.url(), &crate::MIGRATIONS).await.unwrap();
        let pool = database.pool();
        let rules = Rules {
            allowed_networks: vec!["127.0.0.0/8".parse().unwrap()],
            allow_http: true,
            ports: USUAL_PORTS.to_vec(),
        };
        let month = Duration::from_hours(30 * 24);
        let keyring = Keyring::new([("k1".to_owned(), zeroize::Zeroizing::new([1; 32]))]).unwrap();
        let state = State {
            infra: Infra::new(pool.clone(), keyring),
            guard: Guard::new(rules),
            keep: Keep { payloads: month, attempts: month, deliveries: month },
            outside_types: Arc::new(["custom.*".to_owned()]),
            load: Load::default(),
        };
        let stop = CancellationToken::new();
        let (dispatcher, jobs) = Dispatcher::new();
        tokio::spawn(dispatch::scan(state.clone(), dispatcher, pause, stop.clone()));
        let answers = Idempotency::new(pool.clone(), state.keyring.clone(), Arc::clone(&state.clock));
        let settings = egress::Settings {
            user_agent: "test".to_owned(),
            connect_timeout: Duration::from_secs(20),
            timeout: Duration::from_secs(20),
        };
        let client = egress::client(&settings).unwrap();
        let server = Server::new(Authenticator::new("webhook-dispatcher").insecure_local(true))
            .state(state)
            .state(answers)
            .routes(super::ROUTES.register)
            .bind(([127, 0, 0, 1], 0))
            .unwrap();
        let address = format!("http://{}/api/v1", server.address());
        tokio::spawn(server.run(stop.clone(), stop.clone()));
        Self { address, client, jobs, pool, _database: database, _stop: stop.drop_guard() }
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let sent = self.client.post(format!("{}{path}", self.address)).json(body).send().await.unwrap();
        let status = sent.status();
        let answer: Value = sent.json().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {answer}");
        answer
    }

    async fn job(&mut self, what: &str) -> Job {
        eventually(what, async || self.jobs.try_recv().ok()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_sets_going_does_not_wait_for_the_next_look() {
    let mut desk = Desk::looking_every(Duration::from_hours(1)).await;
    let wish = json!({ "url": "http://127.0.0.1:9/hooks", "events": ["custom.*"] });
    let id = desk.post("/webhooks", &wish).await["id"].as_str().unwrap().to_owned();
    // The look every process begins with may take up what is first.
    for round in 0..3 {
        let event = json!({ "type": "custom.parcel_weighed", "data": { "grams": 420 } });
        let published = desk.post("/events", &event).await;
        let job = desk.job(&format!("event {round}")).await;
        assert_eq!(json!(job.message_id), published["id"]);

        let test = desk.post(&format!("/webhooks/{id}/test"), &json!({})).await;
        let job = desk.job(&format!("test {round}")).await;
        assert_eq!(json!(job.delivery_id), test["delivery_id"]);

        let mut conn = desk.pool.get().await.unwrap();
        let failed = "UPDATE webhook_deliveries SET status = 'failed', next_attempt_at = NULL";
        conn.batch_execute(failed).await.unwrap();
        drop(conn);
        desk.post(&format!("/deliveries/{}/retry", job.delivery_id), &json!({})).await;
        let again = desk.job(&format!("retry {round}")).await;
        assert_eq!(again.delivery_id, job.delivery_id);
    }
}
