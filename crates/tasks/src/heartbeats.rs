//! The heartbeats of all running attempts of a process. One statement renews them all, and finds those that are lost.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use domain::TaskId;
use tokio_util::sync::CancellationToken;

use crate::store::{self, Try};

/// The attempts that run in this process.
#[derive(Default)]
pub(crate) struct Heartbeats(Mutex<HashMap<TaskId, (i32, CancellationToken)>>);

/// One running attempt. It ends when the value is dropped.
pub(crate) struct Heartbeat<'a> {
    heartbeats: &'a Heartbeats,
    id: TaskId,
    attempt: i32,
    /// Cancelled when the task is taken over or cancelled.
    pub(crate) lost: CancellationToken,
}

impl Heartbeats {
    /// Begins an attempt. An earlier attempt of the same task in this process has lost it.
    pub(crate) fn begin(&self, id: TaskId, attempt: i32) -> Heartbeat<'_> {
        let lost = CancellationToken::new();
        if let Some((_, earlier)) = self.tries().insert(id, (attempt, lost.clone())) {
            earlier.cancel();
        }
        Heartbeat { heartbeats: self, id, attempt, lost }
    }

    /// Renews all heartbeats, and cancels the attempts that lost their task.
    pub(crate) async fn beat(&self, pool: &pg::Pool) -> Result<(), pg::Error> {
        let mine: Vec<Try> = self.tries().iter().map(|(&id, &(attempt, _))| Try { id, attempt }).collect();
        if mine.is_empty() {
            return Ok(());
        }
        let alive = store::beat_all(&mut *pool.get().await?, &mine).await?;
        let tries = self.tries();
        for Try { id, attempt } in mine.iter().filter(|it| !alive.contains(&it.id)) {
            // Another attempt of the same task may have begun here meanwhile.
            if let Some((_, lost)) = tries.get(id).filter(|(now, _)| now == attempt) {
                lost.cancel();
            }
        }
        Ok(())
    }

    fn tries(&self) -> std::sync::MutexGuard<'_, HashMap<TaskId, (i32, CancellationToken)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Heartbeat<'_> {
    fn drop(&mut self) {
        let mut tries = self.heartbeats.tries();
        // A later attempt keeps its heartbeat.
        if tries.get(&self.id).is_some_and(|(attempt, _)| *attempt == self.attempt) {
            tries.remove(&self.id);
        }
    }
}
