//! Applies a batch in one transaction: inbox rows and effects together. A batch that fails, panics or keeps colliding
//! is bisected, so that a poison message fails alone.

use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;

use diesel::pg::Pg;
use diesel::sql_types::{Array, Text, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::events::Envelope;
use domain::{backoff, catch_panic};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Failure, Handler};
use crate::schema::inbox;

#[derive(QueryableByName)]
#[diesel(table_name = inbox, check_for_backend(Pg))]
struct Fresh {
    event_id: Uuid,
}

/// Attempts of a batch that collides with other transactions, before it is bisected.
const COLLISION_TRIES: u32 = 5;

/// An event that could not be applied, with the reason.
pub(super) struct Refusal {
    /// Its position in the batch.
    pub(super) index: usize,
    pub(super) failure: Failure,
}

/// Applies a batch, commits all events that can be applied, and returns the others. `None` when stopped while a
/// dependency was unavailable. Uncommitted events must then not be acknowledged.
pub(super) async fn apply<H: Handler>(
    pool: &pg::Pool,
    handler: &H,
    events: &[Envelope],
    stop: &CancellationToken,
) -> Option<Vec<Refusal>> {
    let mut refusals = Vec::new();
    let mut ranges = Vec::from([(Range { start: 0, end: events.len() }, 1)]);
    let mut waits = 0_u32;
    while let Some((range, tries)) = ranges.pop() {
        let Some(part) = events.get(range.clone()).filter(|part| !part.is_empty()) else { continue };
        let applied = catch_panic(once(pool, handler, part)).await;
        match applied.unwrap_or_else(|panic| Err(Failure::Retry(format!("the handler {panic}")))) {
            Ok((effect, duplicates)) => {
                waits = 0;
                metrics::counter!("messaging_duplicates_total", "consumer" => H::NAME).increment(duplicates);
                if let Err(panic) = catch_panic(handler.committed(effect)).await {
                    tracing::error!(consumer = H::NAME, %panic, "consumer failed after its commit");
                }
            }
            Err(Failure::Unavailable(reason)) => {
                waits += 1;
                tracing::warn!(reason, events = part.len(), "dependency unavailable; events will be retried");
                wait(waits, stop).await?;
                ranges.push((range, tries));
            }
            Err(Failure::Collision(reason)) if tries < COLLISION_TRIES => {
                tracing::warn!(reason, events = part.len(), tries, "batch collided; will retry");
                wait(tries, stop).await?;
                ranges.push((range, tries + 1));
            }
            Err(failure) if part.len() == 1 => {
                refusals.push(Refusal { index: range.start, failure });
            }
            Err(_split) => {
                let middle = range.start + part.len() / 2;
                // The earlier half is popped first, which keeps the order as far as possible.
                ranges.push((middle..range.end, 1));
                ranges.push((range.start..middle, 1));
            }
        }
    }
    Some(refusals)
}

/// Waits before attempt number `tries`. `None` when stopped.
async fn wait(tries: u32, stop: &CancellationToken) -> Option<()> {
    let pause = backoff::exponential(Duration::from_millis(100), tries, Duration::from_secs(10));
    stop.run_until_cancelled(tokio::time::sleep(pause)).await
}

/// Returns the handler's effect, and the number of duplicates.
async fn once<H: Handler>(
    pool: &pg::Pool,
    handler: &H,
    events: &[Envelope],
) -> Result<(H::Effect, u64), Failure> {
    pool.transaction(async |conn| {
        let mut fresh = record(conn, H::NAME, events).await?;
        // An event that occurs twice in one batch is handled once.
        let fresh: Vec<&Envelope> = events.iter().filter(|event| fresh.remove(&event.id.as_uuid())).collect();
        let duplicates = u64::try_from(events.len() - fresh.len()).unwrap_or_default();
        failpoint::hit("consumer.handle");
        Ok((handler.handle(conn, &fresh).await?, duplicates))
    })
    .await
}

/// Inserts the inbox rows, in sorted order so that two consumers cannot deadlock, and returns the new ids.
async fn record(
    conn: &mut pg::Connection,
    consumer: &str,
    events: &[Envelope],
) -> Result<HashSet<Uuid>, pg::Error> {
    let mut ids: Vec<Uuid> = events.iter().map(|event| event.id.as_uuid()).collect();
    ids.sort_unstable();
    let statement = sql_query(
        "INSERT INTO inbox (consumer, event_id) SELECT $1, unnest($2) \
         ON CONFLICT DO NOTHING RETURNING event_id",
    )
    .bind::<Text, _>(consumer)
    .bind::<Array<SqlUuid>, _>(ids);
    let fresh: Vec<Fresh> = pg::prepared(statement).load(conn).await?;
    Ok(fresh.into_iter().map(|row| row.event_id).collect())
}
