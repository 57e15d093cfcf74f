//! Following the journal: each event is stored, and the order it names is read and stored with it.
//!
//! The cursor moves only over events whose orders landed (stored, or in quarantine), in the same transaction.

use std::collections::{HashMap, HashSet};

use futures_util::StreamExt;
use futures_util::stream;
use serde_json::json;
use serde_json::value::RawValue;
use tasks::{Progress, Run, TaskError};
use time::OffsetDateTime;

use super::access::{CallError, call};
use super::upsert::{Answers, Counts, Source, store};
use crate::clients::allegro::AllegroError;
use crate::domain::journal::Event;
use crate::domain::order::Owner;
use crate::state::State;
use crate::store::failed::{self, Failed};
use crate::store::{cursors, journal};

/// Events on a page, at most.
const PAGE: usize = 1000;
/// Events read again each time: an event may appear late, before others that were served already.
const OVERLAP: i64 = 50;
/// Orders fetched at once.
const FETCHES: usize = 8;
/// Orders of the quarantine tried again in one run, at most.
const RETRIES: i64 = 100;

/// How fetching one order ended.
type Outcome = Result<(Box<RawValue>, OffsetDateTime), CallError>;

/// Reads the journal to its end, and asks for the next run.
///
/// # Errors
/// What the task runner shall do.
pub(crate) async fn sync(state: &State, run: &Run, owner: &Owner) -> Result<(), TaskError> {
    retry_failed(state, owner).await?;
    let mut conn = state.pool.get().await?;
    let mut from = match journal::overlap_start(&mut conn, owner.token_id, OVERLAP).await? {
        Some(start) => Some(start),
        // Fewer were stored than the overlap reaches back: all of them are read again.
        None => cursors::read(&mut conn, owner.token_id).await?.anchor_event_id,
    };
    drop(conn);
    let mut events = 0;
    let mut counts = Counts::default();
    loop {
        run.check()?;
        let (allegro, start) = (&state.allegro, from.as_deref());
        let page =
            call(state, owner.token_id, |token| async move { allegro.events(&token, start, PAGE).await })
                .await?;
        let Some(last) = page.last().map(|event| event.id.clone()) else { break };
        let landed = land(state, run, owner, &page).await?;
        events += landed.events;
        counts.added += landed.counts.added;
        counts.updated += landed.counts.updated;
        if let Some(error) = landed.stopped_by {
            return Err(error.into());
        }
        if page.len() < PAGE {
            break;
        }
        from = Some(last);
    }
    finish(state, run, owner, events, counts).await
}

/// How far a page came.
struct Landed {
    events: usize,
    counts: Counts,
    /// What stood in the way of the rest.
    stopped_by: Option<CallError>,
}

/// Fetches the orders of a page's new events and stores both, as far as they came.
async fn land(state: &State, run: &Run, owner: &Owner, page: &[Event]) -> Result<Landed, TaskError> {
    let ids: Vec<&str> = page.iter().map(|event| event.id.as_str()).collect();
    let mut conn = state.pool.get().await?;
    let known: HashSet<String> = journal::known(&mut conn, owner.token_id, &ids).await?.into_iter().collect();
    drop(conn);
    let is_new = |event: &&Event| !known.contains(&event.id);
    let mut wanted: Vec<String> =
        page.iter().filter(is_new).filter_map(|event| event.order_id.clone()).collect();
    wanted.sort_unstable();
    wanted.dedup();

    let mut outcomes = fetch(state, owner, wanted).await;
    let stops =
        |event: &Event| event.order_id.as_ref().is_some_and(|id| outcomes.get(id).is_some_and(is_systemic));
    let leading = page.iter().position(|event| is_new(&event) && stops(event)).unwrap_or(page.len());
    let run_of_events = page.get(..leading).unwrap_or_default();
    let stopped_by = page.get(leading).and_then(|event| outcomes.remove(event.order_id.as_ref()?)?.err());

    let new: Vec<&Event> = run_of_events.iter().filter(is_new).collect();
    let mut answers = Answers::default();
    let mut taken = HashSet::new();
    for order_id in new.iter().filter_map(|event| event.order_id.as_deref()) {
        if taken.insert(order_id) {
            read(&mut answers, order_id, outcomes.remove(order_id));
        }
    }
    let last = run_of_events.last().map(|event| event.id.clone());
    let counts = state
        .pool
        .transaction(async |conn| {
            journal::store(conn, owner.token_id, &new).await?;
            let counts = store(state, conn, owner, &answers, Source::Event).await?;
            let mut cursor = cursors::read(conn, owner.token_id).await?;
            // The cursor never goes back into the overlap: it moves when the run reaches beyond it.
            let stands = page.iter().position(|event| Some(&event.id) == cursor.last_event_id.as_ref());
            if stands.is_none_or(|at| leading > at + 1) && last.is_some() {
                cursor.last_event_id = last;
                cursors::write(conn, owner.token_id, &cursor).await?;
            }
            let done = i64::try_from(new.len()).unwrap_or_default();
            let progress = Progress { current: done, total: done, stage: "events".to_owned() };
            run.progress(conn, &progress).await?;
            Ok::<_, TaskError>(counts)
        })
        .await?;
    Ok(Landed { events: new.len(), counts, stopped_by })
}

