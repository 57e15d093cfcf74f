//! The HTTP server: routes every service has, its own below `/api/v1`, and an orderly end.
//!
//! Slow or oversized heads are cut off by actix' own defaults (5 s for the head, 128 KiB buffer, 25,600
//! connections a worker); bodies and handlers by the request timeout and [`crate::extract::MAX_BODY_BYTES`].

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::{NormalizePath, from_fn};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{App, HttpResponse, HttpServer};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit;
use crate::auth::{self, Authenticator};
use crate::docs;
use crate::edge::{self, Shared};
use crate::health::{Health, Status};
use crate::idempotency;
use crate::metrics;

/// A request may take so long.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// While earlier requests are answered after a stop was asked for, new ones are taken for so long, and
/// probes are told "not ready" instead of finding a closed port.
const NOTICE: Duration = Duration::from_secs(5);

/// After [`NOTICE`], what is still in flight has so many seconds: 25 s in all.
const GRACE_SECONDS: u64 = 20;

/// Histograms hold raw values until read: they are folded this often, should nobody ask for them.
const UPKEEP: Duration = Duration::from_secs(5);

type Routes = Arc<dyn Fn(&mut ServiceConfig) + Send + Sync>;

/// A server being put together.
pub struct Server {
    authenticator: Authenticator,
    health: Health,
    openapi: String,
    routes: Routes,
    request_timeout: Duration,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("authenticator", &self.authenticator).finish_non_exhaustive()
    }
}

impl Server {
    /// A server with health, metrics and no route of its own.
    pub fn new(authenticator: Authenticator) -> Self {
        Self {
            authenticator,
            health: Health::new(),
            openapi: "{}".to_owned(),
            routes: Arc::new(|_| {}),
            request_timeout: REQUEST_TIMEOUT,
        }
    }

    /// The dependencies the probes ask.
    #[must_use]
    pub fn health(mut self, health: Health) -> Self {
        self.health = health;
        self
    }

    /// The document served as `/openapi.json`.
    #[must_use]
    pub fn openapi(mut self, json: String) -> Self {
        self.openapi = json;
        self
    }

    /// The service's routes below `/api/v1`; called once for each worker. Paths are declared without a
    /// trailing slash and answer with and without it; a `get` answers HEAD too.
    #[must_use]
    pub fn routes(mut self, routes: impl Fn(&mut ServiceConfig) + Send + Sync + 'static) -> Self {
        self.routes = Arc::new(routes);
        self
    }

    /// How long a request may take, instead of 30 s.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Takes an address; port 0 is any free one, see [`BoundServer::address`].
    ///
    /// # Errors
    /// The address cannot be had, or there is no tokio runtime.
    pub fn bind(self, address: impl Into<SocketAddr>) -> io::Result<BoundServer> {
        let prometheus = metrics::handle()?;
        let shared = Data::new(Shared {
            runtime: Handle::try_current().map_err(io::Error::other)?,
            request_timeout: self.request_timeout,
            draining: AtomicBool::new(false),
            in_flight: TaskTracker::new(),
        });
        let (authenticator, health) = (Data::new(self.authenticator), Data::new(self.health));
        let (openapi, metrics) = (Data::new(self.openapi), Data::new(prometheus.clone()));
        let routes = self.routes;

        let server = {
            let shared = shared.clone();
            HttpServer::new(move || {
                let routes = Arc::clone(&routes);
                App::new()
                    .app_data(shared.clone())
                    .app_data(authenticator.clone())
                    .app_data(health.clone())
                    .app_data(openapi.clone())
                    .app_data(metrics.clone())
                    .configure(common_routes)
                    .configure(docs::routes)
                    .service(
                        web::scope("/api")
                            .wrap(from_fn(idempotency::fingerprint))
                            .wrap(from_fn(audit::audit))
                            .wrap(from_fn(auth::guard))
                            .service(web::scope("/v1").configure(move |config| routes(config))),
                    )
                    .wrap(from_fn(edge::edge))
                    .wrap(NormalizePath::trim())
            })
            .bind(address.into())?
            .disable_signals()
            .shutdown_timeout(GRACE_SECONDS)
        };
        let address = server.addrs().first().copied().ok_or_else(|| io::Error::other("no address bound"))?;
        Ok(BoundServer { address, shared, prometheus, server: server.run() })
    }
}

/// A server that has its address and waits to be run. Connections made before [`BoundServer::run`] wait.
pub struct BoundServer {
    address: SocketAddr,
    shared: Data<Shared>,
    prometheus: PrometheusHandle,
    server: actix_web::dev::Server,
}

impl std::fmt::Debug for BoundServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BoundServer").field("address", &self.address).finish_non_exhaustive()
    }
}

impl BoundServer {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop` is cancelled, then ends in order: not ready at once; the port stays open while
    /// requests are in flight (5 s at most); what then remains is finished (25 s in all).
    ///
    /// # Errors
    /// The workers cannot be started.
    pub async fn run(self, stop: CancellationToken) -> io::Result<()> {
        let Self { address, shared, prometheus, mut server } = self;
        let handle = server.handle();
        tracing::info!(%address, "listening");
        let end = async {
            stop.cancelled().await;
            shared.draining.store(true, Ordering::Relaxed);
            shared.in_flight.close();
            // Late or not, the next step is the same.
            let _ = tokio::time::timeout(NOTICE, shared.in_flight.wait()).await;
            handle.stop(true).await;
        };
        let upkeep = async {
            let mut tick = tokio::time::interval(UPKEEP);
            loop {
                tick.tick().await;
                prometheus.run_upkeep();
            }
        };
        tokio::select! {
            ended = &mut server => return ended,
            () = end => {}
            () = upkeep => {}
        }
        server.await
    }
}

fn common_routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/livez").get(livez))
        .service(web::resource("/readyz").get(readyz))
        .service(web::resource("/health").get(health_report))
        .service(web::resource("/metrics").get(metrics_text))
        .service(web::resource("/openapi.json").get(openapi_document));
}

async fn livez() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "alive" }))
}

async fn readyz(health: Data<Health>, shared: Data<Shared>) -> HttpResponse {
    if shared.draining.load(Ordering::Relaxed) {
        return HttpResponse::ServiceUnavailable()
            .json(json!({ "status": "not_ready", "reasons": ["stopping"] }));
    }
    let report = health.report().await;
    if report.status == Status::Unhealthy {
        return HttpResponse::ServiceUnavailable()
            .json(json!({ "status": "not_ready", "reasons": report.troubles() }));
    }
    HttpResponse::Ok().json(json!({ "status": "ready" }))
}

async fn health_report(health: Data<Health>) -> HttpResponse {
    let report = health.report().await;
    let mut answer = match report.status {
        Status::Healthy | Status::Degraded => HttpResponse::Ok(),
        Status::Unhealthy => HttpResponse::ServiceUnavailable(),
    };
    answer.json(&*report)
}

async fn metrics_text(prometheus: Data<PrometheusHandle>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(prometheus.render())
}

async fn openapi_document(document: Data<String>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, HeaderValue::from_static("application/json")))
        .body(document.get_ref().clone())
}
