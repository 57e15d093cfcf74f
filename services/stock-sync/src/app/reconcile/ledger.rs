//! Whether every level is the sum of its movements.

use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::look::{gone, note};
use crate::domain::alert::Notice;
use crate::domain::difference::Kind;
use crate::state::State;
use crate::store::ledger;
pub(crate) use crate::store::ledger::Mismatch;
use crate::store::reconciliations::Finding;

/// Wrong levels told of at most.
const MOST: i64 = 1000;

/// What a check of the ledger found.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) levels: i64,
    /// Levels that are not the sum of their movements; the first thousand.
    pub(crate) wrong: Vec<Mismatch>,
}

/// Adds all movements up, and tells people when a level is another number.
///
/// # Errors
/// The database's.
pub(crate) async fn check_ledger(state: &State) -> Result<Checked, pg::Error> {
    let (levels, wrong) = ledger::check(&mut *state.pool.get().await?, MOST).await?;
    let (now, wrong_ones) = (state.now(), &wrong);
    state
        .pool
        .transaction(async |conn| {
            let Some(first) = wrong_ones.first() else {
                alerts::clear(conn, now, Notice::LEDGER).await?;
                return Ok::<_, pg::Error>(());
            };
            let count = i64::try_from(wrong_ones.len()).unwrap_or(i64::MAX);
            alerts::raise(conn, now, &Notice::Ledger { count, example: in_words(first) }).await?;
            Ok(())
        })
        .await?;
    Ok(Checked { levels, wrong })
}

/// A wrong level, for people.
pub(crate) fn in_words(wrong: &Mismatch) -> String {
    let Mismatch { sku, warehouse, on_hand, moved } = wrong;
    format!("{sku} ({warehouse}): {on_hand} ≠ {moved}")
}

/// Checks the ledger as a part of a run.
pub(super) async fn look(state: &State, run: Uuid, started_at: OffsetDateTime) -> Result<(), pg::Error> {
    let checked = check_ledger(state).await?;
    let findings: Vec<Finding> = checked
        .wrong
        .iter()
        .map(|it| Finding {
            kind: Kind::LedgerMismatch.word(),
            token_id: None,
            user_id: None,
            order_id: None,
            place: Some((it.sku.clone(), it.warehouse.clone())),
            local: json!({ "on_hand": it.on_hand }),
            remote: json!({ "movements": it.moved }),
        })
        .collect();
    note(state, run, &findings).await?;
    gone(state, None, run, started_at).await
}
