//! Writes outcomes down: whatever has come in while the statement before was under way goes into the next one.

use std::time::Duration;

use domain::{Chain, backoff};
use tokio::sync::{mpsc, oneshot};

use crate::state::State;
use crate::store::outcomes::{self, Outcome};

/// Outcomes in one statement, at most.
const BATCH: usize = 1000;

/// Where outcomes are handed in. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Recorder(mpsc::UnboundedSender<(Outcome, oneshot::Sender<()>)>);

impl Recorder {
    /// The hand-in, and the work behind it, which ends when every hand-in is gone.
    pub(super) fn new(state: State) -> (Self, impl Future<Output = ()>) {
        let (handed_in, received) = mpsc::unbounded_channel();
        (Self(handed_in), write(state, received))
    }

    /// Returns when the outcome is recorded.
    pub(super) async fn record(&self, outcome: Outcome) {
        let (done, recorded) = oneshot::channel();
        if self.0.send((outcome, done)).is_ok() {
            // A recorder that ended has recorded what it could.
            let _recorded = recorded.await;
        }
    }
}

async fn write(state: State, mut received: mpsc::UnboundedReceiver<(Outcome, oneshot::Sender<()>)>) {
    let mut batch = Vec::with_capacity(BATCH);
    while received.recv_many(&mut batch, BATCH).await > 0 {
        let (outcomes, waiting): (Vec<Outcome>, Vec<_>) = batch.drain(..).unzip();
        let mut failures = 0_u32;
        // Until it is recorded nothing more is sent to these receivers: what is not known to be delivered would
        // be delivered again.
        while let Err(error) = once(&state, &outcomes).await {
            failures += 1;
            tracing::warn!(error = %Chain(&error), outcomes = outcomes.len(), "outcomes wait to be recorded");
            let pause = backoff::exponential(Duration::from_millis(100), failures, Duration::from_secs(5));
            tokio::time::sleep(pause).await;
        }
        failpoint::hit("webhook.after_record");
        for done in waiting {
            // Nobody waits any more when the process ends.
            let _gone = done.send(());
        }
    }
}

async fn once(state: &State, outcomes: &[Outcome]) -> Result<(), pg::Error> {
    let now = state.now();
    state.pool.transaction(async |conn| outcomes::record(conn, outcomes, now).await).await
}
