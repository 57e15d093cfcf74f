//! A service's consumer: takes events in batches and applies each once.

mod apply;
mod session;

use std::fmt::Debug;
use std::time::Duration;

use domain::events::Envelope;
use domain::topology::Subscriber;
use domain::{Chain, backoff, panic_as_error};
use tokio_util::sync::CancellationToken;

use crate::Broker;

/// What a service does with events.
pub trait Handler: Send + Sync + 'static {
    /// The name in the inbox: one event has one effect per name.
    const NAME: &'static str;
    /// What [`Handler::committed`] is told.
    type Effect: Send;

    /// Applies events never seen before, inside the transaction that holds their inbox rows. Nothing may leave
    /// the database here: the transaction may still be rolled back.
    ///
    /// # Errors
    /// The batch as a whole could not be applied; it is then bisected down to the event at fault. A panic is a
    /// [`Failure::Retry`] with the panic's message.
    fn handle(
        &self,
        conn: &mut pg::Connection,
        events: &[&Envelope],
    ) -> impl Future<Output = Result<Self::Effect, Failure>> + Send;

    /// How many events it wants in one transaction now, at most, where it wants fewer than the consumer would hand over.
    fn most(&self) -> usize {
        usize::MAX
    }

    /// Called after the commit and before the acknowledgement; may never be called, and may panic, without harm. No further
    /// events are dispatched before it returns.
    fn committed(&self, effect: Self::Effect) -> impl Future<Output = ()> + Send;
}

/// Why events could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A dependency is away: the events are not at fault, they are held and tried again.
    #[error("{0}")]
    Unavailable(String),
    /// Collided with other transactions. The batch is applied again a few times as a whole and is then bisected; an event that
    /// collides alone is retried later, as after [`Failure::Retry`].
    #[error("{0}")]
    Collision(String),
    /// Did not work this time: the event comes again after 5 s, 1 min, 10 min; then it is dead-lettered.
    #[error("{0}")]
    Retry(String),
    /// Will never work: the event is dead-lettered with this reason.
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

/// Which events a service wants, and how many at once.
#[derive(Debug, Clone, Copy)]
pub struct Consumer {
    /// Who wants what; a service of ours stands in [`domain::topology::SUBSCRIBERS`].
    pub subscriber: Subscriber,
    /// Events per transaction, at most. An event that comes alone is applied at once; batches grow with the load by
    /// themselves.
    pub batch: u16,
}

impl Consumer {
    /// Consumes until `stop` and finishes the current batch. Reconnects after any failure. Consumes nothing while the process
    /// must not claim work ([`pg::Pool::guard`]).
    pub async fn run<H: Handler>(self, broker: Broker, pool: pg::Pool, handler: H, stop: CancellationToken) {
        let mut failures = 0_u32;
        while stop.run_until_cancelled(pool.until_fit()).await.is_some() {
            // When the process must not work any more, it releases messages that others can consume.
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
                tracing::warn!(error = %Chain(&error), "consuming was interrupted; what was not acknowledged comes again");
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
