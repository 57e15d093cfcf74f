//! Following the journal: each event is stored, and the order it names is read and stored with it.
//!
//! The cursor moves only over events whose orders landed (stored, or in quarantine), in the same transaction. Each time
//! a stretch before the cursor is read again: an event may appear late, before others that were served already.

use std::collections::{HashMap, HashSet};

use serde_json::json;
use tasks::{Progress, Run, TaskError};
use time::Duration;

use super::access::CallError;
use super::details::{self, Told};
use super::history::{self, Kind};
use super::landing::Learned;
use super::narrowing;
use super::task_definitions::{FullResync, FullSync};
use super::upsert::{Counts, Source};
use crate::clients::allegro::AllegroError;
use crate::domain::journal::Event;
use crate::domain::order::Owner;
use crate::state::State;
use crate::store::cursors::Cursor;
use crate::store::{cursors, failed, journal, rereads};

/// Events on a page, at most.
const PAGE: usize = 1000;
/// Events whose orders are held at once and stored together: many accounts catch up at the same time.
const STRETCH: usize = 250;
/// Allegro keeps events for 60 days: a cursor that stood for so long may name one that is gone soon.
const STALE: Duration = Duration::days(30);

/// Where a reading begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Begin {
    /// Before the cursor, by the overlap.
    Cursor,
    /// After the event of this id, or at the journal's beginning.
    After {
        /// The event.
        event_id: Option<String>,
        /// Orders of events that are stored already are read too.
        again: bool,
    },
}

/// A reading of the journal under way.
struct Reading<'a> {
    state: &'a State,
    run: &'a Run,
    owner: &'a Owner,
    /// Orders of events that are stored already are read again.
    again: bool,
    /// Orders of this page that were asked for and landed: an answer is younger than every event of the page.
    asked: HashSet<String>,
    events: i64,
    counts: Counts,
}

/// Reads the journal to its end.
///
/// # Errors
/// What the task runner shall do.
pub(crate) async fn sync(state: &State, run: &Run, owner: &Owner, begin: Begin) -> Result<(), TaskError> {
    let mut conn = state.pool.get().await?;
    let cursor = cursors::read(&mut conn, owner.token_id).await?;
    if !cursor.is_anchored {
        drop(conn);
        return list_first(state, run, owner).await;
    }
    let (mut from, again) = match begin {
        Begin::After { event_id, again } => (event_id, again),
        Begin::Cursor => {
            let overlap = i64::from(state.sync.events_overlap);
            let start = journal::overlap_start(&mut conn, owner.token_id, overlap).await?;
            // Fewer were stored than the overlap reaches back: all of them are read again.
            (start.or_else(|| cursor.anchor_event_id.clone()), false)
        }
    };
    drop(conn);
    let mut reading =
        Reading { state, run, owner, again, asked: HashSet::new(), events: 0, counts: Counts::default() };
    let mut is_first = true;
    loop {
        run.check()?;
        let page = match reading.page(from.as_deref()).await {
            // It names an event that is gone, perhaps: whatever is left is read from its beginning.
            Err(CallError::Allegro(AllegroError::Refused { .. } | AllegroError::NotFound))
                if is_first && from.is_some() =>
            {
                tracing::warn!(
                    from,
                    "Allegro does not know where to read on; reading the journal from its beginning"
                );
                from = None;
                is_first = false;
                continue;
            }
            page => page?,
        };
        if page.is_empty() && is_first && from.is_some() && is_stale(state, &cursor) {
            from = None;
            is_first = false;
            continue;
        }
        is_first = false;
        if page.is_empty() {
            break;
        }
        reading.asked.clear();
        for begin in (0..page.len()).step_by(STRETCH) {
            if let Some(error) = reading.land(&page, begin).await? {
                return Err(error.into());
            }
        }
        if page.len() < PAGE {
            break;
        }
        let Some(last) = narrowing::last_named(&page) else {
            tracing::error!(account = %owner.token_id, "a page of events has no id; the journal cannot be read after it");
            break;
        };
        from = Some(last);
    }
    reading.finish().await
}

fn is_stale(state: &State, cursor: &Cursor) -> bool {
    cursor.last_event_at.is_some_and(|at| state.now() - at > STALE)
}

/// The list comes before the journal; whoever follows an account whose list nobody reads begins that.
async fn list_first(state: &State, run: &Run, owner: &Owner) -> Result<(), TaskError> {
    state
        .pool
        .transaction(async |conn| {
            let task = FullSync::whole((owner.token_id, &owner.user_id), None, None);
            let task_id = tasks::enqueue(conn, state.ids.next_id().into(), state.now(), &task).await?;
            run.finish(conn, &json!({ "waits_for": task_id })).await
        })
        .await
}

