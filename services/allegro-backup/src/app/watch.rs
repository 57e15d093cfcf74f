//! Nothing stays behind: what a dead process left half done is taken up, and what should be going on is begun again.

use std::time::{Duration, Instant};

use domain::{Chain, TokenId, panic_as_error};
use tokio_util::sync::CancellationToken;

use super::task_definitions::{FullSync, PollAuthorization};
use super::{accounts, gauges, history, quarantine, refresh};
use crate::state::State;
use crate::store::tokens::{self, Forgotten};
use crate::store::{authorizations, cursors};

/// Allegro takes an interrupted refresh's token for 60 s: it is looked for often.
const REFRESHES: Duration = Duration::from_secs(5);
/// How often tasks that ended without a successor are looked for.
const TASKS: Duration = Duration::from_mins(1);
/// Connected accounts by `state`: `active`, `needs_reauthorization`, `removed`.
const ACCOUNTS: &str = "allegro_accounts";

/// Watches until `stop`. Any number of replicas may: what one begins, the others find begun.
pub(crate) async fn watch(state: State, stop: CancellationToken) {
    let mut looked = None::<Instant>;
    let mut is_up_to_date = false;
    while !stop.is_cancelled() {
        if !is_up_to_date {
            match panic_as_error(bring_up_to_date(&state)).await {
                Ok(()) => is_up_to_date = true,
                Err(error) => tracing::warn!(error = %Chain(&error), "schedules keep their old intervals"),
            }
        }
        if let Err(error) = panic_as_error(history::settle(&state)).await {
            tracing::warn!(error = %Chain(&error), "looking for readings without a task failed");
        }
        if let Err(error) = panic_as_error(refresh::retry_interrupted(&state)).await {
            tracing::warn!(error = %Chain(&error), "looking for interrupted refreshes failed");
        }
        if let Err(error) = panic_as_error(count(&state)).await {
            tracing::warn!(error = %Chain(&error), "counting accounts failed");
        }
        if looked.is_none_or(|at| at.elapsed() >= TASKS) {
            looked = Some(Instant::now());
            if let Err(error) = panic_as_error(begin_again(&state)).await {
                tracing::warn!(error = %Chain(&error), "looking for forgotten accounts failed");
            }
            if let Err(error) = panic_as_error(quarantine::announce(&state)).await {
                tracing::warn!(error = %Chain(&error), "alerts of quarantined orders not updated");
            }
            if let Err(error) = panic_as_error(gauges::measure(&state)).await {
                tracing::warn!(error = %Chain(&error), "measuring failed");
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(REFRESHES) => {}
        }
    }
}

/// Tells how many accounts there are, by state.
async fn count(state: &State) -> Result<(), pg::Error> {
    for (name, number) in tokens::count_by_state(&mut *state.pool.get().await?).await? {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        metrics::gauge!(ACCOUNTS, "state" => name).set(number);
    }
    Ok(())
}

/// Accounts that are followed already get the intervals of this start's settings.
async fn bring_up_to_date(state: &State) -> Result<(), pg::Error> {
    let followed = cursors::followed(&mut *state.pool.get().await?).await?;
    for (token_id, _) in followed {
        follow(state, token_id).await?;
    }
    Ok(())
}

async fn follow(state: &State, token_id: TokenId) -> Result<(), pg::Error> {
    let now = state.now();
    state.pool.transaction(async |conn| accounts::begin_following(conn, state, token_id, now).await).await
}

/// An account whose task has failed for good is worked for again, and a device flow that still waits is polled again.
async fn begin_again(state: &State) -> Result<(), pg::Error> {
    let now = state.now();
    let forgotten = tokens::forgotten(&mut *state.pool.get().await?).await?;
    for Forgotten { token_id, user_id, is_read } in forgotten {
        tracing::warn!(token = %token_id, "nobody was at an account any more; beginning again");
        if is_read {
            follow(state, token_id).await?;
        } else {
            let task = FullSync::whole((token_id, &user_id), None, None);
            tasks::enqueue(&mut *state.pool.get().await?, state.ids.next_id().into(), now, &task).await?;
        }
    }
    let mut conn = state.pool.get().await?;
    authorizations::expire(&mut conn, now).await?;
    for (id, user_id) in authorizations::forgotten(&mut conn).await? {
        tracing::warn!(authorization = %id, "nobody was at a device flow any more; beginning again");
        let task = PollAuthorization::of((id, &user_id), now, None, None);
        tasks::enqueue(&mut conn, state.ids.next_id().into(), now, &task).await?;
    }
    Ok(())
}
