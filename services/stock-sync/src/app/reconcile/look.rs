//! Looking at an account's orders, page by page.

use std::collections::HashMap;

use ::tasks::Run;
use clients::StoredOrder;
use domain::TokenId;
use domain::events::{DiscrepancyFound, StockDiscrepancyFound};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Error, Totals, since, step};
use crate::domain::difference::{self, Kind, Local, Remote, RemoteLine};
use crate::domain::sale::{Line, Sale};
use crate::state::State;
use crate::store::accounts::AccountRow;
use crate::store::reconciliations::Finding;
use crate::store::{compare, reconciliations};

/// Compares all orders of an account, and writes down what differs.
pub(super) async fn at(
    state: &State,
    (run, started_at): (Uuid, OffsetDateTime),
    account: &AccountRow,
    totals: &mut Totals,
    task: Option<&Run>,
) -> Result<(), Error> {
    let token_id = TokenId::from(account.token_id);
    let mut cursor: Option<String> = None;
    loop {
        step(state, task, totals.checked).await?;
        let whose = (account.user_id.as_str(), token_id);
        let limit = state.settings.reconcile.page;
        let page = state.backup.orders(whose, since(account), limit, cursor.as_deref()).await?;
        let found = compare_page(state, account, &page.items).await?;
        totals.checked += count(page.items.len());
        totals.differing += count(found.len());
        note(state, run, &found).await?;
        // A list that leads back to where it came from would never end.
        if page.next_cursor.is_none() || page.next_cursor == cursor || page.items.is_empty() {
            break;
        }
        cursor = page.next_cursor;
    }
    gone(state, Some(account.token_id), run, started_at).await?;
    Ok(())
}

async fn compare_page(
    state: &State,
    account: &AccountRow,
    orders: &[StoredOrder],
) -> Result<Vec<Finding>, pg::Error> {
    let ids: Vec<&str> = orders.iter().map(|it| it.allegro_order_id.as_str()).collect();
    let mut conn = state.pool.get().await?;
    let known: HashMap<String, Local> = compare::orders(&mut conn, account.token_id.into(), &ids).await?;
    let unknown = Local::default();
    let differing = orders.iter().filter_map(|order| {
        let remote = remote(order);
        let local = known.get(order.allegro_order_id.as_str()).unwrap_or(&unknown);
        let kind = difference::of(&remote, local)?;
        Some(Finding {
            kind: kind.word(),
            token_id: Some(account.token_id),
            user_id: Some(account.user_id.clone()),
            order_id: Some(order.allegro_order_id.to_string()),
            place: None,
            local: local.told(),
            remote: remote.told(),
        })
    });
    Ok(differing.collect())
}

/// An order as far as the shelf is concerned.
pub(super) fn remote(order: &StoredOrder) -> Remote {
    let is_cancelled = order.fulfillment_status.as_deref() == Some("CANCELLED");
    let is_allegros = order.fulfillment_provider.as_deref() == Some("ALLEGRO");
    let line = |line: &domain::events::LineItem| RemoteLine {
        line_item_id: line.id.clone(),
        sku: line.sku.as_deref().and_then(|sku| domain::Sku::parse(sku).ok()).map(String::from),
        quantity: line.quantity.unwrap_or_default(),
    };
    Remote {
        is_ours: order.status.as_deref() == Some("READY_FOR_PROCESSING") && !is_cancelled && !is_allegros && !order.is_deleted,
        is_marked: order.is_stock_updated,
        lines: order.line_items.iter().map(line).collect(),
    }
}

/// An order as it is taken from the shelf; none when its lines cannot be told apart or counted.
pub(super) fn sale(order: &StoredOrder, token_id: TokenId, user_id: &str) -> Option<Sale> {
    let sale = Sale {
        token_id: Some(token_id),
        user_id: Some(user_id.to_owned()),
        order_id: order.allegro_order_id.clone(),
        bought_at: Some(order.order_date),
        backfill: false,
        fulfilled_by_allegro: false,
        lines: order.line_items.iter().map(Line::read).collect(),
    };
    sale.faults().is_empty().then_some(sale)
}

/// What an older run found of this account, or of the ledger, and this complete run did not is gone.
pub(super) async fn gone(
    state: &State,
    token_id: Option<Uuid>,
    run: Uuid,
    started_at: OffsetDateTime,
) -> Result<(), pg::Error> {
    let now = state.now();
    state
        .pool
        .transaction(async |conn| reconciliations::gone(conn, token_id, run, started_at, now).await)
        .await
}

/// Writes findings down, and tells of those nobody had seen.
pub(super) async fn note(state: &State, run: Uuid, found: &[Finding]) -> Result<(), pg::Error> {
    let now = state.now();
    let found: Vec<(Uuid, Finding)> = found.iter().map(|it| (state.ids.next_id(), it.clone())).collect();
    let found = &found;
    state
        .pool
        .transaction(async |conn| {
            let new = reconciliations::note(conn, run, found, now).await?;
            let told = found.iter().filter(|(id, _)| new.contains(id)).map(|(id, finding)| {
                let place = finding.place.clone().unzip();
                state.wrap(&StockDiscrepancyFound(DiscrepancyFound {
                    discrepancy_id: *id,
                    kind: finding.kind.to_owned(),
                    user_id: finding.user_id.clone(),
                    token_id: finding.token_id.map(TokenId::from),
                    order_id: finding.order_id.clone().map(Into::into),
                    sku: place.0,
                    warehouse: place.1,
                    version: 1,
                }))
            });
            let told: Result<Vec<_>, pg::Error> = told.collect();
            messaging::outbox::push(conn, &told?).await
        })
        .await
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The kind of a finding that may be put right by doing again what was to be done.
pub(super) fn safe(kind: &str) -> Option<Kind> {
    Kind::read(kind).filter(|kind| kind.is_safe())
}
