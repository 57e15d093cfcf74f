//! The service, somebody who tells events, and receivers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::web::{self, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::events::{AccountConnected, Envelope, NewEvent};
use domain::{IdSource, TokenId, UuidV7Source};
use messaging::{Broker, Relay};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use testkit::{Database, Program, Proxy, Vhost, eventually, eventually_within};
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

/// Everything one test needs. Ends with the value.
pub(crate) struct Desk {
    pub(crate) service: Program,
    pub(crate) pool: pg::Pool,
    /// Between the service and its database.
    pub(crate) postgres: Proxy,
    /// Between the service and its broker.
    pub(crate) rabbitmq: Proxy,
    pub(crate) database: Database,
    pub(crate) vhost: Vhost,
    _stop: DropGuard,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// How to be reached here: receivers of tests live on this machine, without TLS.
pub(crate) const LOCAL: [(&str, &str); 2] =
    [("WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8"), ("WEBHOOK_ALLOW_HTTP", "true")];

/// For many deliveries on a slow machine: what waits there for longer than five seconds comes when its lease ends, after
/// forty at most.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// The service's program.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_zaplecze-webhook-dispatcher");

fn start(postgres: &Proxy, rabbitmq: &Proxy, settings: &[(&str, &str)]) -> Program {
    let (postgres, rabbitmq) = (postgres.url().into(), rabbitmq.url().into());
    Program::start(BINARY, "webhook-dispatcher", &postgres, &rabbitmq, settings)
}

impl Desk {
    pub(crate) async fn open() -> Self {
        Self::open_with(&LOCAL).await
    }

    pub(crate) async fn open_with(settings: &[(&str, &str)]) -> Self {
        let (database, vhost) = (Database::of_service("webhook_dispatcher").await, Vhost::create());
        let postgres = Proxy::before(database.url().expose_secret());
        let rabbitmq = Proxy::before(vhost.url().expose_secret());
        let service = start(&postgres, &rabbitmq, settings);
        let stop = CancellationToken::new();
        // Events are told as another service would tell them. Nothing is lost before the queue is bound: the
        // relay's rows wait.
        let broker = Broker::new(vhost.url(), "teller").unwrap();
        let relay = Relay::new("teller", database.url().clone(), broker);
        tokio::spawn(relay.run(stop.clone()));
        let pool = database.pool();
        Self { service, pool, postgres, rabbitmq, database, vhost, _stop: stop.drop_guard() }
    }

    pub(crate) async fn tell(&self, events: &[Envelope]) {
        let told: Result<(), pg::Error> =
            self.pool.transaction(async |conn| messaging::outbox::push(conn, events).await).await;
        told.unwrap();
    }

    pub(crate) async fn execute(&self, sql: &str) {
        sql_query(sql).execute(&mut *self.pool.get().await.unwrap()).await.unwrap();
    }

    /// Ends the leases of what a dead process had in hand: nobody waits for them.
    pub(crate) async fn end_leases(&self) {
        self.execute("UPDATE webhook_deliveries SET next_attempt_at = now() WHERE status = 'delivering'")
            .await;
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

    /// The value of a metric without labels, as `/metrics` shows it.
    pub(crate) fn metric(&self, name: &str) -> Option<String> {
        let text = self.service.metrics();
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned))
    }

    pub(crate) async fn until(&self, from: &str, wanted: i64) {
        eventually(&format!("{wanted} rows in {from}"), async || {
            (self.count(from).await == wanted).then_some(())
        })
        .await;
    }

    /// The same for what takes longer.
    pub(crate) async fn until_within(&self, limit: Duration, from: &str, wanted: i64) {
        eventually_within(limit, &format!("{wanted} rows in {from}"), async || {
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

/// An event about an account.
pub(crate) fn event(number: u128) -> Envelope {
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
    /// Path and query.
    pub(crate) target: String,
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

/// A receiver's answer to its n-th request (from 0): a status, and a `Location`, or from status 429 on a
/// `Retry-After`.
type Answers = dyn Fn(usize) -> (u16, Option<String>) + Send + Sync;

struct Shared {
    hits: Mutex<Vec<Hit>>,
    gate: watch::Sender<bool>,
    answers: Box<Answers>,
}

/// A receiver on a free port. It ends with the value.
pub(crate) struct Receiver {
    shared: Arc<Shared>,
    handle: ServerHandle,
    pub(crate) url: String,
}

impl Receiver {
    pub(crate) fn answering(status: u16) -> Self {
        Self::new(move |_| (status, None))
    }

    pub(crate) fn new(answers: impl Fn(usize) -> (u16, Option<String>) + Send + Sync + 'static) -> Self {
        Self::start(None, answers)
    }

    /// One behind TLS.
    pub(crate) fn over_tls(
        tls: rustls::ServerConfig,
        answers: impl Fn(usize) -> (u16, Option<String>) + Send + Sync + 'static,
    ) -> Self {
        Self::start(Some(tls), answers)
    }

    fn start(
        tls: Option<rustls::ServerConfig>,
        answers: impl Fn(usize) -> (u16, Option<String>) + Send + Sync + 'static,
    ) -> Self {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let shared = Arc::new(Shared {
            hits: Mutex::default(),
            gate: watch::Sender::new(true),
            answers: Box::new(answers),
        });
        let (started, start) = std::sync::mpsc::channel();
        let data = Data::from(Arc::clone(&shared));
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let app = move || App::new().app_data(data.clone()).default_service(web::to(receive));
                let server = HttpServer::new(app).workers(1).disable_signals();
                let server = match tls {
                    None => server.bind(("127.0.0.1", 0)),
                    Some(tls) => server.bind_rustls_0_23(("127.0.0.1", 0), tls),
                };
                let server = server.unwrap();
                let address = server.addrs()[0];
                let server = server.run();
                started.send((address, server.handle())).unwrap();
                server.await
            })
        });
        let (address, handle) = start.recv().unwrap();
        Self { shared, handle, url: format!("{scheme}://{address}/hooks") }
    }

    pub(crate) fn hits(&self) -> Vec<Hit> {
        self.shared.hits.lock().unwrap().clone()
    }

    /// Takes requests and does not answer them, until it is opened again.
    pub(crate) fn close_gate(&self) {
        self.shared.gate.send_replace(false);
    }

    pub(crate) fn open_gate(&self) {
        self.shared.gate.send_replace(true);
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
        // The command is sent when the future is made.
        drop(self.handle.stop(false));
    }
}

async fn receive(request: HttpRequest, body: web::Bytes, shared: Data<Shared>) -> HttpResponse {
    let headers = request
        .headers()
        .iter()
        .map(|(name, value)| {
            let name: http::HeaderName = name.as_str().parse().unwrap();
            (name, http::HeaderValue::from_bytes(value.as_bytes()).unwrap())
        })
        .collect();
    let number = {
        let mut hits = shared.hits.lock().unwrap();
        hits.push(Hit { target: request.uri().to_string(), headers, body: body.to_vec() });
        hits.len() - 1
    };
    shared.gate.subscribe().wait_for(|open| *open).await.unwrap();
    let (status, value) = (shared.answers)(number);
    let mut answer = HttpResponse::build(StatusCode::from_u16(status).unwrap());
    if let Some(value) = value {
        let name = if status >= 429 { "retry-after" } else { "location" };
        answer.insert_header((name, value));
    }
    answer.finish()
}

/// Wants everything, at this receiver.
pub(crate) fn all_to(receiver: &Receiver) -> Value {
    json!({ "url": receiver.url, "events": ["*"] })
}
