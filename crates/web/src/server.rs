//! The HTTP server: common routes, the service's routes below `/api/v1`, and a graceful shutdown.
//!
//! actix' defaults limit slow and oversized heads (5 s for the head, 128 KiB buffer, 25,600 connections per worker).
//! The request timeout and [`crate::extract::MAX_BODY_BYTES`] limit bodies and handlers.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::{NormalizePath, from_fn};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{App, HttpResponse, HttpServer};
use chassis::config::{Mistake, Tls};
use futures_util::FutureExt;
use telemetry::metrics::PrometheusHandle;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit;
use crate::auth::{self, Authenticator};
use crate::docs;
use crate::edge::{self, Shared};
use crate::health::Health;
use crate::idempotency;
use crate::jwks::Jwks;
use crate::rate::Limiter;
use crate::tls::Certificate;
use crate::{compress, metrics, probes};

/// Default time limit of a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// While earlier requests are being answered after the stop has begun, the server accepts new ones for this time, and
/// probes get "not ready" instead of a closed port.
const NOTICE: Duration = Duration::from_secs(5);

/// Default time limit for requests in flight after the stop, including [`NOTICE`].
const DRAIN: Duration = Duration::from_secs(25);

/// Histograms hold raw values until they are read. They are folded at this interval if Prometheus does not read them.
const UPKEEP: Duration = Duration::from_secs(5);

type Routes = Arc<dyn Fn(&mut ServiceConfig) + Send + Sync>;

/// Builder of a server.
pub struct Server {
    authenticator: Authenticator,
    health: Health,
    openapi: LazyLock<String>,
    state: Routes,
    routes: Routes,
    request_timeout: Duration,
    limiter: Option<Limiter>,
    internal: Option<SocketAddr>,
    certificate: Option<Arc<Certificate>>,
    drain: Duration,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("authenticator", &self.authenticator).finish_non_exhaustive()
    }
}

impl Server {
    /// A server with health and metrics and without routes of its own.
    pub fn new(authenticator: Authenticator) -> Self {
        Self {
            authenticator,
            health: Health::new(),
            openapi: LazyLock::new(|| "{}".to_owned()),
            state: Arc::new(|_| {}),
            routes: Arc::new(|_| {}),
            request_timeout: REQUEST_TIMEOUT,
            limiter: None,
            internal: None,
            certificate: None,
            drain: DRAIN,
        }
    }

    /// Sets the dependencies that the probes check.
    #[must_use]
    pub fn health(mut self, health: Health) -> Self {
        self.health = health;
        self
    }

    /// Sets the function that builds the document served as `/openapi.json`. It runs at the first request, because it takes
    /// up to a tenth of a start.
    #[must_use]
    pub fn openapi(mut self, build: fn() -> String) -> Self {
        self.openapi = LazyLock::new(build);
        self
    }

    /// Sets the service's routes below `/api/v1`. It is called once per worker. Paths are declared without a trailing
    /// slash and match with and without it. A `get` answers HEAD too.
    #[must_use]
    pub fn routes(mut self, routes: impl Fn(&mut ServiceConfig) + Send + Sync + 'static) -> Self {
        self.routes = Arc::new(routes);
        self
    }

    /// Adds a value that handlers extract as `Data<T>`, one of each type.
    #[must_use]
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, state: T) -> Self {
        let before = self.state;
        self.state = Arc::new(move |config| {
            before(config);
            config.app_data(Data::new(state.clone()));
        });
        self
    }

    /// Removes the service's own routes: a process that only works in the background answers probes.
    #[must_use]
    pub fn probes_only(mut self) -> Self {
        self.routes = Arc::new(|_| {});
        self
    }

    /// Sets the time limit of a request. The default is 30 s.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Sets the time limit for requests in flight when the server stops. The default is 25 s.
    #[must_use]
    pub fn drain(mut self, limit: Duration) -> Self {
        self.drain = limit;
        self
    }

    /// Sets the rate limiter. Without it callers are not limited.
    #[must_use]
    pub fn limiter(mut self, limiter: Limiter) -> Self {
        self.limiter = Some(limiter);
        self
    }

    /// Adds the limiter's Redis to the dependencies, unless the service has one of that name. Without Redis each
    /// replica counts alone: the service is degraded, not down.
    pub(crate) fn health_of_limiter(mut self) -> Self {
        let redis = self.limiter.as_ref().and_then(Limiter::redis);
        if let Some(redis) = redis.filter(|_| !self.health.knows("redis")) {
            self.health = self.health.optional("redis", &redis, |redis| async move { redis.ping().await });
        }
        self
    }

    /// Serves probes and metrics only at this address, and no longer beside the service's routes.
    #[must_use]
    pub fn internal(mut self, address: Option<SocketAddr>) -> Self {
        self.internal = address;
        self
    }

    /// Uses HTTPS with this certificate, except at the internal address. Changed files are loaded.
    ///
    /// # Errors
    /// The files cannot be used. The error names the setting.
    pub fn tls(mut self, files: Tls) -> Result<Self, Mistake> {
        self.certificate = Some(Arc::new(Certificate::load(files)?));
        Ok(self)
    }

    /// Binds an address. Port 0 selects a free port, see [`BoundServer::address`].
    ///
    /// # Errors
    /// The address cannot be bound, or there is no tokio runtime.
    pub fn bind(self, address: impl Into<SocketAddr>) -> io::Result<BoundServer> {
        let prometheus = telemetry::metrics::handle()?;
        metrics::describe();
        let shared = Data::new(Shared {
            runtime: Handle::try_current().map_err(io::Error::other)?,
            request_timeout: self.request_timeout,
            draining: AtomicBool::new(false),
            in_flight: TaskTracker::new(),
        });
        let (issuer, certificate) = (self.authenticator.issuer(), self.certificate);
        let (authenticator, health) = (Data::new(self.authenticator), Data::new(self.health));
        let (openapi, metrics) = (Data::new(self.openapi), Data::new(prometheus.clone()));
        let limiter = self.limiter.map(Data::new);
        // Half of a short drain remains for requests that do not end in time.
        let notice = NOTICE.min(self.drain / 2);
        let grace = self.drain.saturating_sub(notice);
        let (state, routes) = (self.state, self.routes);

        let probe_routes = {
            let shared = shared.clone();
            move |config: &mut ServiceConfig| {
                config.app_data(shared.clone()).app_data(health.clone()).app_data(metrics.clone());
                probes::routes(config);
            }
        };
        let internal =
            self.internal.map(|address| probes::serve_apart(address, probe_routes.clone())).transpose()?;
        let has_internal = internal.is_some();
        let server = {
            let shared = shared.clone();
            HttpServer::new(move || {
                let (state, routes) = (Arc::clone(&state), Arc::clone(&routes));
                let mut app = App::new()
                    .app_data(shared.clone())
                    .app_data(authenticator.clone())
                    .app_data(openapi.clone())
                    .configure(common_routes)
                    .configure(docs::routes);
                if let Some(limiter) = &limiter {
                    app = app.app_data(limiter.clone());
                }
                if !has_internal {
                    app = app.configure(&probe_routes);
                }
                let own = web::scope("/v1").configure(move |config| {
                    state(config);
                    routes(config);
                });
                app.service(
                    web::scope("/api")
                        .wrap(from_fn(idempotency::fingerprint))
                        .wrap(from_fn(audit::audit))
                        .wrap(from_fn(auth::guard))
                        .service(own),
                )
                .wrap(from_fn(edge::edge))
                .wrap(from_fn(compress::compress))
                .wrap(NormalizePath::trim())
            })
            .disable_signals()
            .shutdown_timeout(grace.as_secs())
        };
        let address = address.into();
        let server = match &certificate {
            Some(certificate) => server.bind_rustls_0_23(address, certificate.server_config()?)?,
            None => server.bind(address)?,
        };
        let address = server.addrs().first().copied().ok_or_else(|| io::Error::other("no address bound"))?;
        let server = server.run();
        Ok(BoundServer { address, internal, shared, prometheus, issuer, certificate, notice, server })
    }
}

