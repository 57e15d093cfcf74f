//! The connection to RabbitMQ that a process shares.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lapin::options::BasicPublishOptions;
use lapin::uri::AMQPUri;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, PublisherConfirm};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::{Error, connection};

/// Time limit of connecting, opening a channel, and a confirm.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);
/// A peer that is silent for twice this time is considered dead (AMQP 0-9-1 §4.2.7).
const HEARTBEAT_SECONDS: u16 = 10;

/// One AMQP connection. It is opened at first use, and reopened after it breaks. Cheap to clone.
#[derive(Clone)]
pub struct Broker(Arc<Shared>);

struct Shared {
    uri: AMQPUri,
    name: String,
    connection: Mutex<Option<Connection>>,
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("name", &self.0.name).finish_non_exhaustive()
    }
}

impl Broker {
    /// Prepares a connection without opening it. `name` is shown in RabbitMQ's management pages.
    ///
    /// # Errors
    /// The URL is malformed.
    pub fn new(url: &SecretString, name: &str) -> Result<Self, Error> {
        let mut uri: AMQPUri = url.expose_secret().parse().map_err(Error::Url)?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        Ok(Self(Arc::new(Shared { uri, name: name.to_owned(), connection: Mutex::new(None) })))
    }

    /// Opens a channel, after the connection if that is not open.
    ///
    /// # Errors
    /// The broker cannot be reached, or rejects the connection.
    pub async fn channel(&self) -> Result<Channel, Error> {
        let opened = async {
            let mut held = self.0.connection.lock().await;
            let connection = match held.take() {
                Some(connection) if connection.status().connected() => connection,
                _broken => {
                    let properties =
                        ConnectionProperties::default().with_connection_name(self.0.name.as_str().into());
                    connection::open(self.0.uri.clone(), properties).await?
                }
            };
            // Stored before the channel is opened: if this future is dropped, the next caller uses the connection.
            Ok(held.insert(connection).create_channel().await?)
        };
        timeout(TIMEOUT, opened).await.unwrap_or(Err(Error::Timeout(TIMEOUT)))
    }

    /// Checks whether the broker answers.
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn ping(&self) -> Result<(), Error> {
        let channel = self.channel().await?;
        let closed = channel.close(200, "OK".into());
        timeout(TIMEOUT, closed).await.map_err(|_elapsed| Error::Timeout(TIMEOUT))??;
        Ok(())
    }
}

/// Publishes to a queue directly, as mandatory. Pass the result to [`confirmed`].
pub(crate) async fn publish(
    channel: &Channel,
    queue: &str,
    body: &[u8],
    properties: BasicProperties,
) -> Result<PublisherConfirm, Error> {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    Ok(channel.basic_publish("".into(), queue.into(), options, body, properties).await?)
}

/// Waits for the broker's confirm. A negative confirm or a returned message is an error.
pub(crate) async fn confirmed(published: PublisherConfirm, queue: &str) -> Result<(), Error> {
    let confirmation = timeout(TIMEOUT, published).await.map_err(|_elapsed| Error::Timeout(TIMEOUT))??;
    if !confirmation.is_ack() || confirmation.take_message().is_some() {
        return Err(Error::NotTaken(queue.to_owned()));
    }
    Ok(())
}
