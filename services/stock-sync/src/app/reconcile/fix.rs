//! Putting right what may be, by the same steps that should have done it.

use ::tasks::Run;
use domain::{AllegroOrderId, TokenId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::look::{self, remote, safe};
use super::{Discrepancy, Error, Report, Totals, Wanted, passed_over, step};
use crate::app::after_commit::AfterCommit;
use crate::app::ledger::{self, Deed};
use crate::domain::difference;
use crate::state::State;
use crate::store::{compare, reconciliations};

/// Findings read at once.
const STEP: i64 = 100;

/// Goes through what the run found. Returns how it ended.
pub(super) async fn all(
    state: &State,
    wanted: Wanted,
    mut totals: Totals,
    task: Option<&Run>,
) -> Result<Report, Error> {
    let (mut told, mut by_hand, mut after) = (Vec::new(), 0, Uuid::nil());
    loop {
        step(state, task, totals.checked).await?;
        let mut conn = state.pool.get().await?;
        let found = reconciliations::of_run(&mut conn, wanted.id, after, STEP).await?;
        drop(conn);
        let Some(last) = found.last() else { break };
        after = last.id;
        for mut finding in found {
            if !totals.is_held && is_due(state, wanted, &finding) && put_right(state, &finding).await? {
                totals.auto_fixed += 1;
                finding.fixed_at = Some(state.now());
                finding.how = Some("auto_fixed".to_owned());
            } else if safe(&finding.kind).is_none() {
                by_hand += 1;
            }
            if told.len() < Report::MOST {
                told.push(finding);
            }
        }
    }
    if totals.auto_fixed > 0 {
        state.to_mark.notify_one();
    }
    Ok(Report { totals, discrepancies: told, requires_manual_review: by_hand })
}

fn is_due(state: &State, wanted: Wanted, finding: &Discrepancy) -> bool {
    let age: time::Duration = state.now() - finding.first_seen;
    let is_old = age >= state.settings.reconcile.fix_after;
    finding.fixed_at.is_none() && safe(&finding.kind).is_some() && (wanted.fix || is_old)
}

/// Does what was to be done, if it still is; false when it is not any more.
async fn put_right(state: &State, finding: &Discrepancy) -> Result<bool, Error> {
    let (Some(token_id), Some(user_id), Some(order_id)) =
        (finding.token_id, finding.user_id.as_deref(), finding.order_id.clone())
    else {
        return Ok(false);
    };
    let token_id = TokenId::from(token_id);
    let order_id = AllegroOrderId::from(order_id);
    let order = match state.backup.order((user_id, token_id), &order_id).await {
        Ok(order) => order,
        Err(error) => return passed_over(error, order_id.as_str()).map(|()| false),
    };
    let Some(sale) = look::sale(&order, token_id, user_id) else { return Ok(false) };
    let seen = remote(&order);
    let now: OffsetDateTime = state.now();
    let (seen, order_id, sale) = (&seen, &order_id, &sale);
    let fixed = state.pool.transaction(async |conn| {
        // Not under a lock: whoever is faster has done it, and doing it again has no effect.
        let known = compare::orders(conn, token_id, &[order_id.as_str()]).await?;
        let local = known.get(order_id.as_str()).cloned().unwrap_or_default();
        if difference::of(seen, &local).is_none_or(|kind| !kind.is_safe()) {
            return Ok(None);
        }
        let (_outcomes, after) = ledger::apply(state, conn, &[Deed::Mend(sale.clone())]).await?;
        reconciliations::fixed(conn, finding.id, now).await?;
        Ok::<_, pg::Error>(Some(after))
    });
    let after = fixed.await?;
    let is_fixed = after.is_some();
    after.into_iter().for_each(AfterCommit::report);
    Ok(is_fixed)
}
