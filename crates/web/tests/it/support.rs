//! A small service to knock at.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::web::{self as actix, Data, ServiceConfig};
use actix_web::{HttpResponse, Responder, guard};
use futures_util::{FutureExt, StreamExt};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use ureq::http::Response;
use ureq::{Agent, Body};
use uuid::Uuid;
use web::{
    ApiJson, ApiPath, ApiQuery, Authenticator, BoundServer, Caller, FieldErrors, Health, Limit, Problem,
    RequestId, Requirement, Server,
};

/// Long enough for HS256.
pub(crate) const SECRET: &str = "a secret of the tests, 32 bytes long";

/// May write.
pub(crate) const KEY: &str = "zk_robot_correct-horse";

/// Things the tests turn and the handlers look at.
#[derive(Default)]
pub(crate) struct Switches {
    pub(crate) database_up: AtomicBool,
    pub(crate) cache_up: AtomicBool,
    /// A slow request has begun.
    pub(crate) begun: Notify,
    /// Let it end.
    pub(crate) finish: Notify,
}

/// A running server and the client that talks to it.
pub(crate) struct App {
    pub(crate) address: SocketAddr,
    /// Where probes and metrics are, if apart.
    pub(crate) internal: Option<SocketAddr>,
    pub(crate) switches: Arc<Switches>,
    pub(crate) stop: CancellationToken,
    pub(crate) agent: Agent,
    pub(crate) runtime: Runtime,
    running: JoinHandle<io::Result<()>>,
}

impl App {
    pub(crate) fn start() -> Self {
        Self::start_with(|server| server)
    }

    pub(crate) fn start_with(change: impl FnOnce(Server) -> Server) -> Self {
        Self::start_announced(None, change)
    }

    /// As `start`, with a token of its own for the announcement of the stop.
    pub(crate) fn start_announced(
        announced: Option<CancellationToken>,
        change: impl FnOnce(Server) -> Server,
    ) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (server, switches) = runtime.block_on(async { server(change) });
        let (address, internal) = (server.address(), server.internal_address());
        let stop = CancellationToken::new();
        let announced = announced.unwrap_or_else(|| stop.clone());
        let running = runtime.spawn(server.run(announced.clone(), stop.clone()));
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(20)))
            .build()
            .new_agent();
        Self { address, internal, switches, stop, agent, runtime, running }
    }

    /// Whether the server has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.running.is_finished()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// GET with the API key.
    pub(crate) fn get(&self, path: &str) -> Response<Body> {
        self.agent.get(self.url(path)).header("x-api-key", KEY).call().unwrap()
    }

    /// POST with the API key.
    pub(crate) fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Response<Body> {
        let request = self.agent.post(self.url(path)).header("x-api-key", KEY);
        request.header("content-type", content_type).send(body).unwrap()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.stop.cancel();
        self.switches.finish.notify_waiters();
    }
}

/// The answer's status and body, which must be a complete problem when the status is an error.
pub(crate) fn problem(mut response: Response<Body>) -> (u16, Value) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let request_id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let body: Value = response.body_mut().read_json().unwrap();
    assert_eq!(body["status"], status);
    assert_eq!(body["request_id"], request_id);
    assert!(body["instance"].as_str().unwrap().starts_with('/'), "{body}");
    let code = body["code"].as_str().unwrap();
    assert!(body["type"].as_str().unwrap().ends_with(&format!("docs/reference/ERRORS.md#{code}")), "{body}");
    (status, body)
}

fn server(change: impl FnOnce(Server) -> Server) -> (BoundServer, Arc<Switches>) {
    let switches = Arc::new(Switches::default());
    switches.database_up.store(true, Ordering::Relaxed);
    switches.cache_up.store(true, Ordering::Relaxed);
    let key_scopes = vec!["shop:write".to_owned()];
    let authenticator = Authenticator::new("shop")
        .jwt_secret(Some(&SecretString::from(SECRET)))
        .api_keys([("robot".to_owned(), Sha256::digest(KEY).into(), key_scopes)]);
    let state = Data::from(Arc::clone(&switches));
    let server = Server::new(authenticator)
        .health(health(&switches))
        .openapi(|| r#"{"openapi":"3.1.0"}"#.to_owned())
        .routes(move |config| routes(config, &state));
    (change(server).bind(([127, 0, 0, 1], 0)).unwrap(), switches)
}

fn health(switches: &Arc<Switches>) -> Health {
    let (database, cache) = (Arc::clone(switches), Arc::clone(switches));
    Health::new()
        .check("postgres", Requirement::Required, move || {
            let up = database.database_up.load(Ordering::Relaxed);
            async move { if up { Ok(()) } else { Err("connection refused".to_owned()) } }
        })
        .check("redis", Requirement::Optional, move || {
            let up = cache.cache_up.load(Ordering::Relaxed);
            async move { if up { Ok(()) } else { std::future::pending().await } }
        })
}

fn routes(config: &mut ServiceConfig, state: &Data<Switches>) {
    config
        .app_data(state.clone())
        .service(actix::resource("/orders").get(list).post(create))
        .service(actix::resource("/orders/{order_id}").get(show))
        .service(actix::resource("/whoami").get(whoami))
        .service(actix::resource("/slow").get(slow))
        .service(actix::resource("/long").get(long))
        .service(actix::resource("/stream").get(stream))
        .service(actix::resource("/drip").get(drip))
        .service(actix::resource("/parts/{end}").get(parts))
        .service(actix::resource("/endless").get(endless))
        .service(actix::resource("/picture").get(picture))
        .service(actix::resource("/panic").get(panic).post(panic))
        .service(actix::resource("/panic-in-routing").guard(guard::fn_guard(|_| panic!("boom"))).get(list))
        .service(actix::resource("/broken").get(broken))
        .service(actix::resource("/spawn").get(spawn));
}

/// A body with a bit of everything.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewOrder {
    user: String,
    quantity: u32,
    #[serde(default)]
    kind: Kind,
    #[serde(default)]
    lines: Vec<Line>,
    note: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Usual,
    Urgent,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(rename = "a/b")]
    sku: String,
    price: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    #[serde(default)]
    limit: Limit,
    cursor: Option<String>,
    user: Option<String>,
}

