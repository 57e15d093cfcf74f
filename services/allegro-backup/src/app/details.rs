//! Asking for orders one by one, and telling an order's own trouble from Allegro's.
//!
//! A failure that every order meets is Allegro's or the network's, and is waited for. A failure that one order meets while
//! others are answered is its own, and must not delay them. An order that is refused is quarantined at once. One that is
//! not answered, or is answered 429, is quarantined after three runs in which others were answered: before, it may have been
//! a coincidence.

use std::collections::HashMap;

use futures_util::StreamExt;
use futures_util::stream;
use serde_json::value::RawValue;
use time::OffsetDateTime;

use super::access::{CallError, call};
use crate::clients::allegro::{AllegroError, Halt};
use crate::domain::order::Owner;
use crate::state::State;
use crate::store::failed::{self, Failed};
use crate::store::order_marks;

/// Orders fetched at once.
const FETCHES: usize = 8;
/// Runs in which an order alone is not answered before it is blamed.
const BLAMED_AFTER: i32 = 3;

/// What was learned by asking for an order.
#[derive(Debug)]
pub(crate) enum Told {
    /// Allegro's answer to a request started then.
    Order(Box<RawValue>, OffsetDateTime),
    /// Allegro has no such order: it was merged into another, or is gone.
    Gone(OffsetDateTime),
    /// The order is at fault itself.
    Refused(Failed),
    /// Allegro may be at fault: the same request may succeed later.
    Unsettled(CallError),
}

type Answer = Result<Box<RawValue>, CallError>;

/// Asks for orders, each once. The answers may be in any order.
///
/// # Errors
/// The database's.
pub(crate) async fn ask(
    state: &State,
    owner: &Owner,
    order_ids: Vec<String>,
) -> Result<HashMap<String, Told>, pg::Error> {
    let answers: Vec<(String, OffsetDateTime, Answer)> = stream::iter(order_ids)
        .map(|id| async move {
            let asked_at = state.now();
            let answer = one(state, owner, &id).await;
            (id, asked_at, answer)
        })
        .buffer_unordered(FETCHES)
        .collect()
        .await;
    judge(state, owner, answers).await
}

async fn one(state: &State, owner: &Owner, order_id: &str) -> Answer {
    let allegro = &state.allegro;
    call(state, owner.token_id, |bearer| async move { allegro.order(&bearer, order_id).await }).await
}

/// What an answer looks like before the others are known.
enum Look {
    Answered,
    Gone,
    Refused,
    Silent,
    /// Answered 429, while others of the account were answered.
    Throttled,
    Systemic,
}

fn look(answer: &Answer) -> Look {
    match answer {
        Ok(_) => Look::Answered,
        Err(CallError::Allegro(AllegroError::NotFound)) => Look::Gone,
        Err(CallError::Allegro(
            AllegroError::Refused { .. } | AllegroError::Malformed { .. } | AllegroError::OAuth { .. },
        )) => Look::Refused,
        Err(CallError::Allegro(AllegroError::Unavailable { .. })) => Look::Silent,
        Err(CallError::Allegro(AllegroError::Paused(Halt { is_alone: true, .. }))) => Look::Throttled,
        Err(_pause_account_or_storage) => Look::Systemic,
    }
}

async fn judge(
    state: &State,
    owner: &Owner,
    answers: Vec<(String, OffsetDateTime, Answer)>,
) -> Result<HashMap<String, Told>, pg::Error> {
    let looks: Vec<Look> = answers.iter().map(|(_, _, answer)| look(answer)).collect();
    let failed: Vec<&str> = answers
        .iter()
        .zip(&looks)
        .filter(|(_, look)| matches!(look, Look::Refused | Look::Silent))
        .map(|((id, _, _), _)| id.as_str())
        .collect();
    let others_answer = !failed.is_empty()
        && (looks.iter().any(|look| matches!(look, Look::Answered))
            || is_answering(state, owner, &failed).await?);
    let suspects: Vec<&str> = answers
        .iter()
        .zip(&looks)
        .filter(|(_, look)| matches!(look, Look::Silent) && others_answer || matches!(look, Look::Throttled))
        .map(|((id, _, _), _)| id.as_str())
        .collect();
    let blamed = if suspects.is_empty() {
        Vec::new()
    } else {
        let mut conn = state.pool.get().await?;
        failed::suspect(&mut conn, owner.token_id, &suspects, BLAMED_AFTER).await?
    };
    let told = answers.into_iter().zip(looks).map(|((id, asked_at, answer), look)| {
        let told = match (answer, look) {
            (Ok(raw), _) => Told::Order(raw, asked_at),
            (Err(_), Look::Gone) => Told::Gone(asked_at),
            (Err(error @ CallError::Allegro(AllegroError::Malformed { .. })), _) if others_answer => {
                Told::Refused(own(&id, "unreadable", &error))
            }
            (Err(error), Look::Refused) if others_answer => Told::Refused(own(&id, "refused", &error)),
            (Err(error), Look::Silent) if blamed.contains(&id) => {
                Told::Refused(own(&id, "unavailable", &error))
            }
            (Err(error), Look::Throttled) if blamed.contains(&id) => {
                Told::Refused(own(&id, failed::THROTTLED, &error))
            }
            (Err(error), _) => Told::Unsettled(error),
        };
        (id, told)
    });
    Ok(told.collect())
}

fn own(order_id: &str, class: &'static str, error: &CallError) -> Failed {
    Failed {
        order_id: order_id.to_owned(),
        class,
        text: error.to_string(),
        document: None,
        day: None,
        in_list: false,
    }
}

/// Whether Allegro answers for this account at all: with another order, or with the journal's end where there is none.
async fn is_answering(state: &State, owner: &Owner, failed: &[&str]) -> Result<bool, pg::Error> {
    let mut conn = state.pool.get().await?;
    let another = order_marks::another(&mut conn, owner.token_id, failed).await?;
    drop(conn);
    let allegro = &state.allegro;
    Ok(match another {
        Some(id) => one(state, owner, &id).await.is_ok(),
        None => call(state, owner.token_id, |bearer| async move { allegro.latest_event(&bearer).await })
            .await
            .is_ok(),
    })
}
