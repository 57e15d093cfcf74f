//! Reading one window of the list, page by page: a few steps are stored side by side, and last one after the other.
//!
//! Invariant: a checkpoint never stands beyond what is stored. A step's orders and facts are written while those of the step
//! before still are; its checkpoint is written, and the whole committed, only after the other's commit.

use std::collections::{HashSet, VecDeque};
use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::future::FutureExt;
use futures_util::stream::{self, StreamExt};
use tasks::{Progress, TaskError};
use tokio::sync::{mpsc, watch};

use super::history;
use super::list_sync::Pass;
use super::list_window::{Fetched, MAX_DEPTH, fetch};
use super::upsert::{Answers, Counts, store};
use crate::clients::allegro::Window;
use crate::store::cursors::{self, Cursor};

/// Steps stored at once.
const AT_ONCE: usize = 3;
/// Steps fetched beforehand, at most.
const AHEAD: usize = 2;
/// Pages of a step. Larger ones are not stored faster, and every connection keeps a buffer as large as the largest.
const PAGES_OF_A_STEP: usize = 2;
/// How long one account may hold a worker before others have their turn; it goes on from its checkpoint.
const TURN: Duration = Duration::from_mins(1);

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Waiting,
    /// It has its connection.
    Begun,
    Committed,
}

/// A few pages, to be stored in one transaction with where the reading stands after it.
struct Step {
    cursor: Cursor,
    answers: Answers,
    /// How far the step before is.
    before: watch::Receiver<Stage>,
    /// What tells the step after.
    stage: watch::Sender<Stage>,
    /// It holds an order that a step under way holds, too, and must not lock it first.
    waits_at_once: bool,
}

/// Fetches the steps of a window.
struct Reader<'a> {
    pass: Pass<'a>,
    cursor: &'a mut Cursor,
    window: Window,
    started: Instant,
    /// How far the last step is, and the orders of those that may be under way.
    last: watch::Receiver<Stage>,
    under_way: VecDeque<HashSet<String>>,
}

/// Reads a window to its end; false when it must be measured again. What was fetched before something went wrong is stored.
///
/// # Errors
/// What the task runner shall do.
pub(super) async fn read(
    pass: Pass<'_>,
    (cursor, window): (&mut Cursor, Window),
    counts: &mut Counts,
) -> Result<bool, TaskError> {
    let (_, nothing_before) = watch::channel(Stage::Committed);
    let reader = Reader {
        pass,
        cursor,
        window,
        started: Instant::now(),
        last: nothing_before,
        under_way: VecDeque::new(),
    };
    let (ahead, steps) = mpsc::channel(AHEAD);
    // What was fetched is stored in that order, and so are outcomes.
    let steps = stream::unfold(steps, async |mut steps| Some((steps.recv().await?, steps)));
    let mut outcomes = pin!(steps.map(|step| write(pass, step)).buffered(AT_ONCE));
    let store = async {
        while let Some(stored) = outcomes.next().await {
            *counts += stored?;
        }
        Ok::<_, TaskError>(())
    };
    let (end, ()) = tokio::try_join!(reader.read(ahead).map(Ok), store)?;
    end
}

