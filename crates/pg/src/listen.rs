//! Connections that listen for NOTIFY.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use domain::{Chain, backoff};
use secrecy::SecretString;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client};
use tokio_util::task::AbortOnDropHandle;

use crate::connection::Opener;
use crate::{Error, Pool};

/// A connection that listens to one topic of its own schema.
///
/// `SELECT pg_notify('<topic>_' || current_schema(), '')` wakes the listeners of a topic: once per transaction that commits,
/// however often the transaction calls it.
#[derive(Debug)]
pub struct Listener {
    /// The connection, which can run statements.
    pub client: Client,
    /// Notified for each notification. Several within a short time may be merged.
    pub woken: Arc<Notify>,
    driver: AbortOnDropHandle<()>,
}

impl Listener {
    /// Opens a connection and listens.
    ///
    /// # Errors
    /// The URL is malformed, or the server cannot be reached or rejects the connection.
    pub async fn open(url: &SecretString, application_name: &str, topic: &str) -> Result<Self, Error> {
        Self::with(&Opener::new(url, application_name)?, topic, Arc::default()).await
    }

    async fn with(opener: &Opener, topic: &str, woken: Arc<Notify>) -> Result<Self, Error> {
        let (client, mut connection) = opener.open().await.map_err(Error::Connect)?;
        let notified = Arc::clone(&woken);
        let driver: JoinHandle<()> = tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if matches!(message, AsyncMessage::Notification(_)) {
                    notified.notify_one();
                }
            }
        });
        let driver = AbortOnDropHandle::new(driver);
        let schema = client.query_one("SELECT current_schema()::text", &[]).await.map_err(Error::Connect)?;
        let schema: String = schema.try_get(0).map_err(Error::Connect)?;
        client.batch_execute(&format!("LISTEN \"{topic}_{schema}\"")).await.map_err(Error::Connect)?;
        Ok(Self { client, woken, driver })
    }

    /// Returns when the connection is lost.
    async fn lost(self) {
        // Without the driver the connection is not read any more.
        let _ended = self.driver.await;
    }
}

impl Pool {
    /// Notifies `woken` of each notification of a topic, while it is polled. Opens a connection outside the pool, and
    /// another one when that is lost. Notifications in between are lost, so that the caller must also poll.
    pub async fn wake_on(&self, topic: &str, woken: Arc<Notify>) {
        let mut failures = 0;
        loop {
            match Listener::with(&self.opener, topic, Arc::clone(&woken)).await {
                Ok(listener) => {
                    failures = 0;
                    // For notifications before the LISTEN.
                    woken.notify_one();
                    listener.lost().await;
                    tracing::debug!(topic, "listening connection was lost; will reconnect");
                }
                Err(error) => {
                    tracing::debug!(topic, error = %Chain(&error), "cannot listen; will retry");
                }
            }
            failures += 1;
            let pause = backoff::exponential(Duration::from_millis(500), failures, Duration::from_secs(15));
            tokio::time::sleep(pause).await;
        }
    }
}
