//! The service, somebody who tells facts, and receivers.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use diesel::sql_types::BigInt;
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::events::{AccountConnected, Envelope, NewEvent};
use domain::{IdSource, TokenId, UuidV7Source};
use messaging::{Broker, Relay};
use serde_json::{Value, json};
use testkit::{Database, Program, Vhost, eventually};
use time::OffsetDateTime;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

/// Everything one test needs. Ends with the value.
pub(crate) struct Desk {
    pub(crate) service: Program,
    pub(crate) pool: pg::Pool,
    _database: Database,
    _vhost: Vhost,
    _stop: DropGuard,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// How to be reached here: receivers of tests live on this machine, without TLS.
const LOCAL: [(&str, &str); 2] =
    [("WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8"), ("WEBHOOK_ALLOW_HTTP", "true")];

impl Desk {
    pub(crate) async fn open() -> Self {
        Self::open_with(&LOCAL).await
    }

    pub(crate) async fn open_with(settings: &[(&str, &str)]) -> Self {
        let (database, vhost) = (Database::create("webhook_dispatcher", "").await, Vhost::create());
        let service = Program::start(
            env!("CARGO_BIN_EXE_zaplecze-webhook-dispatcher"),
            "webhook-dispatcher",
            database.url(),
            vhost.url(),
            settings,
        );
        let stop = CancellationToken::new();
        // Facts are told as another service would tell them. Nothing is lost before the queue is bound: the
        // relay's rows wait.
        let broker = Broker::new(vhost.url(), "teller").unwrap();
        let relay = Relay::new("teller", database.url().clone(), broker);
        tokio::spawn(relay.run(stop.clone()));
        let pool = database.pool();
        Self { service, pool, _database: database, _vhost: vhost, _stop: stop.drop_guard() }
    }

    pub(crate) async fn tell(&self, facts: &[Envelope]) {
        let told: Result<(), pg::Error> =
            self.pool.transaction(async |conn| messaging::outbox::push(conn, facts).await).await;
        told.unwrap();
    }

    /// Subscribes and returns id and secret.
    pub(crate) fn subscribe(&self, wish: &Value) -> (String, String) {
        let (status, made) = self.service.post("/webhooks", wish);
        assert_eq!(status, 201, "{made}");
        let text = |field: &str| made[field].as_str().unwrap().to_owned();
        (text("id"), text("secret"))
    }

    pub(crate) async fn count(&self, from: &str) -> i64 {
        let mut conn = self.pool.get().await.unwrap();
        let counted: Count =
            sql_query(format!("SELECT count(*) FROM {from}")).get_result(&mut *conn).await.unwrap();
        counted.count
    }

    pub(crate) async fn until(&self, from: &str, wanted: i64) {
        eventually(&format!("{wanted} rows in {from}"), async || {
            (self.count(from).await == wanted).then_some(())
        })
        .await;
    }

    /// The one delivery of a subscription, once it has this status, with its tries.
    pub(crate) async fn delivery(&self, subscription: &str, status: &str) -> Value {
        eventually(&format!("a delivery that is {status}"), async || {
            let (_, page) = self.service.get(&format!("/webhooks/{subscription}/deliveries"));
            let delivery = page["items"].get(0)?.clone();
            let (_, full) = self.service.get(&format!("/deliveries/{}", delivery["id"].as_str()?));
            (full["status"] == status).then_some(full)
        })
        .await
    }
}

/// A fact about an account.
pub(crate) fn fact(number: u128) -> Envelope {
    let event = AccountConnected {
        token_id: TokenId::from(Uuid::from_u128(number)),
        user_id: "sklep-ząbek".to_owned(),
        account_name: Some("Świece „Płomień”".to_owned()),
        allegro_seller_id: number.to_string(),
        allegro_login: "login".to_owned(),
        connected_at: OffsetDateTime::UNIX_EPOCH,
        generation: 1,
    };
    let new =
        NewEvent { id: UuidV7Source.next_id().into(), time: OffsetDateTime::now_utc(), correlation_id: None };
    Envelope::wrap(&event, new).unwrap()
}

/// What a receiver got in one request.
#[derive(Debug, Clone)]
pub(crate) struct Hit {
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Hit {
    pub(crate) fn id(&self) -> &str {
        self.headers["webhook-id"].to_str().unwrap()
    }

    pub(crate) fn content(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What a receiver answers to its n-th request (from 0).
type Answers = dyn Fn(usize) -> tiny_http::Response<std::io::Empty> + Send + Sync;

/// A receiver on a free port. It ends with the value.
pub(crate) struct Receiver {
    server: Arc<tiny_http::Server>,
    hits: Arc<Mutex<Vec<Hit>>>,
    gate: Arc<(Mutex<bool>, Condvar)>,
    pub(crate) url: String,
}

impl Receiver {
    pub(crate) fn answering(status: u16) -> Self {
        Self::new(move |_| tiny_http::Response::empty(status))
    }

    pub(crate) fn new(
        answers: impl Fn(usize) -> tiny_http::Response<std::io::Empty> + Send + Sync + 'static,
    ) -> Self {
        let server = Arc::new(tiny_http::Server::http("127.0.0.1:0").unwrap());
        let url = format!("http://{}/hooks", server.server_addr().to_ip().unwrap());
        let (hits, gate) = (Arc::default(), Arc::new((Mutex::new(true), Condvar::new())));
        let answers: Arc<Answers> = Arc::new(answers);
        for _ in 0..8 {
            let (server, hits, gate, answers) =
                (Arc::clone(&server), Arc::clone(&hits), Arc::clone(&gate), Arc::clone(&answers));
            std::thread::spawn(move || receive(&server, &hits, &gate, &*answers));
        }
        Self { server, hits, gate, url }
    }

    pub(crate) fn hits(&self) -> Vec<Hit> {
        self.hits.lock().unwrap().clone()
    }

    /// Takes requests and does not answer them, until it is opened again.
    pub(crate) fn close_gate(&self) {
        *self.gate.0.lock().unwrap() = false;
    }

    pub(crate) fn open_gate(&self) {
        *self.gate.0.lock().unwrap() = true;
        self.gate.1.notify_all();
    }

    pub(crate) async fn until_hits(&self, wanted: usize) -> Vec<Hit> {
        eventually(&format!("{wanted} requests"), async || {
            let hits = self.hits();
            (hits.len() >= wanted).then_some(hits)
        })
        .await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.open_gate();
        for _ in 0..8 {
            self.server.unblock();
        }
    }
}

fn receive(
    server: &tiny_http::Server,
    hits: &Mutex<Vec<Hit>>,
    gate: &(Mutex<bool>, Condvar),
    answers: &Answers,
) {
    while let Ok(mut request) = server.recv() {
        let mut body = Vec::new();
        if request.as_reader().read_to_end(&mut body).is_err() {
            continue;
        }
        let headers = request
            .headers()
            .iter()
            .map(|header| {
                let name: http::HeaderName = header.field.as_str().as_str().parse().unwrap();
                (name, header.value.as_str().parse().unwrap())
            })
            .collect();
        let number = {
            let mut hits = hits.lock().unwrap();
            hits.push(Hit { headers, body });
            hits.len() - 1
        };
        let opened = gate.1.wait_timeout_while(gate.0.lock().unwrap(), Duration::from_mins(1), |open| !*open);
        drop(opened.unwrap());
        // A sender that was killed takes no answer.
        let _gone = request.respond(answers(number));
    }
}

/// Wants everything, at this receiver.
pub(crate) fn all_to(receiver: &Receiver) -> Value {
    json!({ "url": receiver.url, "events": ["*"] })
}
