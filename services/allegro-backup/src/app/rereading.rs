//! Reading single orders again: those that may have changed unheard, that are missing, or that failed before.

use serde_json::json;
use tasks::{Progress, Run, TaskError};
use time::OffsetDateTime;

use super::details;
use super::history::{self, Kind};
use super::landing::Learned;
use super::task_definitions::{MissingOrders, RereadOrders};
use super::upsert::{Counts, Source};
use crate::domain::order::Owner;
use crate::state::State;
use crate::store::{cursors, failed, order_marks, rereads};

/// Orders asked for and stored in one step.
const STEP: usize = 100;

/// Reads these orders, because `source` says so. A step that meets trouble of Allegro's stores what it could and is done again.
///
/// # Errors
/// What the task runner shall do.
pub(crate) async fn orders(
    state: &State,
    run: &Run,
    owner: &Owner,
    (order_ids, source): (&[String], Source),
) -> Result<(), TaskError> {
    // A try after one that was interrupted goes on behind what that has done.
    let done =
        run.task().progress.as_ref().map_or(0, |progress| usize::try_from(progress.current).unwrap_or(0));
    let mut reading = Reading { total: order_ids.len(), done, source, ..Reading::new(state, run, owner) };
    for step in order_ids.get(done..).unwrap_or_default().chunks(STEP) {
        reading.step(step.to_vec()).await?;
    }
    reading.finish(None).await
}

/// Reads the orders of the quarantine whose time has come.
///
/// # Errors
/// What the task runner shall do.
pub(crate) async fn due(state: &State, run: &Run, owner: &Owner) -> Result<(), TaskError> {
    let mut reading = Reading::new(state, run, owner);
    let limit = i64::try_from(STEP).unwrap_or(i64::MAX);
    loop {
        let mut conn = state.pool.get().await?;
        let step = failed::due(&mut conn, owner.token_id, state.now(), limit).await?;
        drop(conn);
        if step.is_empty() {
            return reading.finish(None).await;
        }
        reading.total = reading.done + step.len();
        reading.step(step).await?;
    }
}

/// Reads orders again that an event named a while ago.
///
/// # Errors
/// What the task runner shall do.
pub(crate) async fn after_events(state: &State, run: &Run, owner: &Owner) -> Result<(), TaskError> {
    let now = state.now();
    let mut reading = Reading { planned_by: Some(now), ..Reading::new(state, run, owner) };
    let limit = i64::try_from(STEP).unwrap_or(i64::MAX);
    loop {
        let mut conn = state.pool.get().await?;
        let step = rereads::due(&mut conn, owner.token_id, now, limit).await?;
        drop(conn);
        if step.is_empty() {
            return reading.finish(None).await;
        }
        reading.total = reading.done + step.len();
        reading.step(step).await?;
    }
}

/// Reads the open orders of an account, those that wait longest first.
///
/// # Errors
/// What the task runner shall do.
pub(crate) async fn sweep(state: &State, run: &Run, owner: &Owner) -> Result<(), TaskError> {
    let began_at = run.task().created_at;
    let most = usize::try_from(state.sync.sweep_orders).unwrap_or(usize::MAX);
    let mut reading = Reading { kind: Some(Kind::Sweep), ..Reading::new(state, run, owner) };
    state
        .pool
        .transaction(async |conn| {
            history::begin(conn, state.now(), (run, owner), Kind::Sweep, (None, None)).await?;
            run.progress(conn, &Progress { current: 0, total: 0, stage: "orders".to_owned() }).await
        })
        .await?;
    let mut after = None;
    while reading.done < most {
        let limit = i64::try_from(STEP.min(most - reading.done)).unwrap_or(i64::MAX);
        let mut conn = state.pool.get().await?;
        let step = order_marks::open(&mut conn, owner.token_id, began_at, after, limit).await?;
        drop(conn);
        let Some(last) = step.last() else { break };
        // What is refused stays where it stands, and is not asked for again.
        after = Some(last.place());
        reading.total = reading.done + step.len();
        reading.step(step.into_iter().map(|order| order.allegro_order_id).collect()).await?;
    }
    reading.finish(Some(state.now())).await
}

