//! Reading the whole list of an account: windows by date of purchase, oldest first, each step a checkpoint.
//!
//! The journal's end is stored before the first list is read: what changes while the list is read is told by events
//! after that point, and nothing falls between.

use std::time::{Duration as StdDuration, Instant};

use futures_util::future::{try_join, try_join_all};
use serde_json::json;
use tasks::{Progress, Run, TaskError};
use time::{Duration, OffsetDateTime};

use super::access::{CallError, call};
use super::accounts;
use super::upsert::{Answers, Counts, Source, store};
use crate::clients::allegro::Window;
use crate::domain::order::Owner;
use crate::state::State;
use crate::store::cursors::{self, Cursor};

/// Allegro lists the last twelve months.
const HISTORY: Duration = Duration::days(365);
/// Allegro shows nothing deeper in a list (offset and limit together).
const MAX_DEPTH: i64 = 10_000;
/// Orders on a page, at most.
const PAGE: usize = 100;
/// Pages fetched at once and stored in one transaction.
const PAGES: i64 = 5;

/// How long one account may hold a worker before others have their turn; it goes on from its checkpoint.
const TURN: StdDuration = StdDuration::from_mins(1);

/// What one round of fetching brought.
struct Fetched {
    answers: Answers,
    /// Orders on the pages.
    count: i64,
    /// Orders in the window, as the last page said.
    total: i64,
    /// Every page said the same.
    is_steady: bool,
}

/// Reads the list from where the pass stands to its end.
///
/// # Errors
/// What the task runner shall do.
pub(crate) async fn sync(state: &State, run: &Run, owner: &Owner) -> Result<(), TaskError> {
    let mut cursor = begin(state, run, owner).await?;
    let mut counts = Counts::default();
    while let Some(window) = next_window(state, owner, &mut cursor).await? {
        if !read_window(state, run, owner, (&mut cursor, window), &mut counts).await? {
            // It has grown beyond what Allegro shows: it is measured again, and read from its beginning.
            cursor.pass_done -= cursor.window_offset;
            cursor = Cursor { window_to: None, window_offset: 0, window_total: None, ..cursor };
            continue;
        }
        cursor = Cursor {
            window_from: Some(window.to),
            window_to: None,
            window_offset: 0,
            window_total: None,
            ..cursor
        };
    }
    finish(state, run, owner, cursor, counts).await
}

/// Where the pass of this task stands; a new pass begins at the beginning.
async fn begin(state: &State, run: &Run, owner: &Owner) -> Result<Cursor, TaskError> {
    let mut conn = state.pool.get().await?;
    let mut cursor = cursors::read(&mut conn, owner.token_id).await?;
    drop(conn);
    if !cursor.is_anchored {
        let allegro = &state.allegro;
        let latest = call(state, owner.token_id, |token| async move { allegro.latest_event(&token).await });
        cursor.anchor_event_id = latest.await?;
        cursor.last_event_id.clone_from(&cursor.anchor_event_id);
        cursor.is_anchored = true;
    }
    if cursor.pass_task_id != Some(run.id().as_uuid()) {
        let now = state.now();
        cursor = Cursor {
            is_anchored: true,
            anchor_event_id: cursor.anchor_event_id,
            last_event_id: cursor.last_event_id,
            pass_task_id: Some(run.id().as_uuid()),
            pass_until: Some(now),
            window_from: Some(now - HISTORY),
            last_complete_list_sync: cursor.last_complete_list_sync,
            last_events_sync: cursor.last_events_sync,
            ..Cursor::default()
        };
    }
    let mut conn = state.pool.get().await?;
    cursors::write(&mut conn, owner.token_id, &cursor).await?;
    Ok(cursor)
}

/// The window to read next: as wide as Allegro's depth allows, none when the pass has reached its end.
async fn next_window(state: &State, owner: &Owner, cursor: &mut Cursor) -> Result<Option<Window>, TaskError> {
    let (Some(from), Some(until)) = (cursor.window_from, cursor.pass_until) else { return Ok(None) };
    if let Some(to) = cursor.window_to {
        return Ok(Some(Window { from, to }));
    }
    if from >= until {
        return Ok(None);
    }
    let mut to = until;
    loop {
        let window = Window { from, to };
        let allegro = &state.allegro;
        let first =
            call(state, owner.token_id, |token| async move { allegro.orders(&token, window, 0, 1).await });
        let total = first.await?.total_count;
        if to == until {
            cursor.pass_total = cursor.pass_done + total;
        }
        if total <= MAX_DEPTH {
            cursor.window_to = Some(to);
            cursor.window_total = Some(total);
            return Ok(Some(window));
        }
        to = from + (to - from) / 2;
        if to - from < Duration::MILLISECOND {
            let reason = format!("more than {MAX_DEPTH} orders were bought at {from}");
            return Err(TaskError::Fail(reason));
        }
    }
}

