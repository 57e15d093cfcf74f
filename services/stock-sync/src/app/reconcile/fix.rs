//! Putting right what may be, by the same steps that should have done it.

use std::slice;

use ::tasks::Run;
use domain::{AllegroOrderId, TokenId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::look::{self, safe};
use super::{Discrepancy, Error, Report, Totals, Wanted, passed_over, step};
use crate::app::ledger::{self, StockCommand};
use crate::domain::book::Outcome;
use crate::domain::order_view::OrderView;
use crate::state::State;
use crate::store::accounts::AccountRow;
use crate::store::reconciliations;

/// Findings read at once.
const STEP: i64 = 100;

/// Goes through what the run found. Returns how it ended.
pub(super) async fn all(
    state: &State,
    wanted: Wanted,
    accounts: &[AccountRow],
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
            let account = accounts.iter().find(|it| Some(it.token_id) == finding.token_id);
            let is_due = !totals.is_held && is_due(state, wanted, &finding);
            if is_due && put_right(state, account, &finding).await? {
                totals.auto_fixed += 1;
                finding.fixed_at = Some(state.now());
                finding.how = Some("auto_fixed".to_owned());
            } else {
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

/// Repeats what an event would have done, if the order still differs; false when nothing was done.
async fn put_right(
    state: &State,
    account: Option<&AccountRow>,
    finding: &Discrepancy,
) -> Result<bool, Error> {
    let (Some(account), Some(order_id)) = (account, finding.order_id.clone()) else { return Ok(false) };
    let whose = (account.user_id.as_str(), TokenId::from(account.token_id));
    let order_id = AllegroOrderId::from(order_id);
    let order = match state.backup.order(whose, &order_id).await {
        Ok(order) => order,
        Err(error) => return passed_over(error, order_id.as_str()).map(|()| false),
    };
    let view = OrderView::of_stored(&order, whose);
    if view.check().is_err() {
        return Ok(false);
    }
    let now: OffsetDateTime = state.now();
    let (order, view) = (&order, &view);
    let fixed = state.pool.transaction(async |conn| {
        // Without a lock: another transaction may correct it first; a second correction has no effect.
        let different = look::differences(state, conn, account, slice::from_ref(order)).await?;
        if different.first().is_none_or(|it| !it.kind.is_safe()) {
            return Ok(None);
        }
        let (outcomes, after) = ledger::apply(state, conn, &[StockCommand::Repair(view.clone())]).await?;
        let is_fixed = outcomes.iter().all(|it| matches!(it, Outcome::Deducted | Outcome::Cancelled));
        if is_fixed {
            reconciliations::fixed(conn, finding.id, now).await?;
        }
        Ok::<_, pg::Error>(Some((is_fixed, after)))
    });
    let Some((is_fixed, after)) = fixed.await? else { return Ok(false) };
    after.report();
    Ok(is_fixed)
}