/// Asks for the tasks that read what is due in quarantine; each account's stands in its own queue.
///
/// # Errors
/// What the task runner shall do.
pub(crate) async fn retry_failed(state: &State, run: &Run) -> Result<(), TaskError> {
    let now = state.now();
    let mut conn = state.pool.get().await?;
    let accounts = failed::accounts_due(&mut conn, now).await?;
    let after_events = rereads::accounts_due(&mut conn, now).await?;
    // Each by itself: together they would hold tasks that run, while those wait for one another.
    for (token_id, user_id) in &accounts {
        let task = MissingOrders::due((*token_id, user_id));
        tasks::enqueue(&mut conn, state.ids.next_id().into(), now, &task).await?;
    }
    for (token_id, user_id) in &after_events {
        let task = RereadOrders::of((*token_id, user_id));
        tasks::enqueue(&mut conn, state.ids.next_id().into(), now, &task).await?;
    }
    drop(conn);
    let result = json!({ "accounts": accounts.len(), "accounts_after_events": after_events.len() });
    state.pool.transaction(async |conn| run.finish(conn, &result).await).await
}

struct Reading<'a> {
    state: &'a State,
    run: &'a Run,
    owner: &'a Owner,
    /// As what it is written down, if it is.
    kind: Option<Kind>,
    source: Source,
    /// Orders whose reading was planned by then have been read.
    planned_by: Option<OffsetDateTime>,
    done: usize,
    total: usize,
    counts: Counts,
}

impl<'a> Reading<'a> {
    fn new(state: &'a State, run: &'a Run, owner: &'a Owner) -> Self {
        let counts = Counts::default();
        let source = Source::Detail;
        Self { state, run, owner, kind: None, source, planned_by: None, done: 0, total: 0, counts }
    }

    async fn step(&mut self, order_ids: Vec<String>) -> Result<(), TaskError> {
        self.run.check()?;
        let Self { state, run, owner, kind, source, planned_by, .. } = *self;
        let asked = order_ids.len();
        let told = details::ask(state, owner, order_ids.clone()).await?;
        let (learned, unsettled) = Learned::of(told);
        let planned_by = planned_by.filter(|_| unsettled.is_none());
        let done = if unsettled.is_some() { self.done } else { self.done + asked };
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let progress =
            Progress { current: number(done), total: number(self.total), stage: "orders".to_owned() };
        let counts = state
            .pool
            .transaction(async |conn| {
                let counts = learned.store(state, conn, owner, source).await?;
                if let Some(kind) = kind {
                    history::count(conn, state.now(), (run, owner), kind, counts).await?;
                }
                if let Some(now) = planned_by {
                    rereads::done(conn, owner.token_id, &order_ids, now).await?;
                }
                run.progress(conn, &progress).await?;
                Ok::<_, TaskError>(counts)
            })
            .await?;
        counts.log(owner.token_id);
        self.counts += counts;
        self.done = done;
        unsettled.map_or(Ok(()), |error| Err(error.into()))
    }

    async fn finish(self, swept_at: Option<OffsetDateTime>) -> Result<(), TaskError> {
        let Self { state, run, owner, counts, done, .. } = self;
        let result = json!({
            "orders": done, "added": counts.added, "updated": counts.updated, "unchanged": counts.unchanged,
            "failed": counts.failed,
        });
        state
            .pool
            .transaction(async |conn| {
                if swept_at.is_some() {
                    let cursor = cursors::read(conn, owner.token_id).await?;
                    let cursor = cursors::Cursor { last_complete_sweep: swept_at, ..cursor };
                    cursors::write(conn, owner.token_id, &cursor).await?;
                }
                history::complete(state, conn, run, &result).await
            })
            .await
    }
}
