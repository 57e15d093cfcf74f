//! Changes of orders, and what people do about them, many in one transaction.

use std::collections::{BTreeSet, HashSet};
use std::time::Instant;

use alerts::Alert;
use domain::events::{Envelope, StockOperationFailed, StockRanShort};
use domain::{AllegroOrderId, TokenId};
use uuid::Uuid;

use super::after_commit::AfterCommit;
use crate::domain::alert::Notice;
use crate::domain::book::{Book, Fact, Outcome, Place, Refusal, Rules, in_words};
use crate::domain::order_view::{LineKey, OrderView};
use crate::state::State;
use crate::store::{accounts, book, bundles};

/// What is to be done about an order.
#[derive(Debug, Clone)]
pub(crate) enum StockCommand {
    /// Make the stock what this state of the order requires.
    ApplyOrderState(OrderView),
    /// The same, and flag the order again where nothing is to be moved.
    Repair(OrderView),
}

impl StockCommand {
    const fn view(&self) -> &OrderView {
        match self {
            Self::ApplyOrderState(view) | Self::Repair(view) => view,
        }
    }
}

/// Does commands one after another in the caller's transaction: what follows sees what went before. Doing them again has
/// no effect. Returns what became of each order, and what is to be reported after the commit.
///
/// # Errors
/// The database's. A collision may mean that a line was moved by another transaction just now: to be done again.
pub(crate) async fn apply(
    state: &State,
    conn: &mut pg::Connection,
    commands: &[StockCommand],
) -> Result<(Vec<Outcome>, AfterCommit), pg::Error> {
    let began = Instant::now();
    let views: Vec<&OrderView> = commands.iter().map(StockCommand::view).collect();
    let orders: BTreeSet<AllegroOrderId> = views.iter().map(|view| view.order_id.clone()).collect();
    let (mut book, rules) = open(state, conn, orders, &views).await?;
    let outcomes = commands
        .iter()
        .map(|command| match command {
            StockCommand::ApplyOrderState(view) => book.observe(view.clone(), &rules),
            StockCommand::Repair(view) => book.mend(view.clone(), &rules),
        })
        .collect();
    let after = close(state, conn, book, began).await?;
    Ok((outcomes, after))
}

/// What people do about an operation.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Action {
    /// Try it again.
    Retry,
    /// Call it off.
    CallOff,
}

/// Does something about an operation of an order, in the caller's transaction. `seen` is the order as it is at allegro-backup
/// now, where it could be read.
///
/// # Errors
/// As [`apply`].
pub(crate) async fn act(
    state: &State,
    conn: &mut pg::Connection,
    order_id: AllegroOrderId,
    seen: Option<&OrderView>,
    (operation_id, action): (Uuid, Action),
) -> Result<Result<AfterCommit, Refusal>, pg::Error> {
    let began = Instant::now();
    let views: Vec<&OrderView> = seen.into_iter().collect();
    let (mut book, rules) = open(state, conn, BTreeSet::from([order_id]), &views).await?;
    let done = match action {
        Action::Retry => book.retry(operation_id, seen, &rules),
        Action::CallOff => book.call_off(operation_id, &rules),
    };
    let after = close(state, conn, book, began).await?;
    Ok(done.map(|()| after))
}

/// Locks orders, and locks and reads everything that these views of them may touch.
async fn open<'a>(
    state: &'a State,
    conn: &mut pg::Connection,
    orders: BTreeSet<AllegroOrderId>,
    views: &[&OrderView],
) -> Result<(Book, Rules<'a>), pg::Error> {
    let now = state.now();
    let mut found = Book::default();
    let mut keys: BTreeSet<LineKey> = views.iter().flat_map(|view| view.keys()).collect();
    let mut new: BTreeSet<AllegroOrderId> = &orders | &book::naming(conn, &keys).await?;
    while !new.is_empty() {
        found.orders.extend(book::orders(conn, &new, now).await?);
        let known = book::views(conn, &new).await?;
        keys.extend(known.values().flatten().flat_map(OrderView::keys));
        found.views.extend(known);
        for operation in book::operations(conn, &new).await? {
            found.hold(operation);
        }
        keys.retain(|key| !found.lines.contains_key(key));
        found.lines.extend(book::lines(conn, &keys).await?);
        // A line may be part of an order that was not known before its lock was had.
        let named = found.lines.values().flat_map(|line| &line.orders);
        new = named.filter(|id| !found.orders.contains_key(*id)).cloned().collect();
    }
    let known: Vec<&OrderView> = found.views.values().flatten().chain(views.iter().copied()).collect();
    let tokens: BTreeSet<TokenId> = known.iter().filter_map(|view| view.token_id).collect();
    let tokens: Vec<TokenId> = tokens.into_iter().collect();
    let skus: BTreeSet<&str> = known
        .iter()
        .flat_map(|view| &view.lines)
        .filter_map(|line| Some(line.sku.as_ref()?.as_str()))
        .collect();
    let rules = Rules {
        now,
        ids: &*state.ids,
        default_warehouse: &state.settings.default_warehouse,
        asks_after_shipment: state.settings.asks_after_shipment,
        accounts: accounts::of(conn, &tokens).await?,
        bundles: bundles::of(conn, &skus).await?,
    };
    let places = places(&known, &found, &rules);
    found.levels = book::levels(conn, &places, now).await?;
    Ok((found, rules))
}