/// A server that is bound and not yet running. Connections made before [`BoundServer::run`] wait.
pub struct BoundServer {
    address: SocketAddr,
    internal: Option<(SocketAddr, actix_web::dev::Server)>,
    shared: Data<Shared>,
    prometheus: PrometheusHandle,
    issuer: Option<Arc<Jwks>>,
    certificate: Option<Arc<Certificate>>,
    notice: Duration,
    server: actix_web::dev::Server,
}

impl std::fmt::Debug for BoundServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BoundServer").field("address", &self.address).finish_non_exhaustive()
    }
}

impl BoundServer {
    /// The bound address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of probes and metrics, if they have their own.
    pub fn internal_address(&self) -> Option<SocketAddr> {
        self.internal.as_ref().map(|(address, _)| *address)
    }

    /// Serves until the stop. After `announced` is cancelled, `/readyz` answers 503 and every answer closes its
    /// connection. After `stop` is cancelled, the port remains open while requests are in flight, 5 s at most. The
    /// remaining requests are finished within [`Server::drain`]. A streamed answer is in flight until its end.
    ///
    /// # Errors
    /// The workers cannot be started.
    pub async fn run(self, announced: CancellationToken, stop: CancellationToken) -> io::Result<()> {
        let Self { address, internal, shared, prometheus, issuer, certificate, notice, mut server } = self;
        let handle = server.handle();
        let internal_address = internal.as_ref().map(|(address, _)| tracing::field::display(address));
        tracing::info!(%address, internal_address, "listening");
        let (internal_handle, internal) = match internal {
            Some((_, internal)) => (Some(internal.handle()), internal.left_future()),
            None => (None, std::future::pending().right_future()),
        };
        let mut internal = pin!(internal);
        let end = async {
            announced.cancelled().await;
            shared.draining.store(true, Ordering::Relaxed);
            stop.cancelled().await;
            shared.in_flight.close();
            // Finished or timed out, the next step is the same.
            let _ = tokio::time::timeout(notice, shared.in_flight.wait()).await;
            handle.stop(true).await;
        };
        let upkeep = async {
            let mut tick = tokio::time::interval(UPKEEP);
            loop {
                tick.tick().await;
                prometheus.run_upkeep();
            }
        };
        let fresh_keys = async {
            match &issuer {
                Some(issuer) => issuer.keep_fresh().await,
                None => std::future::pending().await,
            }
        };
        let fresh_certificate = async {
            match &certificate {
                Some(certificate) => certificate.keep_current().await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            ended = &mut server => ended,
            ended = &mut internal => return ended,
            () = end => server.await,
            () = upkeep => Ok(()),
            () = fresh_keys => Ok(()),
            () = fresh_certificate => Ok(()),
        };
        // Probes are answered until the end.
        if let Some(handle) = internal_handle {
            let (stopped, ()) = tokio::join!(internal, handle.stop(false));
            stopped?;
        }
        ended
    }
}

fn common_routes(config: &mut ServiceConfig) {
    config.service(web::resource("/openapi.json").get(openapi_document));
}

async fn openapi_document(document: Data<LazyLock<String>>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, HeaderValue::from_static("application/json")))
        .body(String::clone(&document))
}
