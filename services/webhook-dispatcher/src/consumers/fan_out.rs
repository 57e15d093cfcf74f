//! Ingests events: each becomes a message and a delivery for each subscription that wants it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::events::Envelope;
use messaging::{Failure, Handler};
use telemetry::TraceContext;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::app::fan_out::{Audience, Event, Plan};
use crate::dispatch::{Dispatcher, Job, LEASE_MARGIN_SECONDS, LEFT, SET};
use crate::state::State;
use crate::store::fan_out::{self, NewDelivery};

/// Assumed number of deliveries of an event until the first batch is ingested.
const MANY: usize = 100;
/// What is given to each delivery just handed over, before more is taken in: 10,000 a second are always taken in,
/// however slow a receiver is.
const PATIENCE: std::time::Duration = std::time::Duration::from_micros(100);

/// Consumer of all events.
#[derive(Debug)]
pub(crate) struct FanOut {
    state: State,
    dispatcher: Dispatcher,
    /// Deliveries per event in the last batch.
    per_event: AtomicUsize,
}

/// The result of an ingested batch.
#[derive(Debug)]
pub(crate) struct Taken {
    /// Deliveries that this process has leased.
    jobs: Vec<Job>,
    /// Whether deliveries are left to the scanner.
    is_left: bool,
    /// Deliveries in hand before these.
    before: usize,
}

impl Handler for FanOut {
    const NAME: &'static str = "webhooks";
    type Effect = Taken;

    /// As many as make a set of deliveries that finds room in hand.
    fn most(&self) -> usize {
        SET / self.per_event.load(Ordering::Relaxed).max(1)
    }

    async fn handle(&self, conn: &mut pg::Connection, events: &[&Envelope]) -> Result<Self::Effect, Failure> {
        let audience = Audience::read(conn).await?;
        let now = self.state.now();
        let before = self.state.load.number();
        // An event without a trace continues ours if that is sampled.
        let ours = TraceContext::current().filter(TraceContext::is_sampled);
        let (mut plans, mut jobs) = (Vec::with_capacity(events.len()), Vec::new());
        for event in events {
            let plan = audience.plan(&self.state, &Event::from(*event).traced(ours.as_ref()));
            let mut plan = plan.map_err(|error| Failure::Reject(error.to_string()))?;
            self.take(&mut plan, now, &mut jobs);
            plans.push(plan);
        }
        if let Some(written) = fan_out::insert(conn, &plans, now).await? {
            // The others were ingested before.
            jobs.retain(|job| written.contains(&job.delivery_id));
        }
        let is_left = |it: &NewDelivery| it.skipped.is_none() && it.leased_until.is_none();
        let deliveries = || plans.iter().flat_map(|plan| &plan.deliveries);
        let is_left = deliveries().any(is_left);
        self.per_event.store(deliveries().count().div_ceil(events.len().max(1)), Ordering::Relaxed);
        Ok(Taken { jobs, is_left, before })
    }

    /// Waits until most of what was handed over is done: what finds no room when it is taken in has to be claimed, which
    /// costs as much again.
    async fn committed(&self, Taken { jobs, is_left, before }: Taken) {
        let load = &self.state.load;
        if is_left {
            load.nudge();
        }
        let patience = PATIENCE * u32::try_from(jobs.len()).unwrap_or(u32::MAX);
        let endpoints: HashSet<Uuid> = jobs.iter().map(|job| job.subscription_id).collect();
        for job in jobs {
            self.dispatcher.hand_over(job);
        }
        let left = before.max((LEFT * endpoints.len()).min(SET));
        let _slow = tokio::time::timeout(patience, load.fallen_to(left)).await;
    }
}

impl FanOut {
    pub(crate) const fn new(state: State, dispatcher: Dispatcher) -> Self {
        Self { state, dispatcher, per_event: AtomicUsize::new(MANY) }
    }

    /// Takes deliveries into this process's hands, as far as there is room. Whether an earlier one of its key is under
    /// way, and what all replicas together may send, only the claim sees: such ones are left to it.
    fn take(&self, plan: &mut Plan, now: OffsetDateTime, jobs: &mut Vec<Job>) {
        let message = &plan.message;
        let body = &message.body;
        let trace = TraceContext::read(message.traceparent.as_deref(), message.tracestate.as_deref());
        for delivery in &mut plan.deliveries {
            if delivery.skipped.is_some() || delivery.ordering_key.is_some() || delivery.is_limited {
                continue;
            }
            let Some(slot) = self.state.load.take(delivery.subscription_id, body.len()) else {
                continue;
            };
            let leased_until =
                now + Duration::seconds((delivery.timeout_seconds + LEASE_MARGIN_SECONDS).into());
            delivery.leased_until = Some(leased_until);
            jobs.push(Job {
                delivery_id: delivery.id,
                subscription_id: delivery.subscription_id,
                message_id: delivery.message_id,
                body: body.clone(),
                trace: trace.clone(),
                attempts: 0,
                attempts_before: 0,
                is_in_order: false,
                claim: 1,
                leased_until,
                run_started_at: now,
                accepted_at: Some(now),
                slot,
            });
        }
    }
}
