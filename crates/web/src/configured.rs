//! Builds the server from the configuration.

use std::io;
use std::net::SocketAddr;

use chassis::config::{Auth, Http, Mistake};
use chassis::{ServeContext, Service};
use deadpool_redis::CreatePoolError;
use secrecy::SecretString;

use crate::{Authenticator, Limiter, Server};

/// The reason why the server cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The URL of Redis is malformed.
    #[error("the rate limiter cannot be set up")]
    Redis(#[from] CreatePoolError),
    /// The HTTP client for the issuer's keys cannot be created.
    #[error(transparent)]
    Http(#[from] egress::Error),
    /// The certificate was valid when the configuration was checked, and is not any more.
    #[error("{0}")]
    Tls(Mistake),
    /// The address cannot be bound.
    #[error("cannot listen")]
    Bind(#[from] io::Error),
}

/// Builds and starts the HTTP server: binds the configured address, authenticates by the configured credentials, serves
/// the OpenAPI document. `build` adds health checks, state and routes. A process without the role `api` answers probes
/// only. Replicas share their rate limits in `redis`. Without it each replica counts alone.
///
/// # Errors
/// The address cannot be bound, or a setting that is valid in itself cannot be used.
pub fn listen<S: Service>(
    context: ServeContext,
    redis: Option<&SecretString>,
    build: impl FnOnce(Server) -> Server,
) -> Result<(), SetupError> {
    let ServeContext { lifecycle, roles, insecure_local, http, auth, .. } = context;
    let mut server =
        build(Server::configured(S::NAME, &http, auth, insecure_local, redis)?.openapi(S::openapi))
            .health_of_limiter();
    if !roles.api {
        server = server.probes_only();
    }
    let server = server.bind((http.host, http.port))?;
    lifecycle.spawn("http", server.run(lifecycle.stop_announced(), lifecycle.stopping()));
    Ok(())
}

impl Server {
    /// A server with the configured credentials, limits and ports, for the service with the scopes `<service>:…`.
    /// Replicas share their rate limits in `redis`. Without it each replica counts alone.
    ///
    /// # Errors
    /// A setting that is valid in itself cannot be used.
    fn configured(
        service: &'static str,
        http: &Http,
        auth: Auth,
        insecure_local: bool,
        redis: Option<&SecretString>,
    ) -> Result<Self, SetupError> {
        let authenticator = Authenticator::new(service)
            .jwt_secret(auth.jwt_secret.as_ref())
            .jwks(auth.jwks_url.clone())?
            .api_keys(auth.into_api_keys())
            .insecure_local(insecure_local);
        let internal = http.internal_port.map(|port| SocketAddr::from((http.host, port)));
        let server = Self::new(authenticator)
            .limiter(Limiter::new(service, http.rate_limit, redis)?)
            .internal(internal)
            .drain(http.shutdown_drain);
        match &http.tls {
            Some(files) => server.tls(files.clone()).map_err(SetupError::Tls),
            None => Ok(server),
        }
    }
}
