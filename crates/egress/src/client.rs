//! HTTP clients.

use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};

use crate::ssrf::{Guard, GuardedResolver};

/// Idle connections are closed before the usual 60 s of servers and balancers, so that none is used half-closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

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
#[error("the HTTP client cannot be built")]
pub struct Error(#[from] reqwest::Error);

/// A client for addresses from our own configuration.
///
/// # Errors
/// When the user agent is no valid header or the TLS roots cannot be loaded.
pub fn client(settings: &Settings) -> Result<Client, Error> {
    Ok(builder(settings).build()?)
}

/// A client for addresses that came from outside. The addresses `guard` permits are the ones connected to: names
/// are looked up by the guard itself, once per connection, so that an answer cannot change in between.
///
/// The URL must have passed [`Guard::check_url`] too: an address written as a literal is never looked up.
///
/// # Errors
/// As [`client`].
pub fn guarded_client(settings: &Settings, guard: &Guard) -> Result<Client, Error> {
    Ok(builder(settings).dns_resolver(Arc::new(GuardedResolver::new(guard.clone()))).build()?)
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
