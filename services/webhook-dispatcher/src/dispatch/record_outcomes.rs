//! Records a set of outcomes: the deliveries, the health of their endpoints, and the events that are published about them.

use std::collections::BTreeMap;
use std::slice;

use domain::events::Envelope;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::system_events;
use crate::domain::health::{Course, DisabledFor};
use crate::state::State;
use crate::store::health;
use crate::store::outcomes::{self, Answer, Ending, Outcome};

/// Records outcomes, given in the order in which they ended, and publishes the events that follow from them, in one
/// transaction.
pub(super) async fn write(state: &State, outcomes: &[Outcome]) -> Result<(), pg::Error> {
    failpoint::hit("webhook.record");
    let now = state.now();
    let courses = Courses::of(outcomes);
    if outcomes.iter().all(|it| it.ending == Ending::Success) {
        let mut conn = state.pool.get().await?;
        if courses.moved(&mut conn).await?.is_empty() {
            // One statement is a transaction by itself.
            return outcomes::record(&mut conn, outcomes, now).await;
        }
    }
    state
        .pool
        .transaction(async |conn| {
            // Before they are recorded: an outcome that is recorded already publishes nothing.
            let mut events = system_events::exhausted(conn, state, outcomes).await?;
            outcomes::record(conn, outcomes, now).await?;
            events.extend(update_health(conn, state, &courses, now).await?);
            messaging::outbox::push(conn, &events).await
        })
        .await
}

/// Marks the delivery of an outcome that cannot be recorded as failed, and publishes that it is exhausted.
///
/// # Errors
/// The database's.
pub(super) async fn fail(state: &State, outcome: &Outcome, reason: &str) -> Result<(), pg::Error> {
    let now = state.now();
    let answer = Answer {
        error: Some(("internal", format!("the attempt could not be recorded: {reason}"))),
        ..Answer::default()
    };
    let failed = &Outcome { ending: Ending::Failed, answer, ..outcome.clone() };
    state
        .pool
        .transaction(async |conn| {
            let events = system_events::exhausted(conn, state, slice::from_ref(failed)).await?;
            outcomes::fail(conn, failed, now).await?;
            messaging::outbox::push(conn, &events).await
        })
        .await
}

/// The outcomes of a set by endpoint.
struct Courses {
    of: BTreeMap<Uuid, Course>,
    gone: BTreeMap<Uuid, OffsetDateTime>,
}

impl Courses {
    fn of(outcomes: &[Outcome]) -> Self {
        let mut courses = Self { of: BTreeMap::new(), gone: BTreeMap::new() };
        for outcome in outcomes {
            let course = courses.of.entry(outcome.subscription_id).or_default();
            if outcome.attempt == 0 {
                course.released();
                continue;
            }
            let pause = outcome.pause_seconds.map(|it| Duration::seconds(it.into()));
            match outcome.ending {
                Ending::Success => course.succeeded(outcome.attempted_at),
                Ending::Throttled(_) => course.throttled(pause.unwrap_or_default()),
                Ending::Failed | Ending::Gone | Ending::Cancelled | Ending::Again(_) | Ending::Postponed => {
                    course.failed(outcome.attempted_at, pause);
                }
            }
            if outcome.ending == Ending::Gone {
                courses.gone.insert(outcome.subscription_id, outcome.attempted_at);
            }
        }
        courses
    }

    fn course(&self, id: &Uuid) -> Course {
        self.of.get(id).cloned().unwrap_or_default()
    }

    /// The endpoints whose health changes. Most are healthy and do not, so few rows are locked.
    async fn moved(&self, conn: &mut pg::Connection) -> Result<Vec<Uuid>, pg::Error> {
        let ids: Vec<Uuid> = self.of.keys().copied().collect();
        let mut moved = Vec::new();
        for watched in health::peek(conn, &ids).await? {
            if watched.health.is_moved_by(&self.course(&watched.id)) {
                moved.push(watched.id);
            }
        }
        Ok(moved)
    }
}

/// Updates the health of the endpoints: opens and closes circuits, and disables endpoints that are gone or have failed for
/// too long. Returns the events to publish.
async fn update_health(
    conn: &mut pg::Connection,
    state: &State,
    courses: &Courses,
    now: OffsetDateTime,
) -> Result<Vec<Envelope>, pg::Error> {
    let moved = courses.moved(conn).await?;
    let mut events = Vec::new();
    if moved.is_empty() {
        return Ok(events);
    }
    for watched in health::lock(conn, &moved).await? {
        let after = watched.health.after(&courses.course(&watched.id), now);
        // A change by the owner since then may have named another receiver, which is not gone.
        let is_gone = courses.gone.get(&watched.id).is_some_and(|at| watched.updated_at <= *at);
        health::write(conn, watched.id, &after).await?;
        let reason = if is_gone {
            Some(DisabledFor::Gone)
        } else {
            after.is_given_up(now).then_some(DisabledFor::OnlyFailures)
        };
        if let Some(reason) = reason.filter(|_| watched.is_active) {
            events.push(system_events::disable(conn, state, watched.id.into(), reason, now).await?);
        }
    }
    Ok(events)
}
