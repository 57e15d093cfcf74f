//! Tells allegro-backup which orders are taken from the stock, and which are not any more.
//!
//! What is to be told stands in operations whose local half is done. They are claimed in sets, told order by order, and
//! how it went is written down in sets. While allegro-backup is away one order at a time is tried, and that uses up
//! nobody's tries.

mod outcome;

use std::time::{Duration, Instant};

use clients::{AllegroBackup, Error};
use domain::{AllegroOrderId, Chain, backoff, panic_as_error};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::state::State;
use crate::store::marks::{self, Claimed};
use outcome::Ended;

/// Looks for what is due at least so often.
const POLL: Duration = Duration::from_secs(1);
/// Longer than a question can take: whoever's lease is over asks no more.
const LEASE: Duration = Duration::from_secs(12);
/// Looks so often whether orders still wait to be taken, which goes first.
const RUSH: Duration = Duration::from_millis(50);
/// How long between tries while allegro-backup is away, at first and at most.
const FIRST_PROBE: Duration = Duration::from_millis(500);
const LONGEST_PROBE: Duration = Duration::from_secs(10);

const _: () =
    assert!(AllegroBackup::TIMEOUT.as_secs() * 2 <= LEASE.as_secs(), "a lease outlives its question");

/// Tells allegro-backup.
#[derive(Debug)]
pub(crate) struct Marker(pub(crate) State);

impl Marker {
    /// Tells until `stop`; questions under way are then ended and written down.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let (ended, outcomes) = mpsc::channel(self.0.settings.batch);
        let writing = tokio::spawn(outcome::write_down(self.0.clone(), outcomes));
        let mut asking: JoinSet<bool> = JoinSet::new();
        // Tries in a row that found allegro-backup away.
        let mut away = 0_u32;
        let (mut may_be_due, mut looked) = (true, Instant::now());
        while !stop.is_cancelled() {
            let is_rushed = self.0.rush.is_on(Instant::now());
            let room = if is_rushed { 0 } else { self.room(asking.len(), away) };
            if may_be_due && room > 0 {
                looked = Instant::now();
                let claimed = self.claim(room).await;
                may_be_due = !claimed.is_empty();
                for order in claimed {
                    asking.spawn(ask(self.0.backup.clone(), order, ended.clone()));
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                Some(found) = asking.join_next(), if !asking.is_empty() => {
                    let mut any = is_there(&found);
                    while let Some(found) = asking.try_join_next() {
                        any |= is_there(&found);
                    }
                    away = if any { 0 } else { away.saturating_add(1) };
                    if away > 0 && !any_there(&mut asking).await {
                        let pause = backoff::exponential(FIRST_PROBE, away, LONGEST_PROBE);
                        tokio::select! { () = stop.cancelled() => {} () = tokio::time::sleep(pause) => {} }
                    }
                    may_be_due |= away > 0 || looked.elapsed() >= POLL;
                }
                () = self.0.to_mark.notified(), if away == 0 => may_be_due = true,
                () = tokio::time::sleep(RUSH), if is_rushed => {}
                () = tokio::time::sleep(POLL), if !may_be_due => may_be_due = true,
            }
        }
        while asking.join_next().await.is_some() {}
        drop(ended);
        if let Err(error) = writing.await {
            tracing::error!(%error, "writing outcomes down panicked; their leases end by themselves");
        }
    }

    /// For how many more orders there is room: for one while allegro-backup is away, and else for as many as make looking
    /// for them worth while.
    fn room(&self, asking: usize, away: u32) -> usize {
        let batch = self.0.settings.batch;
        let free = batch.saturating_sub(asking);
        if away > 0 {
            usize::from(asking == 0)
        } else if free * 2 >= batch {
            free
        } else {
            0
        }
    }

    async fn claim(&self, room: usize) -> Vec<Claimed> {
        let (now, limit) = (self.0.now(), i64::try_from(room).unwrap_or(i64::MAX));
        let claimed = async {
            let mut conn = self.0.pool.get().await?;
            marks::claim(&mut conn, limit, now, now + LEASE).await
        };
        let claimed = panic_as_error(claimed).await.unwrap_or_else(|error: pg::Error| {
            tracing::warn!(error = %Chain(&error), "looking for orders to be marked failed");
            Vec::new()
        });
        let mut readable = Vec::with_capacity(claimed.len());
        for order in claimed {
            match order {
                Ok(order) => readable.push(order),
                Err(error) => {
                    tracing::error!(error = %Chain(&error), "order not flagged; will retry when its lease ends");
                }
            }
        }
        readable
    }
}

/// A question that panicked says nothing about allegro-backup.
const fn is_there(found: &Result<bool, JoinError>) -> bool {
    matches!(found, Ok(true) | Err(_))
}

/// Waits for all questions under way; whether one of them found allegro-backup there.
async fn any_there(asking: &mut JoinSet<bool>) -> bool {
    let mut any = false;
    while let Some(found) = asking.join_next().await {
        any |= matches!(found, Ok(true));
    }
    any
}

/// Tells of one order. Returns whether allegro-backup was there.
async fn ask(backup: AllegroBackup, order: Claimed, ended: mpsc::Sender<Ended>) -> bool {
    let started = Instant::now();
    let id = AllegroOrderId::from(order.order_id.clone());
    let told = panic_as_error(async {
        failpoint::hit("stock.before_mark");
        let told = backup.set_stock_updated(order.token_id.into(), &id, order.is_taken).await;
        failpoint::hit("stock.after_mark");
        told
    })
    .await;
    let is_there = !matches!(told, Err(Error::Unavailable { .. }));
    // Nobody receives only when writing down has panicked; the lease ends by itself.
    let _panicked = ended.send(Ended { order, told, took: started.elapsed() }).await;
    is_there
}
