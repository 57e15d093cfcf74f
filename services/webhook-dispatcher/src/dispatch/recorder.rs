//! Writes outcomes down: whatever has come in while the statement before was under way goes into the next one.

use std::time::Duration;

use domain::{Chain, backoff, catch_panic, panic_as_error};
use time::OffsetDateTime;
use tokio::sync::mpsc;

use super::{Job, Slot, record_outcomes};
use crate::state::State;
use crate::store::outcomes::{Ending, Outcome};

/// Outcomes in one statement, at most.
const BATCH: usize = 1000;
/// Tries of a set that fails although the database is available.
const SET_TRIES: u32 = 5;

/// Where outcomes are handed in. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Recorder(mpsc::UnboundedSender<Handed>);

/// An outcome on its way to be recorded.
#[derive(Debug)]
pub(super) struct Handed {
    pub(super) outcome: Outcome,
    /// Whether another delivery may wait for this one's end.
    pub(super) is_in_order: bool,
    /// Free when it is recorded.
    pub(super) slot: Slot,
    /// Who is told that it is recorded.
    pub(super) recorded: mpsc::UnboundedSender<()>,
}

impl Recorder {
    /// The hand-in, and the work behind it, which ends when every hand-in is gone.
    pub(super) fn new(state: State) -> (Self, impl Future<Output = ()>) {
        let (handed_in, received) = mpsc::unbounded_channel();
        (Self(handed_in), write(state, received))
    }

    /// Releases an unsent job, so that any replica can claim it.
    pub(super) fn release(&self, job: Job, now: OffsetDateTime) {
        let (recorded, _nobody) = mpsc::unbounded_channel();
        let outcome = job.outcome(Ending::Postponed, now);
        self.hand_in(Handed { outcome, is_in_order: job.is_in_order, slot: job.slot, recorded });
    }

    /// Hands an outcome in. It is bounded by what may be in doubt of each subscription.
    pub(super) fn hand_in(&self, handed: Handed) {
        // A recorder that ended has recorded what it could.
        let _ended = self.0.send(handed);
    }
}

async fn write(state: State, mut received: mpsc::UnboundedReceiver<Handed>) {
    let mut batch = Vec::with_capacity(BATCH);
    while received.recv_many(&mut batch, BATCH).await > 0 {
        let (outcomes, waiting): (Vec<Outcome>, Vec<_>) =
            batch.drain(..).map(|it| (it.outcome, (it.slot, it.recorded, it.is_in_order))).unzip();
        record(&state, &outcomes).await;
        failpoint::hit("webhook.after_record");
        for (slot, recorded, is_in_order) in waiting {
            if is_in_order {
                slot.nudge();
            }
            drop(slot);
            // Nobody waits any more when the process ends.
            let _gone = recorded.send(());
        }
    }
}

/// Records outcomes, and retries without a limit while the database is unavailable. Until then nothing more is sent to these
/// receivers, because unrecorded deliveries would be repeated. A set that fails for another reason is bisected down to the
/// outcome at fault: at once if it panics or can never be stored, else after [`SET_TRIES`] tries. That outcome's delivery is
/// marked failed.
async fn record(state: &State, outcomes: &[Outcome]) {
    let mut sets = vec![(outcomes, 1)];
    let mut failures = 0_u32;
    while let Some((set, tries)) = sets.pop() {
        let (reason, is_final) = match catch_panic(record_outcomes::write(state, set)).await {
            Ok(Ok(())) => {
                failures = 0;
                continue;
            }
            Ok(Err(error)) if error.is_unavailable() => (Chain(&error).to_string(), false),
            Ok(Err(error)) => (Chain(&error).to_string(), error.is_permanent() || tries >= SET_TRIES),
            Err(panic) => (panic.to_string(), set.len() > 1 || tries >= SET_TRIES),
        };
        match set {
            _ if !is_final => {
                failures += 1;
                sets.push((set, tries + 1));
                tracing::warn!(reason, outcomes = set.len(), "outcomes not recorded; will retry");
                let pause =
                    backoff::exponential(Duration::from_millis(100), failures, Duration::from_secs(5));
                tokio::time::sleep(pause).await;
            }
            [] => {}
            [outcome] => mark_failed(state, outcome, &reason).await,
            set => {
                let (earlier, later) = set.split_at(set.len() / 2);
                sets.extend([(later, 1), (earlier, 1)]);
            }
        }
    }
}

/// Marks the delivery of an outcome that cannot be recorded as failed: otherwise it would be sent again and again. One that
/// was not sent is claimed again when its lease ends.
async fn mark_failed(state: &State, outcome: &Outcome, reason: &str) {
    let (delivery, subscription) = (outcome.delivery_id, outcome.subscription_id);
    if outcome.attempt == 0 {
        tracing::error!(reason, %delivery, %subscription, "release not recorded; the lease ends by itself");
        return;
    }
    match panic_as_error(record_outcomes::fail(state, outcome, reason)).await {
        Ok(()) => {
            tracing::error!(reason, %delivery, %subscription, "outcome not recorded; the delivery is marked failed");
        }
        Err(error) => {
            let error = Chain(&error);
            tracing::error!(reason, %error, %delivery, %subscription, "outcome not recorded; the delivery will be sent again");
        }
    }
}
