//! What each reading came to: written down beside its steps, and told when it ends.

use domain::events::{Event, OrderSyncCompleted, OrderSyncFailed, SyncEvent};
use domain::{TaskId, TokenId};
use serde_json::Value;
use tasks::{Run, TaskError};
use time::OffsetDateTime;
use uuid::Uuid;

use super::upsert::Counts;
use crate::domain::order::Owner;
use crate::state::State;
pub(crate) use crate::store::history::Reading;
use crate::store::history::{self, NewReading, Tally};
use crate::store::tokens;

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The journal.
    Events,
    /// The list, by schedule.
    List,
    /// The open orders.
    Sweep,
    /// The list, because a person asked.
    Manual,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::List => "list",
            Self::Sweep => "sweep",
            Self::Manual => "manual",
        }
    }
}

/// Moments a list is read between.
pub(crate) type Window = (Option<OffsetDateTime>, Option<OffsetDateTime>);

/// Writes down that a reading has begun, or goes on.
///
/// # Errors
/// The database's.
pub(crate) async fn begin(
    conn: &mut pg::Connection,
    now: OffsetDateTime,
    (run, owner): (&Run, &Owner),
    kind: Kind,
    window: Window,
) -> Result<(), pg::Error> {
    history::count(conn, now, &reading(run, owner, kind, window), &Tally::default()).await
}

/// Writes down what a step brought, in its transaction; the reading has begun with it, if not before.
///
/// # Errors
/// The database's.
pub(crate) async fn count(
    conn: &mut pg::Connection,
    now: OffsetDateTime,
    (run, owner): (&Run, &Owner),
    kind: Kind,
    counts: Counts,
) -> Result<(), pg::Error> {
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let tally = Tally {
        processed: number(counts.processed()),
        added: number(counts.added),
        updated: number(counts.updated),
        unchanged: number(counts.unchanged + counts.late),
        failed: number(counts.failed),
    };
    history::count(conn, now, &reading(run, owner, kind, (None, None)), &tally).await
}

fn reading<'a>(run: &Run, owner: &'a Owner, kind: Kind, window: Window) -> NewReading<'a> {
    NewReading {
        task_id: run.id(),
        token_id: owner.token_id,
        user_id: &owner.user_id,
        kind: kind.word(),
        window,
    }
}

/// Ends reading and task well, in the transaction of the last step.
///
/// # Errors
/// [`TaskError::Lost`], or the database's.
pub(crate) async fn complete(
    state: &State,
    conn: &mut pg::Connection,
    run: &Run,
    result: &Value,
) -> Result<(), TaskError> {
    let now = state.now();
    if let Some(ended) = history::end(conn, now, run.id(), "completed", None).await? {
        // The journal is read every few minutes: what it brought is told order by order.
        if ended.kind != Kind::Events.word() {
            tell(state, conn, run.task().correlation_id.as_deref(), &OrderSyncCompleted(fact(&ended, now)))
                .await?;
        }
    }
    run.finish(conn, result).await
}

/// Ends a reading that cannot be done, though its task is still to end.
///
/// # Errors
/// [`TaskError::Lost`], or the database's.
pub(crate) async fn fail(
    state: &State,
    (run, owner): (&Run, &Owner),
    kind: Kind,
    error: &str,
) -> Result<(), TaskError> {
    run.check()?;
    let failed = state
        .pool
        .transaction(async |conn| {
            begin(conn, state.now(), (run, owner), kind, (None, None)).await?;
            end_badly(state, conn, run.id(), "failed", Some(error)).await
        })
        .await;
    Ok(failed?)
}

/// Ends readings whose tasks have ended without them.
///
/// # Errors
/// The database's.
pub(crate) async fn settle(state: &State) -> Result<(), pg::Error> {
    let unsettled = history::unsettled(&mut *state.pool.get().await?).await?;
    for (task_id, status, error) in unsettled {
        state
            .pool
            .transaction(async |conn| end_badly(state, conn, task_id, &status, error.as_deref()).await)
            .await?;
    }
    Ok(())
}

async fn end_badly(
    state: &State,
    conn: &mut pg::Connection,
    task_id: TaskId,
    status: &str,
    error: Option<&str>,
) -> Result<(), pg::Error> {
    let now = state.now();
    let Some(ended) = history::end(conn, now, task_id, status, error).await? else { return Ok(()) };
    if status == "failed" {
        tell(state, conn, None, &OrderSyncFailed(fact(&ended, now))).await?;
    }
    Ok(())
}

async fn tell<E: Event>(
    state: &State,
    conn: &mut pg::Connection,
    correlation_id: Option<&str>,
    event: &E,
) -> Result<(), pg::Error> {
    messaging::outbox::push(conn, &[state.wrap_correlated(event, correlation_id)?]).await
}

fn fact(ended: &Reading, now: OffsetDateTime) -> SyncEvent {
    SyncEvent {
        token_id: ended.token_id(),
        user_id: ended.user_id.clone(),
        task_id: ended.task_id(),
        number: ended.seq,
        kind: ended.kind.clone(),
        from: ended.sync_from_date,
        to: ended.sync_to_date,
        orders_processed: ended.orders_processed,
        orders_added: ended.orders_added,
        orders_updated: ended.orders_updated,
        orders_failed: ended.orders_failed,
        started_at: ended.sync_started_at,
        ended_at: now,
        error: ended.error_message.clone(),
    }
}

/// Readings of a user's accounts (or of one of them), newest first; `after` is where the page before ended.
///
/// # Errors
/// The database's.
pub(crate) async fn list(
    state: &State,
    user_id: &str,
    token_id: Option<TokenId>,
    after: Option<(OffsetDateTime, Uuid)>,
    limit: i64,
) -> Result<Vec<Reading>, pg::Error> {
    let mut conn = state.pool.get().await?;
    let mut ids = tokens::ids_ever(&mut conn, user_id).await?;
    ids.retain(|id| token_id.is_none_or(|wanted| *id == wanted));
    history::list(&mut conn, &ids, after, limit).await
}
