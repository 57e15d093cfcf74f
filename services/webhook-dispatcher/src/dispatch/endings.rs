//! What a set of outcomes means: for the deliveries, for their endpoints, and for whoever is to be told.

use std::collections::BTreeMap;
use std::slice;

use domain::events::Envelope;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::told;
use crate::domain::health::{Course, DisabledFor};
use crate::state::State;
use crate::store::health;
use crate::store::outcomes::{self, Answer, Ending, Outcome};

/// Writes outcomes down, which stand in the order in which they ended, and the facts that are to be told of them. All of
/// it or nothing.
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
            // Before they are recorded: what was recorded already is told of no second time.
            let mut facts = told::exhausted(conn, state, outcomes).await?;
            outcomes::record(conn, outcomes, now).await?;
            facts.extend(note(conn, state, &courses, now).await?);
            messaging::outbox::push(conn, &facts).await
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
            let facts = told::exhausted(conn, state, slice::from_ref(failed)).await?;
            outcomes::fail(conn, failed, now).await?;
            messaging::outbox::push(conn, &facts).await
        })
        .await
}

/// What a set of outcomes tells of each endpoint.
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

    /// Those about which something is to be written. Most endpoints are well, and nothing is: only the others' rows are
    /// locked.
    async fn moved(&self, conn: &mut pg::Connection) -> Result<Vec<Uuid>, pg::Error> {
        let ids: Vec<Uuid> = self.of.keys().copied().collect();
        let mut moved = Vec::new();
        for watched in health::peek(conn, &ids).await? {
            if watched.health()?.is_moved_by(&self.course(&watched.id)) {
                moved.push(watched.id);
            }
        }
        Ok(moved)
    }
}

/// Notes how the endpoints are doing: opens and closes circuits, and disables those that are gone or have failed for too
/// long. Returns what is to be told of that.
async fn note(
    conn: &mut pg::Connection,
    state: &State,
    courses: &Courses,
    now: OffsetDateTime,
) -> Result<Vec<Envelope>, pg::Error> {
    let moved = courses.moved(conn).await?;
    let mut facts = Vec::new();
    if moved.is_empty() {
        return Ok(facts);
    }
    for watched in health::lock(conn, &moved).await? {
        let after = watched.health()?.after(&courses.course(&watched.id), now);
        // Gone only when its owner has not changed it since: then another receiver was meant.
        let is_gone = courses.gone.get(&watched.id).is_some_and(|at| watched.updated_at <= *at);
        health::write(conn, watched.id, &after).await?;
        let reason = if is_gone {
            Some(DisabledFor::Gone)
        } else {
            after.is_given_up(now).then_some(DisabledFor::OnlyFailures)
        };
        if let Some(reason) = reason.filter(|_| watched.is_active) {
            facts.push(told::disable(conn, state, watched.id.into(), reason, now).await?);
        }
    }
    Ok(facts)
}
