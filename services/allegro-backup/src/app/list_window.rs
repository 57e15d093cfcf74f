//! Windows of an account's list, by date of purchase: as wide as Allegro's depth allows, a few pages at a time.

use futures_util::future::try_join_all;
use tasks::TaskError;
use time::Duration;

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
const PAGE: usize = 100;
/// Pages fetched at once and stored in one transaction.
const PAGES: i64 = 5;

/// What one round of fetching brought.
pub(crate) struct Fetched {
    /// The orders.
    pub(crate) answers: Answers,
    /// Orders on the pages.
    pub(crate) count: i64,
    /// Orders in the window, as the last page said.
    pub(crate) total: i64,
    /// Every page said the same.
    pub(crate) is_steady: bool,
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
    for limit in [1, PAGE] {
        if let Some(total) = narrowing::orders(state, owner, window, (0, limit)).await?.total {
            return Ok(total);
        }
    }
    Err(AllegroError::malformed().into())
}

/// Fetches a few pages at once.
pub(crate) async fn fetch(
    state: &State,
    owner: &Owner,
    window: Window,
    offset: i64,
) -> Result<Fetched, TaskError> {
    let page = i64::try_from(PAGE).unwrap_or(i64::MAX);
    let offsets = (0..PAGES).map(|n| offset + n * page).filter(|offset| offset + page <= MAX_DEPTH);
    let pages = offsets.map(|offset| async move {
        let asked_at = state.now();
        Ok::<_, CallError>((narrowing::orders(state, owner, window, (offset, PAGE)).await?, asked_at))
    });
    let pages = try_join_all(pages).await?;
    let totals: Vec<i64> = pages.iter().filter_map(|(page, _)| page.total).collect();
    let total = *totals.last().ok_or_else(|| CallError::Allegro(AllegroError::malformed()))?;
    let is_steady = totals.iter().all(|it| *it == total);
    let mut fetched = Fetched { answers: Answers::default(), count: 0, total, is_steady };
    for (page, asked_at) in pages {
        fetched.count += i64::try_from(page.forms.len() + page.failed.len()).unwrap_or_default();
        for raw in &page.forms {
            fetched.answers.read(raw, asked_at, true);
        }
        fetched.answers.failed.extend(page.failed);
    }
    Ok(fetched)
}