fn is_systemic(outcome: &Outcome) -> bool {
    match outcome {
        // An answer that cannot be read, or an odd refusal, is this order's own: other orders must not wait for it.
        Ok(_) | Err(CallError::Allegro(AllegroError::Malformed | AllegroError::OAuth { .. })) => false,
        Err(CallError::Allegro(error)) => error.is_systemic(),
        Err(_account_or_storage) => true,
    }
}

fn read(answers: &mut Answers, order_id: &str, outcome: Option<Outcome>) {
    match outcome {
        Some(Ok((raw, asked_at))) => answers.read(&raw, asked_at),
        Some(Err(error)) => {
            let class = match &error {
                CallError::Allegro(AllegroError::NotFound) => "not_found",
                _ => "refused",
            };
            let (order_id, text) = (order_id.to_owned(), error.to_string());
            answers.failed.push(Failed { order_id, class, text, document: None });
        }
        None => {}
    }
}

async fn fetch(state: &State, owner: &Owner, order_ids: Vec<String>) -> HashMap<String, Outcome> {
    stream::iter(order_ids)
        .map(|id| async move {
            let asked_at = state.now();
            let (allegro, order_id) = (&state.allegro, id.as_str());
            let answered =
                call(state, owner.token_id, |token| async move { allegro.order(&token, order_id).await })
                    .await;
            let outcome = answered.map(|raw| (raw, asked_at));
            (id, outcome)
        })
        .buffer_unordered(FETCHES)
        .collect()
        .await
}

/// Tries orders of the quarantine whose time has come. What is systemic is left to the journal's own reading.
async fn retry_failed(state: &State, owner: &Owner) -> Result<(), TaskError> {
    let mut conn = state.pool.get().await?;
    let due = failed::due(&mut conn, owner.token_id, state.now(), RETRIES).await?;
    drop(conn);
    if due.is_empty() {
        return Ok(());
    }
    let mut answers = Answers::default();
    for (order_id, outcome) in fetch(state, owner, due).await {
        if !is_systemic(&outcome) {
            read(&mut answers, &order_id, Some(outcome));
        }
    }
    state
        .pool
        .transaction(async |conn| {
            store(state, conn, owner, &answers, Source::Event).await?;
            Ok::<_, TaskError>(())
        })
        .await
}

async fn finish(
    state: &State,
    run: &Run,
    owner: &Owner,
    events: usize,
    counts: Counts,
) -> Result<(), TaskError> {
    let now = state.now();
    let result = json!({ "events": events, "added": counts.added, "updated": counts.updated });
    state
        .pool
        .transaction(async |conn| {
            let mut cursor = cursors::read(conn, owner.token_id).await?;
            cursor.last_events_sync = Some(now);
            cursors::write(conn, owner.token_id, &cursor).await?;
            run.finish(conn, &result).await
        })
        .await
}
