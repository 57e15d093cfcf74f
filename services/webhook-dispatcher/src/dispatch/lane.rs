//! One endpoint's share of the work.
//!
//! A lane bounds the requests in flight and the unconfirmed deliveries, which are sent and not yet known to be recorded.
//! The first bound limits the endpoint's load. The second, the window, limits the repeats of a crash. Both begin small, grow
//! while the endpoint answers at once, and are reset by a failure.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use domain::{Chain, panic_as_error};
use pg::sealed::SealError;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Job;
use super::endpoints::{Endpoint, Endpoints, LookupError};
use super::recorder::{Handed, Recorder};
use super::send::{Sender, Sent};
use super::window::Window;
use crate::domain::health::OPENS_AFTER;
use crate::state::State;
use crate::store::outcomes::{Ending, Outcome};

/// The requests in flight are at most the window divided by this, and never less than the window at rest.
const UNDER_WAY: usize = 4;
/// The most recorded outcomes that are processed together.
const NOTES: usize = 128;
/// An answer within this is one at once; one that takes longer than [`SLOW`] is like a failure.
const AT_ONCE: Duration = Duration::from_millis(100);
const SLOW: Duration = Duration::from_secs(1);

/// The wait before a retry of deliveries whose receiver cannot be looked up, or needs a key that this process lacks.
const LOOKUP_WAIT: Duration = Duration::from_secs(5);

/// What is left of a lease when an attempt ends in the worst case: time to record it.
const RECORDING: Duration = Duration::from_secs(5);

/// What every lane works with.
#[derive(Debug, Clone)]
pub(super) struct Tools {
    pub(super) state: State,
    pub(super) sender: Sender,
    pub(super) endpoints: Arc<Endpoints>,
    pub(super) recorder: Recorder,
    /// The most unconfirmed deliveries of one endpoint.
    pub(super) max_window: usize,
    pub(super) stop: CancellationToken,
}

struct Lane {
    tools: Tools,
    id: Uuid,
    waiting: VecDeque<Job>,
    under_way: JoinSet<Sent>,
    recorded: mpsc::UnboundedSender<()>,
    unconfirmed: usize,
    /// The bound on unconfirmed deliveries.
    window: Window,
    /// Whether the last answer came at once.
    is_quick: bool,
    /// True when the last answer was a success and not slow.
    is_well: bool,
    failures: i32,
}

/// Delivers one subscription's jobs until their sender is gone and all are delivered, or until the stop. At the stop, waiting
/// jobs are released for other replicas, and requests in flight end and are recorded.
pub(super) async fn work(tools: Tools, id: Uuid, mut jobs: mpsc::UnboundedReceiver<Job>) {
    let (recorded, mut told) = mpsc::unbounded_channel();
    let stop = tools.stop.clone();
    let window = Window::new(tools.max_window);
    let mut lane = Lane {
        tools,
        id,
        waiting: VecDeque::new(),
        under_way: JoinSet::new(),
        recorded,
        unconfirmed: 0,
        window,
        is_quick: false,
        is_well: false,
        failures: 0,
    };
    let mut notes = Vec::new();
    let mut is_open = true;
    while is_open || !lane.waiting.is_empty() || lane.unconfirmed > 0 {
        tokio::select! {
            () = stop.cancelled() => break,
            job = jobs.recv(), if is_open => match job {
                Some(job) => {
                    lane.waiting.push_back(job);
                    while let Ok(job) = jobs.try_recv() {
                        lane.waiting.push_back(job);
                    }
                }
                None => is_open = false,
            },
            Some(ended) = lane.under_way.join_next() => lane.ended(ended),
            number = told.recv_many(&mut notes, NOTES) => {
                notes.clear();
                lane.recorded_so_many(number);
            }
        }
        if stop.is_cancelled() {
            break;
        }
        lane.start().await;
    }
    // Nothing more is sent after the stop.
    jobs.close();
    while let Some(job) = lane.waiting.pop_front().or_else(|| jobs.try_recv().ok()) {
        lane.tools.recorder.release(job, lane.tools.state.now());
    }
    while let Some(ended) = lane.under_way.join_next().await {
        lane.ended(ended);
    }
}

