//! Every fact becomes a message and a delivery for each subscription that wants it.

use domain::events::Envelope;
use messaging::{Failure, Handler};
use telemetry::TraceContext;
use time::{Duration, OffsetDateTime};

use crate::app::fan_out::{Audience, Fact, Plan};
use crate::dispatch::{Dispatcher, Job, LEASE_MARGIN_SECONDS};
use crate::state::State;
use crate::store::fan_out::{self, NewDelivery};

/// Takes facts in.
#[derive(Debug)]
pub(crate) struct FanOut {
    pub(crate) state: State,
    pub(crate) dispatcher: Dispatcher,
}

impl Handler for FanOut {
    const NAME: &'static str = "webhooks";
    /// What this process delivers itself, and whether the scanner has something to find.
    type Effect = (Vec<Job>, bool);

    async fn handle(&self, conn: &mut pg::Connection, events: &[&Envelope]) -> Result<Self::Effect, Failure> {
        let audience = Audience::read(conn).await?;
        let now = self.state.now();
        let (mut plans, mut jobs) = (Vec::new(), Vec::new());
        for event in events {
            let plan = audience.plan(&self.state, &Fact::from(*event));
            let mut plan = plan.map_err(|error| Failure::Reject(error.to_string()))?;
            self.take(&mut plan, now, &mut jobs);
            plans.push(plan);
        }
        fan_out::insert(conn, &plans, now).await?;
        let is_left = |it: &NewDelivery| it.skipped.is_none() && it.leased_until.is_none();
        let is_left = plans.iter().flat_map(|plan| &plan.deliveries).any(is_left);
        Ok((jobs, is_left))
    }

    async fn committed(&self, (jobs, is_left): Self::Effect) {
        if is_left {
            self.dispatcher.load().nudge();
        }
        for job in jobs {
            self.dispatcher.hand_over(job);
        }
    }
}

impl FanOut {
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
            let Some(slot) = self.dispatcher.load().take(delivery.subscription_id, body.len()) else {
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
                accepted_at: Some(now),
                slot,
            });
        }
    }
}
