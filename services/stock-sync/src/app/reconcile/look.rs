//! Looking at an account's orders, page by page.

use std::collections::{BTreeSet, HashMap};
use std::iter;

use ::tasks::Run;
use clients::StoredOrder;
use domain::events::{DiscrepancyFound, StockDiscrepancyFound};
use domain::{AllegroOrderId, Sku, TokenId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Error, Totals, since, step};
use crate::domain::book::{Component, Place, parts};
use crate::domain::desired::Desired;
use crate::domain::difference::{self, Kind, LocalLine, Remote, RemoteLine};
use crate::domain::line_state::UnitsOut;
use crate::domain::order_view::{Line, LineKey, OrderView};
use crate::state::State;
use crate::store::accounts::AccountRow;
use crate::store::compare::KnownLine;
use crate::store::reconciliations::Finding;
use crate::store::{book, bundles, compare, reconciliations};

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
    let mut conn = state.pool.get().await?;
    let found = differences(state, &mut conn, account, orders).await?;
    let findings = found.into_iter().map(|Difference { order_id, kind, remote }| Finding {
        kind: kind.word(),
        token_id: Some(account.token_id),
        user_id: Some(account.user_id.clone()),
        order_id: Some(order_id.to_string()),
        place: None,
        local: remote.local_json(),
        remote: remote.remote_json(),
    });
    Ok(findings.collect())
}

/// An order that differs.
pub(super) struct Difference {
    pub(super) order_id: AllegroOrderId,
    pub(super) kind: Kind,
    remote: Remote,
}

/// Which of these orders of an account differ from what is known here.
pub(super) async fn differences(
    state: &State,
    conn: &mut pg::Connection,
    account: &AccountRow,
    orders: &[StoredOrder],
) -> Result<Vec<Difference>, pg::Error> {
    let whose = (account.user_id.as_str(), TokenId::from(account.token_id));
    let views: Vec<OrderView> = orders.iter().map(|order| OrderView::of_stored(order, whose)).collect();
    let ids: BTreeSet<AllegroOrderId> = views.iter().map(|view| view.order_id.clone()).collect();
    let keys: BTreeSet<LineKey> = views.iter().flat_map(OrderView::keys).collect();
    let lines = views.iter().flat_map(|view| &view.lines);
    let skus: BTreeSet<&str> = lines.filter_map(|line| Some(line.sku.as_ref()?.as_str())).collect();
    let known = Known {
        views: book::views(conn, &ids).await?,
        lines: compare::lines(conn, &keys).await?,
        out: compare::out(conn, &keys).await?,
        bundles: bundles::of(conn, &skus).await?,
    };
    let names: Vec<&str> = ids.iter().map(AllegroOrderId::as_str).collect();
    let unfinished = compare::unfinished(conn, &names).await?;
    let warehouse = account.warehouse.as_deref().unwrap_or(&state.settings.default_warehouse);
    let mut different = Vec::new();
    for (order, view) in orders.iter().zip(&views) {
        let id = view.order_id.as_str();
        if unfinished.open.contains(id) || known.has_later(view) {
            continue;
        }
        let mut remote = known.remote(view, order.is_stock_updated, account.stock_from);
        if view
            .lines
            .iter()
            .any(|line| unfinished.short.contains(&(id.to_owned(), line.line_item_id.clone())))
        {
            let is_short = !compare::suffices(conn, &wanted(&remote, warehouse)).await?;
            remote.lines.iter_mut().for_each(|line| line.local.is_short = is_short);
        }
        if let Some(kind) = difference::of(&remote) {
            different.push(Difference { order_id: view.order_id.clone(), kind, remote });
        }
    }
    Ok(different)
}

/// The units that a deduction of an order takes, by place.
fn wanted(remote: &Remote, warehouse: &str) -> HashMap<Place, i64> {
    let mut wanted: HashMap<Place, i64> = HashMap::new();
    let lines = remote.lines.iter().filter(|line| line.local.out.is_empty() && !line.local.is_elsewhere);
    for (sku, units) in lines.filter_map(|line| line.units.as_ref()).flatten() {
        let all = wanted.entry((sku.clone(), warehouse.to_owned())).or_default();
        *all = all.saturating_add(*units);
    }
    wanted
}

/// What is known here of a page of orders.
struct Known {
    views: HashMap<AllegroOrderId, Vec<OrderView>>,
    lines: HashMap<LineKey, KnownLine>,
    out: HashMap<LineKey, Vec<UnitsOut>>,
    bundles: HashMap<Sku, Vec<Component>>,
}

impl Known {
    /// Whether a later view of the order is known: its list is older than an event, or another account of the seller has read
    /// it since.
    fn has_later(&self, view: &OrderView) -> bool {
        let mut known = self.views.get(&view.order_id).into_iter().flatten();
        known.any(|it| {
            if it.token_id == view.token_id {
                view.sequence.is_some() && it.sequence > view.sequence
            } else {
                it.sequence.is_some() && it.read_at > view.read_at
            }
        })
    }

    fn remote(&self, view: &OrderView, is_flagged: bool, stock_from: OffsetDateTime) -> Remote {
        let views = self.views.get(&view.order_id).map(Vec::as_slice).unwrap_or_default();
        let is_first_returned = views.iter().any(|it| it.is_first_returned);
        Remote {
            desired: Desired::of(view, is_first_returned, iter::once(Some(stock_from))),
            is_flagged,
            lines: view.lines.iter().map(|line| self.line(view, line)).collect(),
        }
    }

    fn line(&self, view: &OrderView, line: &Line) -> RemoteLine {
        let key = LineKey::of(&view.order_id, &line.line_item_id);
        let known = self.lines.get(&key);
        let units = line.wanted().map(|(sku, quantity)| parts(&self.bundles, sku, quantity));
        RemoteLine {
            line_item_id: line.line_item_id.clone(),
            units,
            is_bundle: line.sku.as_ref().is_some_and(|sku| self.bundles.contains_key(sku)),
            local: LocalLine {
                is_elsewhere: known.is_some_and(|it| it.carrier != view.order_id.as_str()),
                is_held: known.is_some_and(|it| it.is_held),
                is_short: false,
                out: self.out.get(&key).cloned().unwrap_or_default(),
            },
        }
    }
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
