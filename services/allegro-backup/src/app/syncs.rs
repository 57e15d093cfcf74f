//! Starting a sync and looking at how it goes.

use domain::{TaskId, TokenId};
use serde_json::json;
use tasks::schedules::Schedule;
use tasks::{NewTask, Run, Task, TaskError, TaskRecord, schedules};
use time::OffsetDateTime;

use super::following::{self, schedule_name};
use super::task_definitions::{
    FullResync, FullSync, ManualEvents, ProcessEvents, SyncOrderEvents, UserSync, queue,
};
pub(crate) use super::upsert::OnDuplicate;
pub(crate) use super::wanted::Wanted;
use crate::state::State;
use crate::store::cursors::{self, Cursor};
use crate::store::journal;
use crate::store::tokens::{self, Account};

/// How an account's sync goes.
#[derive(Debug)]
pub(crate) struct Standing {
    /// The account.
    pub(crate) account: Account,
    /// How far list and journal were read.
    pub(crate) cursor: Cursor,
    /// The latest reading of the list.
    pub(crate) task: Option<TaskRecord>,
}

/// Who asks for something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker<'a> {
    /// The caller.
    pub(crate) subject: &'a str,
    /// The request.
    pub(crate) correlation_id: &'a str,
}

impl Asker<'_> {
    fn asks(self, task: NewTask) -> NewTask {
        NewTask {
            requested_by: Some(self.subject.to_owned()),
            correlation_id: Some(self.correlation_id.to_owned()),
            ..task
        }
    }
}

/// Asks for a list to be read; the same that is asked for already is not asked for twice.
///
/// # Errors
/// The database's.
pub(crate) async fn start(
    conn: &mut pg::Connection,
    state: &State,
    account: &Account,
    asker: Asker<'_>,
    wanted: Wanted,
) -> Result<TaskId, pg::Error> {
    let whose = (account.id(), account.user_id.as_str());
    let is_read = cursors::read(conn, account.id()).await?.last_complete_list_sync.is_some();
    let task = if wanted.full {
        FullResync::of(whose)
    } else if is_read || wanted.from.is_some() || wanted.to.is_some() {
        UserSync::of(whose, (wanted.from, wanted.to), wanted.on_duplicate)
    } else {
        // The first reading is under way, or should be: that is the whole list.
        FullSync::whole(whose, None, None)
    };
    tasks::enqueue(conn, state.ids.next_id().into(), state.now(), &asker.asks(task)).await
}

/// Asks for the journals of accounts to be read.
///
/// # Errors
/// The database's.
pub(crate) async fn start_events(
    conn: &mut pg::Connection,
    state: &State,
    (user_id, accounts): (&str, &[Account]),
    asker: Asker<'_>,
    from: Option<OffsetDateTime>,
) -> Result<TaskId, pg::Error> {
    let id = TaskId::from(state.ids.next_id());
    let token_ids: Vec<TokenId> = accounts.iter().map(Account::id).collect();
    let task = ManualEvents::of(user_id, token_ids, from, id);
    tasks::enqueue(conn, id, state.now(), &asker.asks(task)).await
}

/// Asks for the journal of each of these accounts to be read, in the account's own queue: from its cursor, or from what
/// was told before `from` on (Allegro knows no dates), and then every order that is named is read again.
///
/// # Errors
/// What the task runner shall do.
pub(crate) async fn process_journals(
    state: &State,
    run: &Run,
    token_ids: &[TokenId],
    from: Option<OffsetDateTime>,
) -> Result<(), TaskError> {
    let user_id = run.task().user_id.clone();
    let user_id = user_id.ok_or_else(|| TaskError::Fail("the task names no user".to_owned()))?;
    state
        .pool
        .transaction(async |conn| {
            let mut asked = Vec::new();
            for token_id in token_ids {
                let whose = (*token_id, user_id.as_str());
                let event_id = match from {
                    Some(from) => journal::last_before(conn, *token_id, from).await?,
                    None => cursors::read(conn, *token_id).await?.last_event_id,
                };
                let task = NewTask {
                    requested_by: run.task().requested_by.clone(),
                    correlation_id: run.task().correlation_id.clone(),
                    ..ProcessEvents::of(whose, event_id, from.is_some())
                };
                asked.push(tasks::enqueue(conn, state.ids.next_id().into(), state.now(), &task).await?);
            }
            run.finish(conn, &json!({ "task_ids": asked })).await
        })
        .await
}

/// How the syncs of a user's accounts go.
///
/// # Errors
/// The database's.
pub(crate) async fn standing(state: &State, user_id: &str) -> Result<Vec<Standing>, pg::Error> {
    let mut conn = state.pool.get().await?;
    let mut standings = Vec::new();
    for account in tokens::list(&mut conn, Some(user_id)).await? {
        let cursor = cursors::read(&mut conn, account.id()).await?;
        let mut task = None::<TaskRecord>;
        for kind in [FullSync::KIND, UserSync::KIND, FullResync::KIND] {
            let latest = tasks::latest_in_queue(&mut conn, &queue(account.id()), kind).await?;
            task = [task, latest].into_iter().flatten().max_by_key(|task| task.id);
        }
        standings.push(Standing { account, cursor, task });
    }
    Ok(standings)
}

/// Follows an account at the owner's interval, from now on; in the caller's transaction.
///
/// # Errors
/// The database's.
pub(crate) async fn activate(
    conn: &mut pg::Connection,
    state: &State,
    account: &Account,
    interval_minutes: u16,
) -> Result<(), pg::Error> {
    let now = state.now();
    cursors::choose_interval(conn, account.id(), i32::from(interval_minutes) * 60).await?;
    following::begin(conn, &state.sync, (account.id(), &account.user_id), now).await?;
    following::switch(conn, account.id(), true).await?;
    schedules::run_now(conn, &schedule_name::<SyncOrderEvents>(account.id())).await?;
    Ok(())
}

/// Follows an account no longer, until it is activated; what runs goes on. The schedules stay, switched off, so that
/// nobody takes the account for forgotten.
///
/// # Errors
/// The database's.
pub(crate) async fn deactivate(
    conn: &mut pg::Connection,
    state: &State,
    account: &Account,
) -> Result<(), pg::Error> {
    following::begin(conn, &state.sync, (account.id(), &account.user_id), state.now()).await?;
    // Nor when it is connected again, where it waits for that.
    tokens::take_paused(conn, account.id()).await?;
    following::switch(conn, account.id(), false).await
}

/// The accounts (of one user, or all) that are followed, with their schedules.
///
/// # Errors
/// The database's.
pub(crate) async fn active(
    state: &State,
    user_id: Option<&str>,
) -> Result<Vec<(Account, Schedule)>, pg::Error> {
    let mut conn = state.pool.get().await?;
    let mut active = Vec::new();
    for account in tokens::list(&mut conn, user_id).await? {
        let name = schedule_name::<SyncOrderEvents>(account.id());
        if let Some(schedule) = schedules::find(&mut conn, &name).await?.filter(|it| it.is_enabled) {
            active.push((account, schedule));
        }
    }
    Ok(active)
}
