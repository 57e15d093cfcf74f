//! HTTP clients.

use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};

use crate::resend::GuardedClient;
use crate::ssrf::Resolver;
use crate::tls::{Tls, TlsError};

/// Idle connections are closed before the usual 60 s of servers and balancers, so that none is used half-closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// Maximum size of an answer's headers over HTTP/2. Over HTTP/1.1 the library's own limit is 400 KiB and a hundred
/// headers.
const HEADER_BYTES: u32 = 64 * 1024;

/// Settings of a client.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The `User-Agent`.
    pub user_agent: String,
    /// Time limit of connecting, including TLS.
    pub connect_timeout: Duration,
    /// Time limit of a whole request, including the last byte of the body.
    pub timeout: Duration,
}

/// The reason why a client cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user agent is not a valid header, or the system's authorities cannot be loaded.
    #[error("the HTTP client cannot be built")]
    Client(#[from] reqwest::Error),
    /// The configured certificates or key are invalid.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A client for addresses of our own configuration.
///
/// # Errors
/// The user agent is not a valid header, or the TLS roots cannot be loaded.
pub fn client(settings: &Settings) -> Result<Client, Error> {
    Ok(builder(settings).build()?)
}

/// Clients for addresses that users supply. They connect only to the addresses that the resolver permits: the guard
/// itself looks names up, once per connection, so that the result cannot change in between. Bodies are not
/// decompressed. Requests are not repeated, except as [`GuardedClient::send`] states.
///
/// The URL must have passed [`crate::ssrf::Guard::check_url`] too: a literal address is never looked up.
#[derive(Debug, Clone)]
pub struct Clients {
    settings: Settings,
    resolver: Resolver,
    usual: GuardedClient,
}

impl Clients {
    /// Creates the shared client.
    ///
    /// # Errors
    /// As [`client`].
    pub fn new(settings: Settings, resolver: Resolver) -> Result<Self, Error> {
        let usual = GuardedClient::new(|| Ok(guarded(&settings, &resolver)))?;
        Ok(Self { settings, resolver, usual })
    }

    /// The shared client, with its open connections.
    pub fn usual(&self) -> GuardedClient {
        self.usual.clone()
    }

    /// A client with its own certificates and connections.
    ///
    /// # Errors
    /// A certificate or a key is invalid.
    pub fn with(&self, tls: &Tls) -> Result<GuardedClient, Error> {
        let config = tls.config()?;
        let builder =
            || Ok(guarded(&self.settings, &self.resolver).tls_backend_preconfigured(config.clone()));
        Ok(GuardedClient::new(builder)?)
    }
}

fn guarded(settings: &Settings, resolver: &Resolver) -> ClientBuilder {
    builder(settings)
        .dns_resolver(Arc::new(resolver.clone()))
        .no_gzip()
        .retry(reqwest::retry::never())
        .http2_max_header_list_size(HEADER_BYTES)
}

fn builder(settings: &Settings) -> ClientBuilder {
    // The first caller installs the process's TLS provider; later calls have no effect.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .user_agent(&settings.user_agent)
        .connect_timeout(settings.connect_timeout)
        .timeout(settings.timeout)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .tcp_nodelay(true)
        .redirect(Policy::none())
        .no_proxy()
}
