//! Opens connections with bounded waits and an early detection of a dead peer.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{Error, tls};

/// Time limit of a connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Unacknowledged data older than this ends the connection (TCP_USER_TIMEOUT).
const TCP_TIMEOUT: Duration = Duration::from_secs(15);
/// Idle time after which the peer is probed.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);

/// Opens connections with the same settings.
#[derive(Clone)]
pub(crate) struct Opener {
    pub(crate) config: Config,
    tls: MakeRustlsConnect,
}

/// The future that drives a connection.
pub type Connected =
    tokio_postgres::Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

impl Opener {
    /// Parses a connection URL and adds the limits of every connection.
    ///
    /// # Errors
    /// The URL is malformed, or the certificates it names cannot be read.
    pub(crate) fn new(url: &SecretString, application_name: &str) -> Result<Self, Error> {
        let (url, options) = tls::split(url.expose_secret())?;
        let mut config: Config = url.parse().map_err(Error::Url)?;
        config
            .ssl_mode(options.mode)
            .application_name(application_name)
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_user_timeout(TCP_TIMEOUT)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_IDLE)
            .keepalives_retries(3);
        Ok(Self { config, tls: options.connector()? })
    }

    pub(crate) async fn open(&self) -> Result<(Client, Connected), tokio_postgres::Error> {
        self.config.connect(self.tls.clone()).await
    }
}

/// Opens a plain connection outside the pool, for uses that need their own (advisory locks, LISTEN, COPY).
///
/// The second part drives the connection: spawn or poll it. It yields notices and notifications, and ends with the
/// connection.
///
/// # Errors
/// The URL is malformed, or the server cannot be reached.
pub async fn connect(url: &SecretString, application_name: &str) -> Result<(Client, Connected), Error> {
    Opener::new(url, application_name)?.open().await.map_err(Error::Connect)
}
