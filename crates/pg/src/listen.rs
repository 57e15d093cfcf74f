//! Connections that are woken by NOTIFY.

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
/// A topic is woken by `SELECT pg_notify('<topic>_' || current_schema(), '')`: once for each transaction that commits, however
/// often the transaction says so.
#[derive(Debug)]
pub struct Listener {
    /// The connection, free for statements.
    pub client: Client,
    /// Notified for each notification; several that come close together may be one.
    pub woken: Arc<Notify>,
    driver: AbortOnDropHandle<()>,
}

impl Listener {
    /// Opens a connection of its own and listens.
    ///
    /// # Errors
    /// When the URL is malformed, or the server cannot be reached or refuses.
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
        // However the driver ended, nobody reads the connection any more.
        let _ended = self.driver.await;
    }
}

impl Pool {
    /// Notifies `woken` of each notification of a topic, for as long as it is polled. Opens a connection beside the pool, and
    /// another when that is lost; notifications of the time between are lost, so that whoever waits also polls.
    pub async fn wake_on(&self, topic: &str, woken: Arc<Notify>) {
        let mut failures = 0;
        loop {
            match Listener::with(&self.opener, topic, Arc::clone(&woken)).await {
                Ok(listener) => {
                    failures = 0;
                    // For what was notified before.
                    woken.notify_one();
                    listener.lost().await;
                    tracing::debug!(topic, "connection that listens was lost; will reconnect");
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