impl Lane {
    /// Starts what may be started.
    async fn start(&mut self) {
        if self.waiting.is_empty() || self.unconfirmed >= self.window.size() {
            return;
        }
        let endpoint = match panic_as_error(self.tools.endpoints.get(self.id)).await {
            Ok(Some(endpoint)) => endpoint,
            Ok(None) => {
                self.give_back(Ending::Cancelled, Some(("inactive", "the subscription is not active")));
                return;
            }
            Err(LookupError::Seal(error @ SealError::UnknownKey(_))) => {
                tracing::warn!(subscription = %self.id, %error, "deliveries released: an encryption key is missing");
                let again = self.tools.state.now() + LOOKUP_WAIT;
                self.give_back(Ending::Again(again), Some(("encryption_key_missing", &error.to_string())));
                return;
            }
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "a receiver cannot be looked up; its deliveries wait");
                self.give_back(Ending::Again(self.tools.state.now() + LOOKUP_WAIT), None);
                // Not at once again: everything handed over would run through here.
                let pause = tokio::time::sleep(Duration::from_secs(1));
                let _stopped = self.tools.stop.run_until_cancelled(pause).await;
                return;
            }
        };
        if self.tools.stop.is_cancelled() {
            return;
        }
        let places = if self.failures >= OPENS_AFTER {
            // What was handed over before its circuit was seen to be open: no more than one of it is tried.
            1
        } else {
            endpoint
                .max_concurrency
                .unwrap_or_else(|| (self.window.size() / UNDER_WAY).max(self.window.at_rest()))
        };
        while self.under_way.len() < places
            && self.unconfirmed < self.window.size()
            && let Some(job) = self.waiting.pop_front()
        {
            let now = self.tools.state.now();
            if now + endpoint.timeout + RECORDING > job.leased_until {
                // The job waited too long: its lease may end before the request does. If its endpoint is healthy, the
                // released job is claimed again at once. Otherwise it would only wait here again, so it keeps its lease.
                if self.is_well {
                    self.tools.recorder.release(job, now);
                }
                continue;
            }
            self.unconfirmed += 1;
            self.send(&endpoint, job);
        }
    }

    fn send(&mut self, endpoint: &Arc<Endpoint>, job: Job) {
        failpoint::hit("webhook.before_send");
        let (sender, endpoint, now) =
            (self.tools.sender.clone(), Arc::clone(endpoint), self.tools.state.now());
        self.under_way.spawn(async move { sender.send(&endpoint, job, now).await });
    }

    /// Only what is recorded makes room for more: before anything is, a crash repeats the fewest.
    fn recorded_so_many(&mut self, number: usize) {
        self.unconfirmed = self.unconfirmed.saturating_sub(number);
        if self.is_quick {
            self.window.grow(number);
        }
    }

    /// Hands the outcome in, and learns from it.
    fn ended(&mut self, ended: Result<Sent, tokio::task::JoinError>) {
        let sent = match ended {
            Ok(sent) => sent,
            Err(error) => {
                tracing::error!(%error, "an attempt panicked; its lease ends by itself");
                self.unconfirmed = self.unconfirmed.saturating_sub(1);
                return;
            }
        };
        failpoint::hit("webhook.after_send");
        let is_success = sent.outcome.ending == Ending::Success;
        self.is_quick = is_success && sent.took <= AT_ONCE;
        self.is_well = is_success && sent.took <= SLOW;
        if !self.is_well {
            self.window.reset();
        }
        self.failures = match sent.outcome.pause_seconds {
            _ if is_success => 0,
            Some(_pause) => self.failures.max(OPENS_AFTER),
            None => self.failures.saturating_add(1),
        };
        self.hand_in(sent.job, sent.outcome);
        if self.failures >= OPENS_AFTER {
            // The circuit opens with this outcome; what waits here is let through by it, in its turn.
            self.give_back(Ending::Postponed, None);
        }
    }

    /// Hands in all that waits here as not tried.
    fn give_back(&mut self, ending: Ending, error: Option<(&'static str, &str)>) {
        let now = self.tools.state.now();
        while let Some(job) = self.waiting.pop_front() {
            let mut outcome = job.outcome(ending, now);
            outcome.answer.error = error.map(|(class, text)| (class, text.to_owned()));
            self.unconfirmed += 1;
            self.hand_in(job, outcome);
        }
    }

    fn hand_in(&self, job: Job, outcome: Outcome) {
        self.tools.recorder.hand_in(Handed {
            outcome,
            is_in_order: job.is_in_order,
            slot: job.slot,
            recorded: self.recorded.clone(),
        });
    }
}