impl Reading<'_> {
    async fn page(&self, from: Option<&str>) -> Result<Vec<Event>, CallError> {
        narrowing::events(self.state, self.owner, from, PAGE).await
    }

    /// Fetches the orders of a stretch of a page's events and stores both, as far as they came. Returns what stood in the
    /// way of the rest.
    async fn land(&mut self, page: &[Event], begin: usize) -> Result<Option<CallError>, TaskError> {
        let Self { state, run, owner, again, .. } = *self;
        let asked = &self.asked;
        let stretch = page.get(begin..page.len().min(begin + STRETCH)).unwrap_or_default();
        let ids: Vec<&str> = stretch.iter().map(|event| event.id.as_str()).collect();
        let mut conn = state.pool.get().await?;
        let known: HashSet<String> =
            journal::known(&mut conn, owner.token_id, &ids).await?.into_iter().collect();
        // Each request for such an order pauses the account: it is requested at its next retry only.
        let order_ids: Vec<&str> = stretch.iter().filter_map(|event| event.order_id.as_deref()).collect();
        let throttled = failed::throttled(&mut conn, owner.token_id, &order_ids, state.now()).await?;
        drop(conn);
        let is_new = |event: &&Event| !known.contains(&event.id);
        let is_wanted = |event: &&Event| again || is_new(event);
        let mut wanted: Vec<String> =
            stretch.iter().filter(is_wanted).filter_map(|event| event.order_id.clone()).collect();
        wanted.retain(|id| !asked.contains(id) && !throttled.contains(id));
        wanted.sort_unstable();
        wanted.dedup();

        let mut told = details::ask(state, owner, wanted).await?;
        let (leading, stopped_by) = leading(stretch, &mut told);
        let run_of_events = stretch.get(..leading).unwrap_or_default();
        let new: Vec<&Event> = run_of_events.iter().filter(is_new).collect();
        let (mut learned, mut landing) = (Learned::default(), Vec::new());
        for order_id in run_of_events.iter().filter_map(|event| event.order_id.as_ref()) {
            if let Some(told) = told.remove(order_id) {
                learned.add(order_id.clone(), told);
                landing.push(order_id.clone());
            }
        }
        let last = new.iter().rev().find(|event| event.is_named()).map(|event| event.id.clone());
        let landed = i64::try_from(new.len()).unwrap_or_default();
        let events = self.events + landed;
        let counts = state
            .pool
            .transaction(async |conn| {
                journal::store(conn, owner.token_id, &new).await?;
                let counts = learned.store(state, conn, owner, Source::Event).await?;
                rereads::plan(conn, owner.token_id, &learned.answered(), state.now()).await?;
                let mut cursor = cursors::read(conn, owner.token_id).await?;
                // The cursor never goes back into the overlap: it moves when the run reaches beyond it.
                let stands = page.iter().position(|event| Some(&event.id) == cursor.last_event_id.as_ref());
                if last.is_some() && stands.is_none_or(|at| begin + leading > at + 1) {
                    cursor.last_event_id.clone_from(&last);
                    cursor.last_event_at = Some(state.now());
                    cursors::write(conn, owner.token_id, &cursor).await?;
                }
                if landed > 0 || again {
                    history::count(conn, state.now(), (run, owner), Kind::Events, counts).await?;
                }
                let progress = Progress { current: events, total: events, stage: "events".to_owned() };
                run.progress(conn, &progress).await?;
                Ok::<_, TaskError>(counts)
            })
            .await?;
        self.asked.extend(landing);
        self.events = events;
        counts.log(owner.token_id);
        self.counts += counts;
        Ok(stopped_by)
    }

    async fn finish(self) -> Result<(), TaskError> {
        let Self { state, run, owner, events, counts, .. } = self;
        let now = state.now();
        let result = json!({
            "events": events, "added": counts.added, "updated": counts.updated, "unchanged": counts.unchanged,
            "failed": counts.failed,
        });
        state
            .pool
            .transaction(async |conn| {
                let mut cursor = cursors::read(conn, owner.token_id).await?;
                // The journal reaches back 60 days: what happened before, it does not tell any more.
                let is_cut_off = cursor.last_events_sync.is_some_and(|at| now - at > STALE);
                if is_cut_off {
                    let task = FullResync::of((owner.token_id, &owner.user_id));
                    tasks::enqueue(conn, state.ids.next_id().into(), now, &task).await?;
                }
                cursor.last_events_sync = Some(now);
                cursors::write(conn, owner.token_id, &cursor).await?;
                history::complete(state, conn, run, &result).await
            })
            .await
    }
}

/// How far the leading run goes in which no order may be Allegro's trouble, and what ends it.
fn leading(events: &[Event], told: &mut HashMap<String, Told>) -> (usize, Option<CallError>) {
    let stops = |event: &Event| {
        event.order_id.as_ref().is_some_and(|id| matches!(told.get(id), Some(Told::Unsettled(_))))
    };
    let Some(at) = events.iter().position(stops) else { return (events.len(), None) };
    let stopper = events.get(at).and_then(|event| told.remove(event.order_id.as_ref()?));
    match stopper {
        Some(Told::Unsettled(error)) => (at, Some(error)),
        _ => (at, None),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::HashMap;

    use serde_json::json;
    use time::OffsetDateTime;

    use super::{Told, leading};
    use crate::app::access::CallError;
    use crate::clients::allegro::AllegroError;
    use crate::domain::journal::Event;

    fn event(order_id: Option<&str>) -> Event {
        Event {
            id: "1".to_owned(),
            kind: "BOUGHT".to_owned(),
            occurred_at: OffsetDateTime::UNIX_EPOCH,
            order_id: order_id.map(str::to_owned),
            content: json!({}),
        }
    }

    #[test]
    fn the_run_ends_before_the_first_event_whose_order_is_unsettled() {
        let page = [event(Some("a")), event(None), event(Some("b")), event(Some("a"))];
        let unsettled = || Told::Unsettled(CallError::Allegro(AllegroError::malformed()));
        let gone = || Told::Gone(OffsetDateTime::UNIX_EPOCH);
        for (told, expected) in [
            (vec![("a", gone()), ("b", gone())], (4, false)),
            (vec![("a", gone()), ("b", unsettled())], (2, true)),
            (vec![("a", unsettled()), ("b", gone())], (0, true)),
        ] {
            let mut told: HashMap<String, Told> =
                told.into_iter().map(|(id, told)| (id.to_owned(), told)).collect();
            let (at, error) = leading(&page, &mut told);
            assert_eq!((at, error.is_some()), expected);
        }
        assert_eq!(leading(&[], &mut HashMap::new()).0, 0);
        assert!(page.first().unwrap().order_id.is_some());
    }
}