/// Reads a window page by page, to its end; false when it must be measured again. The next pages are on their way while the ones before are stored.
async fn read_window(
    state: &State,
    run: &Run,
    owner: &Owner,
    (cursor, window): (&mut Cursor, Window),
    counts: &mut Counts,
) -> Result<bool, TaskError> {
    let started = Instant::now();
    let mut fetched = fetch(state, owner, window, cursor.window_offset).await?;
    loop {
        run.check()?;
        if fetched.total > MAX_DEPTH {
            return Ok(false);
        }
        let has_changed = cursor.window_total.replace(fetched.total) != Some(fetched.total);
        if has_changed && cursor.window_offset > 0 || !fetched.is_steady {
            // The window changed under the pages (an order was merged away, or came late): what stood behind the
            // offset may have moved before it. Reading it again costs little and changes nothing that is right.
            tracing::info!(total = fetched.total, "a window changed while it was read; reading it again");
            cursor.pass_done -= cursor.window_offset;
            cursor.window_offset = 0;
            fetched = fetch(state, owner, window, 0).await?;
            continue;
        }
        if fetched.count == 0 {
            return Ok(true);
        }
        cursor.window_offset += fetched.count;
        cursor.pass_done += fetched.count;
        cursor.pass_total = cursor.pass_total.max(cursor.pass_done);
        let is_last = cursor.window_offset >= fetched.total;
        let next = async {
            if is_last {
                return Ok(None);
            }
            fetch(state, owner, window, cursor.window_offset).await.map(Some)
        };
        let (stored, next) = try_join(write(state, run, owner, cursor, &fetched.answers), next).await?;
        counts.added += stored.added;
        counts.updated += stored.updated;
        counts.unchanged += stored.unchanged;
        counts.late += stored.late;
        counts.failed += stored.failed;
        match next {
            Some(_) if started.elapsed() > TURN => {
                let reason = "others have their turn".to_owned();
                return Err(TaskError::Postpone { after: StdDuration::ZERO, reason });
            }
            Some(next) => fetched = next,
            None => return Ok(true),
        }
    }
}

/// Fetches a few pages at once.
async fn fetch(state: &State, owner: &Owner, window: Window, offset: i64) -> Result<Fetched, TaskError> {
    let page = i64::try_from(PAGE).unwrap_or(i64::MAX);
    let offsets = (0..PAGES).map(|n| offset + n * page).filter(|offset| offset + page <= MAX_DEPTH);
    let pages =
        offsets.map(|offset| async move {
            let asked_at = state.now();
            let allegro = &state.allegro;
            let answered = call(state, owner.token_id, |token| async move {
                allegro.orders(&token, window, offset, PAGE).await
            });
            Ok::<_, CallError>((answered.await?, asked_at))
        });
    let pages = try_join_all(pages).await?;
    let mut fetched = Fetched { answers: Answers::default(), count: 0, total: 0, is_steady: true };
    for (at, (page, asked_at)) in pages.into_iter().enumerate() {
        fetched.is_steady &= at == 0 || page.total_count == fetched.total;
        fetched.total = page.total_count;
        fetched.count += i64::try_from(page.checkout_forms.len()).unwrap_or_default();
        for raw in &page.checkout_forms {
            fetched.answers.read(raw, asked_at);
        }
    }
    Ok(fetched)
}

/// One step: orders, facts and checkpoint in one transaction.
async fn write(
    state: &State,
    run: &Run,
    owner: &Owner,
    cursor: &Cursor,
    answers: &Answers,
) -> Result<Counts, TaskError> {
    state
        .pool
        .transaction(async |conn| {
            let counts = store(state, conn, owner, answers, Source::List).await?;
            cursors::write(conn, owner.token_id, cursor).await?;
            let progress =
                Progress { current: cursor.pass_done, total: cursor.pass_total, stage: "orders".to_owned() };
            run.progress(conn, &progress).await?;
            Ok(counts)
        })
        .await
}

/// The pass is complete: from here on the journal is followed.
async fn finish(
    state: &State,
    run: &Run,
    owner: &Owner,
    cursor: Cursor,
    counts: Counts,
) -> Result<(), TaskError> {
    let now: OffsetDateTime = state.now();
    let cursor = Cursor { last_complete_list_sync: Some(now), pass_total: cursor.pass_done, ..cursor };
    let result = json!({
        "orders": cursor.pass_done, "added": counts.added, "updated": counts.updated,
        "unchanged": counts.unchanged, "late": counts.late, "failed": counts.failed,
    });
    state
        .pool
        .transaction(async |conn| {
            cursors::write(conn, owner.token_id, &cursor).await?;
            accounts::begin_following(conn, state, owner.token_id, now).await?;
            run.finish(conn, &result).await
        })
        .await
}
