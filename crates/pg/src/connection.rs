//! How every connection is opened: bounded waits, and a dead peer noticed soon.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::{Config, NoTls};

use crate::Error;

/// A server that does not answer within this is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Unacknowledged data older than this ends the connection (TCP_USER_TIMEOUT).
const TCP_TIMEOUT: Duration = Duration::from_secs(15);
/// Silence after which the peer is probed.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);

/// Reads a connection URL and adds the bounds every connection has.
pub(crate) fn config(url: &SecretString, application_name: &str) -> Result<Config, Error> {
    let mut config: Config = url.expose_secret().parse().map_err(Error::Url)?;
    config
        .application_name(application_name)
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_user_timeout(TCP_TIMEOUT)
        .keepalives_idle(KEEPALIVE_IDLE)
        .keepalives_interval(KEEPALIVE_IDLE)
        .keepalives_retries(3);
    Ok(config)
}

/// Opens a plain connection beside the pool, for what needs one of its own (advisory locks, LISTEN, COPY).
///
/// The second part drives the connection: spawn or poll it; it yields notices and notifications, and ends when
/// the connection does.
///
/// # Errors
/// When the URL is malformed or the server cannot be reached.
pub async fn connect(
    url: &SecretString,
    application_name: &str,
) -> Result<
    (
        tokio_postgres::Client,
        tokio_postgres::Connection<tokio_postgres::Socket, tokio_postgres::tls::NoTlsStream>,
    ),
    Error,
> {
    config(url, application_name)?.connect(NoTls).await.map_err(Error::Connect)
}
