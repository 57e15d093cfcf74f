//! Comparing what is stored with what Allegro lists now: by id, revision and content.

use std::collections::HashSet;

use time::OffsetDateTime;

use super::access::CallError;
use super::details::{self, Told};
use super::list_window::{self, HISTORY};
use super::upsert::Answers;
use crate::domain::order::{Order, Owner};
use crate::state::State;
use crate::store::cursors::Cursor;
use crate::store::order_marks::{self, Mark};

/// Stored orders looked at in one step.
const STEP: i64 = 5_000;

/// How an order differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Difference {
    /// Allegro has it, and it is not stored.
    Missing,
    /// It is stored, and Allegro does not have it.
    Extra,
    /// Its content is another.
    Stale,
}

/// What a comparison found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Orders Allegro listed.
    pub(crate) compared: usize,
    /// Orders that differ.
    pub(crate) differences: Vec<(Difference, String)>,
}

/// Why a comparison ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VerifyError {
    /// Allegro, or our storage.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The list cannot be cut into windows.
    #[error(transparent)]
    Window(#[from] tasks::TaskError),
}

impl From<pg::Error> for VerifyError {
    fn from(error: pg::Error) -> Self {
        Self::Call(error.into())
    }
}

/// Reads the whole list again and compares. What differs is looked at once more by itself: the list and the store may
/// have changed between two looks. `tell` hears how many of how many orders were compared.
///
/// # Errors
/// When Allegro or the database does not answer.
pub(crate) async fn verify(
    state: &State,
    owner: &Owner,
    mut tell: impl FnMut(usize, i64),
) -> Result<Found, VerifyError> {
    let now = state.now();
    let mut cursor = Cursor { window_from: Some(now - HISTORY), pass_until: Some(now), ..Cursor::default() };
    let (mut listed, mut suspects) = (HashSet::new(), Vec::new());
    while let Some(window) = list_window::next_window(state, owner, &mut cursor).await? {
        let mut offset = 0;
        loop {
            let fetched = list_window::fetch(state, owner, window, offset).await?;
            if fetched.count() == 0 {
                break;
            }
            offset += fetched.count();
            let answers: Answers = fetched.pages.into_iter().collect();
            suspects.extend(differing(state, owner, answers.orders()).await?);
            listed.extend(answers.ids().into_iter().map(str::to_owned));
            suspects.extend(answers.failed.into_iter().map(|it| it.order_id));
            tell(listed.len(), cursor.pass_total);
            if offset >= fetched.total {
                break;
            }
        }
        cursor.pass_done += offset;
        cursor = Cursor { window_from: Some(window.to), window_to: None, window_total: None, ..cursor };
    }
    suspects.extend(unlisted(state, owner, (now - HISTORY, now), &listed).await?);
    suspects.sort_unstable();
    suspects.dedup();
    let differences = look_again(state, owner, suspects).await?;
    Ok(Found { compared: listed.len(), differences })
}

/// Orders of Allegro's that are not stored as they are.
async fn differing<'a>(
    state: &State,
    owner: &Owner,
    orders: impl Iterator<Item = &'a Order>,
) -> Result<Vec<String>, pg::Error> {
    let orders: Vec<&Order> = orders.collect();
    let ids: Vec<&str> = orders.iter().map(|order| order.id.as_str()).collect();
    let marks = order_marks::marks(&mut *state.pool.get().await?, owner.token_id, &ids).await?;
    let is_stored = |order: &Order| marks.iter().any(|mark| is_same(mark, order));
    Ok(orders.into_iter().filter(|order| !is_stored(order)).map(|order| order.id.to_string()).collect())
}

fn is_same(mark: &Mark, order: &Order) -> bool {
    mark.allegro_order_id == order.id.as_str()
        && !mark.is_deleted
        && mark.revision == order.form.revision
        && mark.content_hash == order.content_hash
}

/// Stored orders that the list did not name.
async fn unlisted(
    state: &State,
    owner: &Owner,
    span: (OffsetDateTime, OffsetDateTime),
    listed: &HashSet<String>,
) -> Result<Vec<String>, pg::Error> {
    let (mut unlisted, mut after) = (Vec::new(), String::new());
    loop {
        let mut conn = state.pool.get().await?;
        let step = order_marks::living(&mut conn, owner.token_id, span, &after, STEP).await?;
        drop(conn);
        let Some(last) = step.last() else { return Ok(unlisted) };
        after.clone_from(last);
        unlisted.extend(step.into_iter().filter(|id| !listed.contains(id)));
    }
}

async fn look_again(
    state: &State,
    owner: &Owner,
    suspects: Vec<String>,
) -> Result<Vec<(Difference, String)>, VerifyError> {
    let told = details::ask(state, owner, suspects).await?;
    let mut differences = Vec::new();
    let mut conn = state.pool.get().await?;
    for (id, told) in told {
        let mark = order_marks::marks(&mut conn, owner.token_id, &[&id]).await?.into_iter().next();
        let living = mark.filter(|mark| !mark.is_deleted);
        let difference = match (told, living) {
            (Told::Unsettled(error), _) => return Err(error.into()),
            (Told::Gone(_), None) => None,
            (Told::Gone(_), Some(_)) => Some(Difference::Extra),
            (Told::Order(..) | Told::Refused(_), None) => Some(Difference::Missing),
            (Told::Order(raw, _), Some(mark)) => match Order::read(raw.get()) {
                Ok(order) if is_same(&mark, &order) => None,
                _ => Some(Difference::Stale),
            },
            (Told::Refused(_), Some(_)) => Some(Difference::Stale),
        };
        differences.extend(difference.map(|difference| (difference, id)));
    }
    differences.sort_unstable();
    Ok(differences)
}