/// Every level that these orders may move.
fn places(known: &[&OrderView], found: &Book, rules: &Rules<'_>) -> BTreeSet<Place> {
    let mut places = BTreeSet::new();
    for view in known {
        let warehouse = rules.warehouse_of(view.token_id);
        for (sku, quantity) in view.lines.iter().filter_map(|line| line.wanted()) {
            let parts = rules.parts(sku, quantity).into_iter();
            places.extend(parts.map(|(sku, _)| (sku, warehouse.to_owned())));
        }
    }
    let out = found.lines.values().flat_map(|line| &line.units_out);
    places.extend(out.map(|it| (it.sku.clone(), it.warehouse.clone())));
    places
}

/// Writes what was decided, with how long that took, and tells of it.
async fn close(
    state: &State,
    conn: &mut pg::Connection,
    mut book: Book,
    began: Instant,
) -> Result<AfterCommit, pg::Error> {
    let took = i32::try_from(began.elapsed().as_millis()).ok();
    for log in &mut book.changes.logs {
        log.execution_time_ms = took;
    }
    let book = &book;
    book::write(conn, book, state.settings.max_retries, state.now()).await?;
    let told: Result<Vec<Envelope>, pg::Error> =
        book.changes.facts.iter().map(|fact| wrap(state, fact)).collect();
    messaging::outbox::push(conn, &told?).await?;
    tell(state, conn, book).await
}

/// Tells people of what they must look at, and of what they need not any more.
async fn tell(state: &State, conn: &mut pg::Connection, book: &Book) -> Result<AfterCommit, pg::Error> {
    let (now, mut after) = (state.now(), AfterCommit::default());
    for (order_id, token_id) in &book.changes.healed {
        for cause in Notice::causes_of(order_id, *token_id) {
            alerts::clear(conn, now, &cause).await?;
        }
    }
    for order in &book.changes.asked {
        let notice = Notice::ReturnAfterShipment { order_id: order.0.clone(), token_id: order.1 };
        if book.is_asked(order) {
            alerts::raise(conn, now, &notice).await?;
        } else {
            alerts::clear(conn, now, &notice.cause()).await?;
        }
    }
    for order in &book.changes.first_returned {
        let notice = Notice::FirstReturned { order_id: order.0.clone(), token_id: order.1 };
        if book.is_returned(order) {
            alerts::raise(conn, now, &notice).await?;
        } else {
            alerts::clear(conn, now, &notice.cause()).await?;
        }
    }
    let mut short = HashSet::new();
    for fact in &book.changes.facts {
        if let Fact::RanShort(StockRanShort(it)) = fact {
            short.insert(&it.order_id);
            let missing = it.missing.iter().map(in_words).collect::<Vec<_>>().join("; ");
            let notice = Notice::Shortage { order_id: it.order_id.clone(), token_id: it.token_id, missing };
            alerts::raise(conn, now, &notice).await?;
            after.shortages += 1;
        }
    }
    let failed = book.changes.facts.iter().filter_map(|fact| match fact {
        Fact::Failed(StockOperationFailed(it)) if !short.contains(&it.order_id) => Some(it),
        _ => None,
    });
    // Offers without SKU are one cause, however many orders there are of them.
    if let Some(first) = failed.clone().find(|it| it.sku.is_none()) {
        alerts::raise(conn, now, &Notice::NoSku { order_id: first.order_id.clone() }).await?;
    }
    for fact in failed.filter(|it| it.sku.is_some()) {
        alerts::raise(conn, now, &Notice::given_up(fact)).await?;
    }
    Ok(after)
}

fn wrap(state: &State, fact: &Fact) -> Result<Envelope, pg::Error> {
    match fact {
        Fact::Deducted(it) => state.wrap(it),
        Fact::Refunded(it) => state.wrap(it),
        Fact::RanShort(it) => state.wrap(it),
        Fact::IsLow(it) => state.wrap(it),
        Fact::Completed(it) => state.wrap(it),
        Fact::Failed(it) => state.wrap(it),
    }
}
