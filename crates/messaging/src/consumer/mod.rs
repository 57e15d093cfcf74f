//! The consumer of a service: reads events in batches and applies each once.

mod apply;
mod session;

use std::fmt::Debug;
use std::time::Duration;

use domain::events::Envelope;
use domain::topology::Subscriber;
use domain::{Chain, backoff, panic_as_error};
use tokio_util::sync::CancellationToken;

use crate::Broker;

/// Applies the events of a service.
pub trait Handler: Send + Sync + 'static {
    /// The name in the inbox. An event has one effect per name.
    const NAME: &'static str;
    /// Passed from [`Handler::handle`] to [`Handler::committed`].
    type Effect: Send;

    /// Applies new events, inside the transaction that inserts their inbox rows. It must have no effect outside the
    /// database: the transaction may still be rolled back.
    ///
    /// # Errors
    /// The batch could not be applied. It is bisected down to the event at fault. A panic is a [`Failure::Retry`] with
    /// the panic's message.
    fn handle(
        &self,
        conn: &mut pg::Connection,
        events: &[&Envelope],
    ) -> impl Future<Output = Result<Self::Effect, Failure>> + Send;

    /// Current limit of events per transaction, in addition to [`Consumer::batch`].
    fn most(&self) -> usize {
        usize::MAX
    }

    /// Called after the commit and before the acknowledgement. A crash may prevent the call, and a panic in it does no
    /// harm. The next batch is read after it returns.
    fn committed(&self, effect: Self::Effect) -> impl Future<Output = ()> + Send;
}

/// The reason why events could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A dependency is unavailable. The events are not at fault: they are held and retried.
    #[error("{0}")]
    Unavailable(String),
    /// A collision with other transactions. The batch is retried a few times as a whole and is then bisected. An event
    /// that collides alone is retried later, as after [`Failure::Retry`].
    #[error("{0}")]
    Collision(String),
    /// A failure that may pass. The event is delivered again after 5 s, 1 min and three times 10 min, and is then
    /// dead-lettered.
    #[error("{0}")]
    Retry(String),
    /// A permanent error. The event is dead-lettered with this reason.
    #[error("{0}")]
    Reject(String),
}

impl From<pg::Error> for Failure {
    fn from(error: pg::Error) -> Self {
        let reason = Chain(&error).to_string();
        if error.is_unavailable() {
            Self::Unavailable(reason)
        } else if matches!(error, pg::Error::Collision(_)) {
            Self::Collision(reason)
        } else if error.is_permanent() {
            Self::Reject(reason)
        } else {
            Self::Retry(reason)
        }
    }
}

impl From<diesel::result::Error> for Failure {
    fn from(error: diesel::result::Error) -> Self {
        pg::Error::from(error).into()
    }
}

/// The events that a service consumes, and the size of its batches.
#[derive(Debug, Clone, Copy)]
pub struct Consumer {
    /// The subscriber. Those of our services are in [`domain::topology::SUBSCRIBERS`].
    pub subscriber: Subscriber,
    /// Maximum number of events per transaction. A single event is applied at once. Batches grow with the load.
    pub batch: u16,
}

impl Consumer {
    /// Consumes until `stop`, and finishes the current batch. Reconnects after any failure. Consumes nothing while the
    /// process must not claim work ([`pg::Pool::guard`]).
    pub async fn run<H: Handler>(self, broker: Broker, pool: pg::Pool, handler: H, stop: CancellationToken) {
        let mut failures = 0_u32;
        while stop.run_until_cancelled(pool.until_fit()).await.is_some() {
            // A process that must not claim work releases its messages, so that others can consume them.
            let end = stop.child_token();
            let session = panic_as_error(self.session(&broker, &pool, &handler, &end, &mut failures));
            let unfit = async {
                pool.until_unfit().await;
                end.cancel();
                std::future::pending().await
            };
            let ended = tokio::select! {
                ended = session => ended,
                never = unfit => never,
            };
            if let Err(error) = ended {
                failures += 1;
                tracing::warn!(error = %Chain(&error), "consumer failed; will reconnect");
            }
            let pause =
                backoff::exponential(Duration::from_millis(200), failures.max(1), Duration::from_secs(10));
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}
