//! Whether stock follows sales: numbers for people, alerts when it does not, and a word every morning.

use std::time::Duration;

use alerts::{Alert, Daily};
use domain::{Chain, panic_as_error};
use runtime::MessagesAreDead;
use time::{OffsetDateTime, Time};
use tokio_util::sync::CancellationToken;

use crate::domain::alert::{Notice, Summary};
use crate::state::State;
use crate::store::reconciliations;
use crate::store::statistics::{self, Statistics, Window};

/// How often numbers are told and the morning is looked for.
const EVERY: Duration = Duration::from_secs(10);

/// What is under way, and what the shop has done today; a user's, or everybody's.
pub(crate) async fn today(state: &State, user_id: Option<&str>) -> Result<Statistics, pg::Error> {
    let now = state.now();
    let zone = &state.settings.zone;
    let midnight = zone.moment(zone.local(now).date(), Time::MIDNIGHT).unwrap_or(now);
    statistics::count(&mut *state.pool.get().await?, user_id, &window(state, now, (midnight, now))).await
}

/// Whether messages of the service are dead-lettered.
pub(crate) async fn has_dead_letters(state: &State) -> Result<bool, pg::Error> {
    alerts::is_open(&mut *state.pool.get().await?, MessagesAreDead::CAUSE).await
}

/// What is completed at this very moment belongs to it.
fn window(state: &State, now: OffsetDateTime, (from, to): (OffsetDateTime, OffsetDateTime)) -> Window {
    let to = to.saturating_add(time::Duration::microseconds(1));
    Window { now, from, to, stale_before: now - state.settings.watch.stale_after }
}

/// Tells people what is wrong with what is under way, and clears what is right again. Returns the kinds that are wrong.
///
/// # Errors
/// The database's.
pub(crate) async fn look_over(state: &State) -> Result<Vec<&'static str>, pg::Error> {
    let (now, watch) = (state.now(), &state.settings.watch);
    let counted = today(state, None).await?;
    let tries = statistics::tries(&mut *state.pool.get().await?, now - watch.failure_window).await?;
    let percent = tries.failed.saturating_mul(100).checked_div(tries.all).unwrap_or_default();
    let is_failing =
        tries.all >= watch.failure_tries && tries.failed * 100 > tries.all * watch.failure_percent;
    let minutes = whole(watch.failure_window.as_secs() / 60);
    let hours = whole(watch.stale_after.as_secs() / 3600);
    let looked = [
        (
            counted.pending > watch.max_pending,
            Notice::TooManyPending { count: counted.pending, limit: watch.max_pending },
        ),
        (is_failing, Notice::FailureRate { percent, tries: tries.all, minutes }),
        (counted.stale > 0, Notice::Stale { count: counted.stale, hours }),
    ];
    let looked = &looked;
    state
        .pool
        .transaction(async |conn| {
            for (is_wrong, notice) in looked {
                if *is_wrong {
                    alerts::raise(conn, now, notice).await?;
                } else {
                    alerts::clear(conn, now, &notice.cause()).await?;
                }
            }
            if statistics::without_sku(conn).await? == 0 {
                alerts::clear(conn, now, Notice::NO_SKU).await?;
            }
            Ok::<_, pg::Error>(())
        })
        .await?;
    Ok(looked.iter().filter(|(is_wrong, _)| *is_wrong).map(|(_, notice)| notice.kind()).collect())
}

/// Tells numbers, and in the morning a word, until `stop`.
pub(crate) async fn watch(state: State, stop: CancellationToken) {
    let daily = Daily {
        key: "stock_sync",
        at: Time::from_hms(8, 0, 0).unwrap_or(Time::MIDNIGHT),
        zone: state.settings.zone.clone(),
    };
    while !stop.is_cancelled() {
        if let Err(error) = panic_as_error(measure(&state)).await {
            tracing::warn!(error = %Chain(&error), "what is under way could not be measured");
        }
        if let Err(error) = panic_as_error(summarise(&state, &daily)).await {
            tracing::warn!(error = %Chain(&error), "the day could not be summed up");
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

async fn measure(state: &State) -> Result<(), pg::Error> {
    let mut conn = state.pool.get().await?;
    for group in statistics::by_state(&mut conn).await? {
        metrics::gauge!("stock_operations", "status" => group.name).set(gauge(group.count));
    }
    for group in reconciliations::open(&mut conn).await? {
        metrics::gauge!("stock_discrepancies_open", "kind" => group.name).set(gauge(group.count));
    }
    drop(conn);
    let counted = today(state, None).await?;
    metrics::gauge!("stock_oldest_pending_seconds").set(counted.oldest_pending_seconds.unwrap_or_default());
    metrics::gauge!("stock_stale_operations").set(gauge(counted.stale));
    metrics::gauge!("stock_first_try_rate").set(counted.first_try_rate.unwrap_or(1.0));
    Ok(())
}

async fn summarise(state: &State, daily: &Daily) -> Result<(), pg::Error> {
    let now = state.now();
    let mut conn = state.pool.get().await?;
    let Some(today) = daily.due(&mut conn, now).await? else { return Ok(()) };
    let zone = &state.settings.zone;
    let Some(day) = today.previous_day() else { return Ok(()) };
    let midnights = (zone.moment(day, Time::MIDNIGHT), zone.moment(today, Time::MIDNIGHT));
    let (Some(from), Some(to)) = midnights else { return Ok(()) };
    let window = Window { now, from, to, stale_before: now - state.settings.watch.stale_after };
    let counted = statistics::count(&mut conn, None, &window).await?;
    let open = reconciliations::open(&mut conn).await?;
    let summary = Summary {
        day,
        completed: counted.completed,
        pending: counted.pending,
        failed: counted.failed,
        stale: counted.stale,
        discrepancies: open.iter().map(|it| it.count).sum(),
        low: statistics::low_levels(&mut conn).await?,
    };
    drop(conn);
    state
        .pool
        .transaction(async |conn| daily.announce(conn, now, today, |language| summary.text(language)).await)
        .await?;
    Ok(())
}

/// Numbers as large as the metrics' format tells apart.
fn gauge(count: i64) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
