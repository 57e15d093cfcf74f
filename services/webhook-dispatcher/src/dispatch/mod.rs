//! From a delivery in hand to a recorded outcome.
//!
//! Accepted deliveries are handed over in memory, their rows leased; the [`scanner`] takes up what was not: retries,
//! what found no room, and what a dead process left. Each endpoint has a [`lane`], which bounds its requests in flight and,
//! by its [`window`], the deliveries that are sent and not yet recorded. A crash repeats no more than those. Outcomes of all
//! lanes are recorded together. A stop releases leased and unsent deliveries.

mod answer;
mod clients;
mod endpoints;
mod lane;
mod load;
mod record_outcomes;
mod recorder;
mod redaction;
mod run;
mod scanner;
mod send;
mod system_events;
mod window;

use bytes::Bytes;
use telemetry::TraceContext;
use time::OffsetDateTime;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::store::outcomes::{Answer, Ending, Outcome};

pub(crate) use clients::clients;
pub(crate) use load::{LEFT, Load, SET, Slot};
pub(crate) use run::run;
pub(crate) use scanner::{POLL, scan};

/// A lease is a subscription's own timeout and this.
pub(crate) const LEASE_MARGIN_SECONDS: i32 = 10;

/// A delivery in this process's hands.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) delivery_id: Uuid,
    pub(crate) subscription_id: Uuid,
    pub(crate) message_id: Uuid,
    pub(crate) body: Bytes,
    /// The trace the event belongs to.
    pub(crate) trace: Option<TraceContext>,
    pub(crate) attempts: i32,
    /// Of them, those of earlier runs: the schedule begins after them.
    pub(crate) attempts_before: i32,
    pub(crate) claim: i32,
    /// Whether others of its key wait for its end.
    pub(crate) is_in_order: bool,
    pub(crate) leased_until: OffsetDateTime,
    /// Start of its current run of attempts.
    pub(crate) run_started_at: OffsetDateTime,
    /// When it was taken in; none where somebody has set it going again since.
    pub(crate) accepted_at: Option<OffsetDateTime>,
    pub(crate) slot: Slot,
}

impl Job {
    /// An outcome of this job, of no attempt.
    fn outcome(&self, ending: Ending, now: OffsetDateTime) -> Outcome {
        Outcome {
            delivery_id: self.delivery_id,
            subscription_id: self.subscription_id,
            claim: self.claim,
            attempt: 0,
            attempted_at: now,
            duration_ms: 0,
            ending,
            answer: Answer::default(),
            pause_seconds: None,
        }
    }
}

/// Where jobs are handed over.
#[derive(Debug, Clone)]
pub(crate) struct Dispatcher(mpsc::UnboundedSender<Job>);

impl Dispatcher {
    /// The two ends of the hand-over. It is bounded by [`Load`]: there is no job without a slot.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Job>) {
        let (jobs, received) = mpsc::unbounded_channel();
        (Self(jobs), received)
    }

    /// Dispatches a job. If the dispatcher has panicked, the job stays leased until its lease ends.
    pub(crate) fn hand_over(&self, job: Job) {
        let _ends = self.0.send(job);
    }
}
