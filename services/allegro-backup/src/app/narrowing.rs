//! An answer that cannot be read costs what cannot be read, and no more: a page that is too large, or no JSON to its end,
//! is asked for in halves, down to the one order or event that is at fault. That one is put into quarantine, or passed
//! over, under the id it begins with.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;
use serde_json::value::RawValue;
use time::OffsetDateTime;

use super::access::{CallError, call};
use crate::clients::allegro::{AllegroError, Window};
use crate::domain::journal::{Event, UNREADABLE};
use crate::domain::order::Owner;
use crate::state::State;
use crate::store::failed::Failed;

/// A page of the list, as far as it can be read.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    /// The orders, as they were sent.
    pub(crate) forms: Vec<Box<RawValue>>,
    /// Orders that cannot be read.
    pub(crate) failed: Vec<Failed>,
    /// Orders in the whole window; unknown where nothing could be read.
    pub(crate) total: Option<i64>,
}

/// `limit` orders of a window from `offset` on, by date of purchase.
///
/// # Errors
/// Allegro's, or our storage's; an order that cannot be read is none, [`AllegroError::Malformed`] one whose id cannot be
/// read either: a gateway may have spoken in Allegro's place.
pub(crate) fn orders<'a>(
    state: &'a State,
    owner: &'a Owner,
    window: Window,
    (offset, limit): (i64, usize),
) -> BoxFuture<'a, Result<Orders, CallError>> {
    async move {
        let allegro = &state.allegro;
        let answered = call(state, owner.token_id, |bearer| async move {
            allegro.orders(&bearer, window, offset, limit).await
        });
        match answered.await {
            Ok(page) => {
                let total = Some(page.total_count);
                Ok(Orders { forms: page.checkout_forms, failed: Vec::new(), total })
            }
            Err(CallError::Allegro(AllegroError::Malformed { .. })) if limit > 1 => {
                let half = limit / 2;
                let middle = offset + i64::try_from(half).unwrap_or_default();
                let mut page = orders(state, owner, window, (offset, half)).await?;
                if page.forms.len() + page.failed.len() < half {
                    // The list's end, or a hole in it: the rest would not follow.
                    return Ok(page);
                }
                let rest = orders(state, owner, window, (middle, limit - half)).await?;
                page.forms.extend(rest.forms);
                page.failed.extend(rest.failed);
                page.total = rest.total.or(page.total);
                Ok(page)
            }
            Err(CallError::Allegro(AllegroError::Malformed { text, first: Some(id) })) => {
                tracing::error!(order = id, offset, "an order of the list cannot be read: its answer {text}");
                Ok(Orders { failed: vec![unreadable(&id, text)], ..Orders::default() })
            }
            Err(error) => Err(error),
        }
    }
    .boxed()
}

fn unreadable(id: &str, text: &str) -> Failed {
    Failed {
        order_id: id.replace('\0', "\u{fffd}"),
        class: "unreadable",
        text: format!("Allegro's answer {text}"),
        document: None,
        day: None,
        in_list: true,
    }
}

/// `limit` events after `from`, fewer at the journal's end. One that cannot be read stands there by its id alone.
///
/// # Errors
/// Allegro's, or our storage's; [`AllegroError::Malformed`] for an event that is not JSON and whose id cannot be read, because
/// the journal cannot be read after it.
pub(crate) fn events<'a>(
    state: &'a State,
    owner: &'a Owner,
    from: Option<&'a str>,
    limit: usize,
) -> BoxFuture<'a, Result<Vec<Event>, CallError>> {
    async move {
        let allegro = &state.allegro;
        let answered =
            call(state, owner.token_id, |bearer| async move { allegro.events(&bearer, from, limit).await });
        match answered.await {
            Err(CallError::Allegro(AllegroError::Malformed { .. })) if limit > 1 => {
                let half = limit / 2;
                let mut page = events(state, owner, from, half).await?;
                if let Some(last) = last_named(&page).filter(|_| page.len() == half) {
                    page.extend(events(state, owner, Some(&last), limit - half).await?);
                }
                Ok(page)
            }
            Err(CallError::Allegro(AllegroError::Malformed { text, first: Some(id) })) => {
                tracing::error!(
                    event = id,
                    "an event cannot be read: its answer {text}; the list must tell of its order"
                );
                Ok(vec![Event {
                    id,
                    kind: UNREADABLE.to_owned(),
                    occurred_at: OffsetDateTime::UNIX_EPOCH,
                    order_id: None,
                    content: json!({ "unreadable": format!("Allegro's answer {text}") }),
                }])
            }
            outcome => outcome,
        }
    }
    .boxed()
}

/// The id of the last event with an id.
pub(crate) fn last_named(events: &[Event]) -> Option<String> {
    events.iter().rev().find(|event| event.is_named()).map(|event| event.id.clone())
}
