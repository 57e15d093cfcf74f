//! Windows of an account's list, by date of purchase: as wide as Allegro's depth allows, a few pages at a time.

use std::panic::resume_unwind;
use std::time::Duration as StdDuration;

use futures_util::future::try_join_all;
use tasks::TaskError;
use time::{Duration, OffsetDateTime};

use super::access::CallError;
use super::narrowing;
use super::upsert::Answers;
use crate::clients::allegro::{AllegroError, Window};
use crate::domain::order::Owner;
use crate::state::State;
use crate::store::cursors::Cursor;

/// Allegro lists the last twelve months.
pub(crate) const HISTORY: Duration = Duration::days(365);
/// Allegro shows nothing deeper in a list (offset and limit together).
pub(crate) const MAX_DEPTH: i64 = 10_000;
/// Orders on a page, at most.
const PAGE: i64 = 100;
/// Pages fetched at once.
const PAGES: i64 = 4;
/// How often the same pages are asked for that are empty though there is more; then the reading waits.
const TRIES: usize = 5;
/// How long.
const HOLE: StdDuration = StdDuration::from_secs(5);

/// What one round of fetching brought.
pub(crate) struct Fetched {
    /// Its pages, as many as there are without a hole.
    pub(crate) pages: Vec<Answers>,
    /// Orders in the window, as the last page said.
    pub(crate) total: i64,
    /// Every page said the same.
    pub(crate) is_steady: bool,
}

impl Fetched {
    /// Orders on the pages.
    pub(crate) fn count(&self) -> i64 {
        self.pages.iter().map(Answers::count).sum()
    }
}

/// The window to read next: as wide as Allegro's depth allows, none when the pass has reached its end.
pub(crate) async fn next_window(
    state: &State,
    owner: &Owner,
    cursor: &mut Cursor,
) -> Result<Option<Window>, TaskError> {
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
        let total = measure(state, owner, window).await?;
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

/// How many orders a window holds. Any order's page says so: the first one's may be no use.
async fn measure(state: &State, owner: &Owner, window: Window) -> Result<i64, CallError> {
    for place in [(0, 1), (1, 99)] {
        if let Some(total) = narrowing::orders(state, owner, window, place).await?.total {
            return Ok(total);
        }
    }
    Err(AllegroError::malformed().into())
}

/// Fetches a few pages at once, as many orders as there are without a hole.
///
/// # Errors
/// When Allegro's pages stay empty though there is more.
pub(crate) async fn fetch(
    state: &State,
    owner: &Owner,
    window: Window,
    offset: i64,
) -> Result<Fetched, TaskError> {
    for _ in 0..TRIES {
        let fetched = fetch_once(state, owner, window, offset).await?;
        if fetched.count() > 0 || offset >= fetched.total {
            return Ok(fetched);
        }
    }
    let reason = "Allegro's list is empty where it says that there is more".to_owned();
    Err(TaskError::Postpone { after: HOLE, reason })
}

async fn fetch_once(state: &State, owner: &Owner, window: Window, offset: i64) -> Result<Fetched, CallError> {
    let places = (0..PAGES).map(|n| offset + n * PAGE).filter(|at| *at < MAX_DEPTH);
    let pages = places.map(|at| async move {
        let (asked_at, limit) = (state.now(), PAGE.min(MAX_DEPTH - at));
        let limit = usize::try_from(limit).unwrap_or_default();
        let page = narrowing::orders(state, owner, window, (at, limit)).await?;
        let total = page.total;
        Ok::<_, CallError>((read(page, asked_at).await, total, at))
    });
    let pages = try_join_all(pages).await?;
    let totals: Vec<i64> = pages.iter().filter_map(|(_, total, _)| *total).collect();
    let total = *totals.last().ok_or_else(|| CallError::Allegro(AllegroError::malformed()))?;
    let is_steady = totals.iter().all(|it| *it == total);
    let mut fetched = Fetched { pages: Vec::new(), total, is_steady };
    for (page, _, at) in pages {
        // A page is empty at times though there is more: what comes after it is asked for again, from there.
        if offset + fetched.count() < at || page.count() == 0 {
            break;
        }
        fetched.pages.push(page);
    }
    Ok(fetched)
}

/// Reads the orders of a page, on another core than the one that stores the pages before.
async fn read(page: narrowing::Orders, asked_at: OffsetDateTime) -> Answers {
    let reading = tokio::spawn(async move {
        let mut answers = Answers::default();
        answers.failed = page.failed;
        for raw in &page.forms {
            answers.read(raw, asked_at, true);
        }
        answers
    });
    reading.await.unwrap_or_else(|error| resume_unwind(error.into_panic()))
}