impl Reader<'_> {
    /// Fetches until the window was read to its end, must be measured again, or is left.
    async fn read(mut self, ahead: mpsc::Sender<Step>) -> Result<bool, TaskError> {
        loop {
            let mut pages = match self.fetch().await? {
                Ok(fetched) => fetched.pages,
                Err(end) => return Ok(end),
            };
            while !pages.is_empty() {
                let answers = pages.drain(..PAGES_OF_A_STEP.min(pages.len())).collect();
                if ahead.send(self.step(answers)).await.is_err() {
                    let reason = "a step was not stored".to_owned();
                    return Err(TaskError::Postpone { after: Duration::ZERO, reason });
                }
            }
        }
    }

    /// The next pages, or how the window ended.
    async fn fetch(&mut self) -> Result<Result<Fetched, bool>, TaskError> {
        let Pass { state, run, owner, .. } = self.pass;
        loop {
            run.check()?;
            // What a process before this one has read is looked at once more: it may have changed since.
            let is_read = self.cursor.window_total.is_some_and(|total| self.cursor.window_offset >= total);
            if is_read && !self.under_way.is_empty() {
                return Ok(Err(true));
            }
            if self.started.elapsed() > TURN {
                let reason = "others have their turn".to_owned();
                return Err(TaskError::Postpone { after: Duration::ZERO, reason });
            }
            let fetched = fetch(state, owner, self.window, self.cursor.window_offset).await?;
            if fetched.total > MAX_DEPTH {
                return Ok(Err(false));
            }
            let has_changed = self.cursor.window_total.replace(fetched.total) != Some(fetched.total);
            if has_changed && self.cursor.window_offset > 0 || !fetched.is_steady {
                // The window changed under the pages (an order was merged away, or came late): what stood behind the
                // offset may have moved before it. Reading it again costs little and changes nothing that is right.
                tracing::info!(total = fetched.total, "a window changed while it was read; reading it again");
                self.cursor.pass_done -= self.cursor.window_offset;
                self.cursor.window_offset = 0;
                continue;
            }
            return Ok(if fetched.count() == 0 { Err(true) } else { Ok(fetched) });
        }
    }

    /// What is to be stored at once, and after what.
    fn step(&mut self, answers: Answers) -> Step {
        let count = answers.count();
        self.cursor.window_offset += count;
        self.cursor.pass_done += count;
        self.cursor.pass_total = self.cursor.pass_total.max(self.cursor.pass_done);
        let ids: HashSet<String> = answers.named().map(str::to_owned).collect();
        let waits_at_once = self.under_way.iter().any(|other| !other.is_disjoint(&ids));
        self.under_way.push_back(ids);
        if self.under_way.len() >= AT_ONCE {
            self.under_way.pop_front();
        }
        let (stage, after) = watch::channel(Stage::Waiting);
        let before = std::mem::replace(&mut self.last, after);
        Step { cursor: self.cursor.clone(), answers, before, stage, waits_at_once }
    }
}

/// One step: orders, facts and checkpoint in one transaction, which ends after the one before.
async fn write(pass: Pass<'_>, step: Step) -> Result<Counts, TaskError> {
    let Pass { state, run, owner, wish } = pass;
    let Step { cursor, answers, before, stage, waits_at_once } = step;
    // Whoever holds a connection waits for nobody who has none yet: there may be no other.
    until(&before, if waits_at_once { Stage::Committed } else { Stage::Begun }).await?;
    let counts = state
        .pool
        .transaction(async |conn| {
            stage.send_replace(Stage::Begun);
            let counts = store(state, conn, owner, &answers, wish.source()).await?;
            // From here on rows are written that the step before writes, too.
            until(&before, Stage::Committed).await?;
            cursors::write(conn, owner.token_id, &cursor).await?;
            history::count(conn, state.now(), (run, owner), wish.kind(), counts).await?;
            let progress =
                Progress { current: cursor.pass_done, total: cursor.pass_total, stage: "orders".to_owned() };
            run.progress(conn, &progress).await?;
            Ok::<_, TaskError>(counts)
        })
        .await?;
    stage.send_replace(Stage::Committed);
    counts.log(owner.token_id);
    Ok(counts)
}

/// Waits until the step before is so far. One that failed ends the reading before this one is asked for its outcome.
async fn until(before: &watch::Receiver<Stage>, wanted: Stage) -> Result<(), TaskError> {
    let reason = "the step before was not stored".to_owned();
    let failed = |_gone| TaskError::Postpone { after: Duration::ZERO, reason };
    before.clone().wait_for(|stage| *stage >= wanted).await.map(drop).map_err(failed)
}
