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

/// What the headers of an answer may take over HTTP/2; over HTTP/1.1 the library's own bound is 400 KiB and a hundred.
const HEADER_BYTES: u32 = 64 * 1024;

/// How a client behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who we say we are.
    pub user_agent: String,
    /// How long connecting may take, TLS included.
    pub connect_timeout: Duration,
    /// How long a whole request may take, the body's last byte included.
    pub timeout: Duration,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user agent is no valid header, or the usual authorities cannot be loaded.
    #[error("the HTTP client cannot be built")]
    Client(#[from] reqwest::Error),
    /// The configured certificates or key are invalid.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A client for addresses from our own configuration.
///
/// # Errors
/// When the user agent is no valid header or the TLS roots cannot be loaded.
pub fn client(settings: &Settings) -> Result<Client, Error> {
    Ok(builder(settings).build()?)
}

/// Clients for addresses that came from outside. The addresses the resolver permits are the ones connected to: names
/// are looked up by the guard itself, once per connection, so that an answer cannot change in between. What is read is
/// what was sent: nothing is unpacked. Nothing is sent twice, but for what [`GuardedClient::send`] says.
///
/// The URL must have passed [`crate::ssrf::Guard::check_url`] too: an address written as a literal is never looked up.
#[derive(Debug, Clone)]
pub struct Clients {
    settings: Settings,
    resolver: Resolver,
    usual: GuardedClient,
}

impl Clients {
    /// Makes the usual client.
    ///
    /// # Errors
    /// As [`client`].
    pub fn new(settings: Settings, resolver: Resolver) -> Result<Self, Error> {
        let usual = GuardedClient::new(|| Ok(guarded(&settings, &resolver)))?;
        Ok(Self { settings, resolver, usual })
    }

    /// The client everybody shares, with its open connections.
    pub fn usual(&self) -> GuardedClient {
        self.usual.clone()
    }

    /// A client of somebody's own, with connections of its own.
    ///
    /// # Errors
    /// When a certificate or a key is none.
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
    // The first caller installs the process's TLS provider; a later call finds it there.
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
