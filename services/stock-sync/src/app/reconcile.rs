//! The shelf and allegro-backup are compared, and put right where doing again what was to be done is enough.
//!
//! A run first looks at everything and writes down what differs; only then, and only if not too much differs, it puts right
//! what may be. Each step commits for itself and can be done again, so that a run that dies is begun anew.

mod fix;
mod ledger;
mod look;

use ::tasks::{NewTask, Progress, Run, Task, TaskError};
use clients::Error as BackupError;
use domain::{Chain, TaskId, TokenId};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::alert::Notice;
use crate::state::State;
pub(crate) use crate::store::reconciliations::{Discrepancy, Filter, RunRow, Totals};
use crate::store::{accounts, reconciliations};
pub(crate) use ledger::{check_ledger, in_words};

/// Fewer differing orders than this blow no fuse: one of two says nothing.
const FUSE_ORDERS: i64 = 5;

/// The longest time from the purchase of an order until it is paid.
const LONGEST_UNTIL_PAID: time::Duration = time::Duration::days(60);

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no such account, or it is another user's.
    #[error("there is no such account")]
    NoAccount,
    /// allegro-backup cannot be asked.
    #[error("allegro-backup cannot be asked: {0}")]
    Backup(#[from] BackupError),
    /// The task is to end here.
    #[error(transparent)]
    Ended(#[from] TaskError),
    /// The database's.
    #[error(transparent)]
    Database(#[from] pg::Error),
}

/// What is to be compared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// The run's id: a run begun anew has the same.
    pub(crate) id: Uuid,
    /// Only this account; every account and the ledger when absent.
    pub(crate) token_id: Option<TokenId>,
    /// Whether what may be put right is put right at once, however new it is.
    pub(crate) fix: bool,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) totals: Totals,
    /// Everything found, at most [`Report::MOST`] of it.
    pub(crate) discrepancies: Vec<Discrepancy>,
    /// What was found and not put right.
    pub(crate) requires_manual_review: i64,
}

impl Report {
    /// Findings told at once, at most; the others stand in the database.
    pub(crate) const MOST: usize = 1000;
}

/// Compares every account, and the ledger.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Reconcile {
    /// Whether what may be put right is put right at once, however new it is.
    #[serde(default)]
    pub(crate) fix: bool,
}

/// Asks for a run over everything, in the caller's transaction; where one that was asked for has not ended, that one is
/// meant.
pub(crate) async fn ask(
    state: &State,
    conn: &mut pg::Connection,
    fix: bool,
    who: &str,
) -> Result<TaskId, pg::Error> {
    let task = NewTask {
        unique_key: Some(format!("{}/{fix}", Reconcile::KIND)),
        requested_by: Some(who.to_owned()),
        ..NewTask::new(&Reconcile { fix }, Reconcile::KIND)
    };
    ::tasks::enqueue(conn, state.ids.next_id().into(), state.now(), &task).await
}

/// Compares accounts that may be seen, as a step of a task or without one.
///
/// # Errors
/// [`Error::NoAccount`], what went wrong on the way, and [`Error::Ended`] when the task is to end.
pub(crate) async fn run(
    state: &State,
    wanted: Wanted,
    may_see: impl Fn(&str) -> bool,
    task: Option<&Run>,
) -> Result<Report, Error> {
    let started_at = state.now();
    let mut conn = state.pool.get().await?;
    let all = accounts::list(&mut conn, None).await?;
    let token = wanted.token_id.map(TokenId::as_uuid);
    let named: Vec<_> = all
        .into_iter()
        .filter(|it| token.is_none_or(|token| it.token_id == token) && may_see(&it.user_id))
        .collect();
    if token.is_some() && named.is_empty() {
        return Err(Error::NoAccount);
    }
    reconciliations::begin(&mut conn, wanted.id, token, wanted.fix, started_at).await?;
    drop(conn);
    let mut totals = Totals::default();
    for account in &named {
        look::at(state, (wanted.id, started_at), account, &mut totals, task).await?;
    }
    if token.is_none() {
        ledger::look(state, wanted.id, started_at).await?;
    }
    totals.is_held = is_held(&totals, state.settings.reconcile.fuse_percent);
    let report = fix::all(state, wanted, &named, totals, task).await?;
    close(state, wanted, &report).await?;
    Ok(report)
}

/// Runs, newest first.
pub(crate) async fn runs(
    state: &State,
    after: Option<(OffsetDateTime, Uuid)>,
    limit: i64,
) -> Result<Vec<RunRow>, pg::Error> {
    reconciliations::runs(&mut *state.pool.get().await?, after, limit).await
}

/// What was found, first seen last.
pub(crate) async fn found(state: &State, filter: &Filter, limit: i64) -> Result<Vec<Discrepancy>, pg::Error> {
    reconciliations::found(&mut *state.pool.get().await?, filter, limit).await
}

/// Between two steps: the task tells how far it is, and ends when it is not to go on.
async fn step(state: &State, task: Option<&Run>, checked: i64) -> Result<(), Error> {
    let Some(task) = task else { return Ok(()) };
    let progress = Progress { current: checked, total: checked, stage: "orders".to_owned() };
    Ok(task.progress(&mut *state.pool.get().await?, &progress).await?)
}

/// Whether more differs than one by one can have gone wrong.
const fn is_held(totals: &Totals, percent: i64) -> bool {
    totals.differing >= FUSE_ORDERS && totals.differing * 100 > totals.checked * percent
}

/// Notes how the run ended, and tells people what is theirs to do.
async fn close(state: &State, wanted: Wanted, report: &Report) -> Result<(), Error> {
    let (now, totals) = (state.now(), report.totals);
    let closed = state.pool.transaction(async |conn| {
        reconciliations::end(conn, wanted.id, totals, now).await?;
        if totals.is_held {
            let notice = Notice::Fuse { differing: totals.differing, checked: totals.checked };
            alerts::raise(conn, now, &notice).await?;
        } else if wanted.token_id.is_none() {
            alerts::clear(conn, now, Notice::FUSE).await?;
        }
        let count = reconciliations::lasting(conn).await?;
        if count > 0 {
            alerts::raise(conn, now, &Notice::Differences { count }).await?;
        } else {
            alerts::clear(conn, now, Notice::DIFFERENCES).await?;
        }
        Ok::<_, pg::Error>(())
    });
    closed.await?;
    Ok(())
}

/// What a problem of one order means for the run: it goes on, unless allegro-backup is away.
fn passed_over(error: BackupError, order_id: &str) -> Result<(), Error> {
    if matches!(error, BackupError::Unavailable { .. }) {
        return Err(error.into());
    }
    tracing::warn!(order = order_id, error = %Chain(&error), "an order that differs cannot be read; left for the next run");
    Ok(())
}

/// From when on an account's orders are compared: an order may be paid long after it was bought.
fn since(account: &accounts::AccountRow) -> OffsetDateTime {
    account.stock_from.saturating_sub(LONGEST_UNTIL_PAID)
}