async fn create(order: ApiJson<NewOrder>) -> Result<impl Responder, Problem> {
    let mut errors = FieldErrors::default();
    errors.check(!order.user.is_empty(), "/user", "empty", "must not be empty");
    errors.check((1..=100).contains(&order.quantity), "/quantity", "out_of_range", "must be from 1 to 100");
    errors.finish()?;
    Ok(HttpResponse::Created().json(&order.0))
}

async fn list(query: ApiQuery<ListQuery>) -> Result<impl Responder, Problem> {
    query.cursor.as_deref().map(web::Cursor::decode).transpose()?;
    Ok(HttpResponse::Ok().json(json!({ "limit": query.limit.get(), "user": query.user })))
}

async fn show(id: ApiPath<Uuid>) -> impl Responder {
    HttpResponse::Ok().json(json!({ "id": *id }))
}

async fn whoami(caller: Caller, id: RequestId) -> impl Responder {
    HttpResponse::Ok().json(json!({
        "subject": caller.subject,
        "user_id": caller.user_id,
        "sees_anna": caller.may_see(Some("anna")),
        "sees_bob": caller.may_see(Some("bob")),
        "request_id": id.as_str(),
    }))
}

async fn slow(switches: Data<Switches>) -> impl Responder {
    switches.begun.notify_one();
    switches.finish.notified().await;
    HttpResponse::Ok().json(json!({ "finished": true }))
}

async fn long() -> impl Responder {
    HttpResponse::Ok().json(vec!["the same again"; 500])
}

async fn stream() -> impl Responder {
    let parts = futures_util::stream::iter((0..500).map(|_| Ok::<_, Infallible>("the same again,".into())));
    HttpResponse::Ok().content_type("text/csv; charset=utf-8").streaming(parts)
}

/// A first part at once, the last when the test says so.
async fn drip(switches: Data<Switches>) -> impl Responder {
    let rest = async move {
        switches.finish.notified().await;
        Ok::<_, Infallible>("rest".into())
    };
    let parts = futures_util::stream::iter([Ok("first".into())]).chain(rest.into_stream());
    HttpResponse::Ok().content_type("text/plain").streaming(parts)
}

/// Sends two parts and then ends in the given way.
async fn parts(end: ApiPath<String>, switches: Data<Switches>) -> impl Responder {
    let end = end.to_string();
    let produce = |parts: web::Parts| async move {
        for _ in 0..2 {
            parts.send("the same again,".repeat(500).into()).await?;
        }
        switches.finish.notified().await;
        match end.as_str() {
            "complete" => Ok(()),
            "failed" => Err(web::Incomplete::failed("boom")),
            _ => panic!("boom"),
        }
    };
    HttpResponse::Ok().content_type("text/csv; charset=utf-8").streaming(web::streamed(produce))
}

async fn endless() -> impl Responder {
    let parts = futures_util::stream::repeat_with(|| Ok::<_, Infallible>(vec![b'x'; 64 * 1024].into()));
    HttpResponse::Ok().content_type("application/octet-stream").streaming(parts)
}

async fn picture() -> impl Responder {
    HttpResponse::Ok().content_type("image/png").body(vec![0; 4096])
}

#[expect(clippy::panic, reason = "this is what the route is for")]
async fn panic() -> HttpResponse {
    panic!("boom")
}

async fn broken() -> Result<HttpResponse, Problem> {
    let cause = std::io::Error::other("password=hunter2 at SELECT 1");
    Err(Problem::internal(&cause))
}

/// Whether what a handler spawns runs in the runtime that started the server.
async fn spawn() -> impl Responder {
    let name = tokio::spawn(async { std::thread::current().name().map(str::to_owned) }).await.unwrap();
    HttpResponse::Ok().json(json!({ "thread": name }))
}
