//! Reading an account's list: windows by date of purchase, oldest first, each step a checkpoint.
//!
//! The journal's end is stored before the first list is read: what changes while the list is read is told by events
//! after that point, and nothing falls between.

use std::time::Duration as StdDuration;

use domain::TaskId;
use serde_json::json;
use tasks::{Progress, Run, TaskError};
use time::{Duration, OffsetDateTime};

use super::access::call;
use super::history::{self, Kind};
use super::list_window::{HISTORY, next_window};
use super::task_definitions::{MissingOrders, ProcessEvents};
use super::upsert::{Counts, OnDuplicate, Source};
use super::{accounts, list_steps, proof};
use crate::domain::order::Owner;
use crate::state::State;
use crate::store::cursors::{self, Cursor};

/// How long a reading waits before it looks again whether another of the same account has ended.
const OTHERS: StdDuration = StdDuration::from_secs(2);

/// Which part of the list is read, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// By schedule: its last days, but all of it as long as that was never done.
    Scheduled,
    /// All of it, as the account was connected.
    Connected,
    /// All of it, and what the journal still holds.
    Whole,
    /// What a person asked for.
    Manual {
        /// Bought from this moment on; as far back as Allegro lists when absent.
        from: Option<OffsetDateTime>,
        /// Bought until this moment; until now when absent.
        to: Option<OffsetDateTime>,
        /// What becomes of orders that are stored already.
        on_duplicate: OnDuplicate,
    },
}

impl Wish {
    pub(super) const fn kind(self) -> Kind {
        match self {
            Self::Scheduled | Self::Connected => Kind::List,
            Self::Whole | Self::Manual { .. } => Kind::Manual,
        }
    }

    pub(super) const fn source(self) -> Source {
        match self {
            Self::Scheduled | Self::Connected => Source::List,
            Self::Whole => Source::Manual(OnDuplicate::Update),
            Self::Manual { on_duplicate, .. } => Source::Manual(on_duplicate),
        }
    }
}

/// A reading under way.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    pub(super) state: &'a State,
    pub(super) run: &'a Run,
    pub(super) owner: &'a Owner,
    pub(super) wish: Wish,
}

/// Reads the list from where the pass stands to its end.
///
/// # Errors
/// What the task runner shall do.
pub(crate) async fn sync(state: &State, run: &Run, owner: &Owner, wish: Wish) -> Result<(), TaskError> {
    let pass = Pass { state, run, owner, wish };
    let mut cursor = begin(pass).await?;
    let mut counts = Counts::default();
    while let Some(window) = next_window(state, owner, &mut cursor).await? {
        if !list_steps::read(pass, (&mut cursor, window), &mut counts).await? {
            // It has grown beyond what Allegro shows: it is measured again, and read from its beginning.
            cursor.pass_done -= cursor.window_offset;
            cursor = Cursor { window_to: None, window_offset: 0, window_total: None, ..cursor };
            continue;
        }
        cursor = Cursor {
            window_from: Some(window.to),
            window_to: None,
            window_offset: 0,
            window_total: None,
            ..cursor
        };
    }
    finish(pass, cursor, counts).await
}

/// Where the pass of this task stands; a new pass begins at the beginning.
async fn begin(pass: Pass<'_>) -> Result<Cursor, TaskError> {
    let Pass { state, run, owner, wish } = pass;
    let mut conn = state.pool.get().await?;
    let mut cursor = cursors::read(&mut conn, owner.token_id).await?;
    if cursor.pass_task_id == Some(run.id().as_uuid()) {
        return Ok(cursor);
    }
    // One checkpoint for each account: two readings that take turns would each begin again and again.
    if let Some(other) = cursor.pass_task_id {
        let other = tasks::find(&mut conn, TaskId::from(other)).await?;
        if other.is_some_and(|task| !task.status.is_final()) {
            let reason = "another reading of the list is under way".to_owned();
            return Err(TaskError::Postpone { after: OTHERS, reason });
        }
    }
    drop(conn);
    if !cursor.is_anchored {
        let allegro = &state.allegro;
        let latest = call(state, owner.token_id, |bearer| async move { allegro.latest_event(&bearer).await });
        cursor.anchor_event_id = latest.await?;
        cursor.last_event_id.clone_from(&cursor.anchor_event_id);
        cursor.last_event_at = Some(state.now());
        cursor.is_anchored = true;
    }
    let now = state.now();
    let oldest = now - HISTORY;
    let (from, until) = match wish {
        Wish::Scheduled if cursor.last_complete_list_sync.is_some() => {
            (now - Duration::days(state.sync.full_sync_days.into()), now)
        }
        Wish::Scheduled | Wish::Connected | Wish::Whole => (oldest, now),
        Wish::Manual { from, to, .. } => (from.unwrap_or(oldest).max(oldest), to.unwrap_or(now).min(now)),
    };
    cursor = Cursor {
        pass_task_id: Some(run.id().as_uuid()),
        pass_started_at: Some(now),
        pass_from: Some(from),
        pass_until: Some(until),
        window_from: Some(from),
        window_to: None,
        window_offset: 0,
        window_total: None,
        pass_done: 0,
        pass_total: 0,
        ..cursor
    };
    state
        .pool
        .transaction(async |conn| {
            cursors::write(conn, owner.token_id, &cursor).await?;
            history::begin(conn, now, (run, owner), wish.kind(), (Some(from), Some(until))).await?;
            run.progress(conn, &Progress { current: 0, total: 0, stage: "orders".to_owned() }).await
        })
        .await?;
    Ok(cursor)
}

/// The pass is complete: what it proves is written down, what it shows to be missing is asked for, and after the first
/// one the journal is followed.
async fn finish(pass: Pass<'_>, cursor: Cursor, counts: Counts) -> Result<(), TaskError> {
    let Pass { state, run, owner, wish } = pass;
    let now = state.now();
    let whose = (owner.token_id, owner.user_id.as_str());
    let is_first = cursor.last_complete_list_sync.is_none();
    let mut cursor = Cursor { pass_total: cursor.pass_done, ..cursor };
    // A part of the list that a person asked for is not the list.
    if !matches!(wish, Wish::Manual { from: Some(_), .. } | Wish::Manual { to: Some(_), .. }) {
        cursor.last_complete_list_sync = Some(now);
    }
    // Where an account was connected again, everything had been stopped.
    let begins_following = wish == Wish::Connected || (is_first && cursor.last_complete_list_sync.is_some());
    let result = json!({
        "orders": cursor.pass_done, "added": counts.added, "updated": counts.updated,
        "unchanged": counts.unchanged, "late": counts.late, "failed": counts.failed,
    });
    state
        .pool
        .transaction(async |conn| {
            if begins_following {
                // Before its cursor, as whoever follows it by request does.
                accounts::lock(conn, owner.token_id).await?;
            }
            cursors::write(conn, owner.token_id, &cursor).await?;
            let missing = proof::after_list(conn, owner.token_id, &cursor).await?;
            if !missing.is_empty() {
                tracing::info!(token = %owner.token_id, missing = missing.len(), "the list and what is stored differ");
                let task = MissingOrders::of(whose, missing);
                tasks::enqueue(conn, state.ids.next_id().into(), now, &task).await?;
            }
            if wish == Wish::Whole {
                let task = ProcessEvents::of(whose, None, false);
                tasks::enqueue(conn, state.ids.next_id().into(), now, &task).await?;
            }
            if begins_following {
                accounts::begin_following(conn, state, owner.token_id, now).await?;
            }
            history::complete(state, conn, run, &result).await
        })
        .await
}
