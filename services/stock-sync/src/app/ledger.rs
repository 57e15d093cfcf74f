//! Sales and cancellations, many in one transaction.

use std::collections::{BTreeSet, HashSet};
use std::time::Instant;

use domain::events::{Envelope, StockOperationFailed, StockRanShort};
use domain::{AllegroOrderId, TokenId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::after_commit::AfterCommit;
use crate::domain::alert::Notice;
use crate::domain::book::{Book, Fact, Outcome, Refusal, Rules, in_words};
use crate::domain::sale::{Line, Sale};
use crate::state::State;
use crate::store::{accounts, book};

/// What is to be done about an order.
#[derive(Debug)]
pub(crate) enum Deed {
    /// Take it from the shelf.
    Sell(Sale),
    /// Do again what was to be done about it.
    Mend(Sale),
    /// Give back what was taken of it.
    Cancel { order_id: AllegroOrderId, token_id: TokenId, lines: Vec<Line> },
}

impl Deed {
    const fn order_id(&self) -> &AllegroOrderId {
        match self {
            Self::Sell(sale) | Self::Mend(sale) => &sale.order_id,
            Self::Cancel { order_id, .. } => order_id,
        }
    }

    const fn is_cancel(&self) -> bool {
        matches!(self, Self::Cancel { .. })
    }

    const fn lines(&self) -> &[Line] {
        match self {
            Self::Sell(sale) | Self::Mend(sale) => sale.lines.as_slice(),
            Self::Cancel { lines, .. } => lines.as_slice(),
        }
    }

    const fn token_id(&self) -> Option<TokenId> {
        match self {
            Self::Sell(sale) | Self::Mend(sale) => sale.token_id,
            Self::Cancel { token_id, .. } => Some(*token_id),
        }
    }
}

/// Does deeds one after another in the caller's transaction: what follows sees what went before. Doing them again has
/// no effect. Returns what became of each, and what is to be reported after the commit.
///
/// # Errors
/// The database's. A collision may mean that a line was moved by another transaction just now: to be done again.
pub(crate) async fn apply(
    state: &State,
    conn: &mut pg::Connection,
    deeds: &[Deed],
) -> Result<(Vec<Outcome>, AfterCommit), pg::Error> {
    let (now, began) = (state.now(), Instant::now());
    let tokens: BTreeSet<TokenId> = deeds.iter().filter_map(Deed::token_id).collect();
    let rules = rules(state, conn, &tokens, now).await?;
    let orders: BTreeSet<AllegroOrderId> = deeds.iter().map(|deed| deed.order_id().clone()).collect();
    let mut book = open(conn, &orders, deeds, &rules).await?;
    let outcomes = deeds
        .iter()
        .map(|deed| match deed {
            Deed::Sell(sale) => book.sell(sale, &rules),
            Deed::Mend(sale) => {
                book.mend(sale, &rules);
                Outcome::AlreadyDone
            }
            Deed::Cancel { order_id, token_id, lines } => {
                let lines: Vec<String> = lines.iter().map(|line| line.line_item_id.clone()).collect();
                book.cancel(order_id, *token_id, &lines, &rules);
                Outcome::Cancelled
            }
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

/// Does something about an operation of an order, in the caller's transaction.
///
/// # Errors
/// As [`apply`].
pub(crate) async fn act(
    state: &State,
    conn: &mut pg::Connection,
    order_id: AllegroOrderId,
    token_id: Option<TokenId>,
    (operation_id, action): (Uuid, Action),
) -> Result<Result<AfterCommit, Refusal>, pg::Error> {
    let began = Instant::now();
    let rules = rules(state, conn, &token_id.into_iter().collect(), state.now()).await?;
    let mut book = open(conn, &BTreeSet::from([order_id]), &[], &rules).await?;
    let done = match action {
        Action::Retry => book.retry(operation_id, &rules),
        Action::CallOff => book.call_off(operation_id, &rules),
    };
    let after = close(state, conn, book, began).await?;
    Ok(done.map(|()| after))
}

async fn rules<'a>(
    state: &'a State,
    conn: &mut pg::Connection,
    tokens: &BTreeSet<TokenId>,
    now: OffsetDateTime,
) -> Result<Rules<'a>, pg::Error> {
    let tokens: Vec<TokenId> = tokens.iter().copied().collect();
    Ok(Rules {
        now,
        ids: &*state.ids,
        default_warehouse: &state.settings.default_warehouse,
        accounts: accounts::of(conn, &tokens).await?,
    })
}

/// Locks orders, and locks and reads everything that these deeds may touch.
async fn open(
    conn: &mut pg::Connection,
    orders: &BTreeSet<AllegroOrderId>,
    deeds: &[Deed],
    rules: &Rules<'_>,
) -> Result<Book, pg::Error> {
    let mut found = Book::of_orders(book::orders(conn, orders, rules.now).await?);
    let (mut lines, mut places) = (BTreeSet::new(), BTreeSet::new());
    let operations = book::operations(conn, orders).await?;
    for operation in &operations {
        lines.insert(operation.line_item_id.as_str());
        places.extend(operation.sku.clone().map(|sku| (sku, operation.warehouse.clone())));
    }
    for deed in deeds {
        let warehouse = rules.warehouse_of(deed.token_id());
        for line in deed.lines() {
            lines.insert(line.line_item_id.as_str());
            places.extend(line.sku.clone().map(|sku| (sku, warehouse.to_owned())));
        }
    }
    let lines: Vec<&str> = lines.into_iter().collect();
    // Of what was taken long ago only the movements are kept.
    let is_bare = |id: &&AllegroOrderId| operations.iter().all(|it| it.order_id != **id);
    let cancelled = || deeds.iter().filter(|deed| deed.is_cancel()).map(Deed::order_id);
    let bare: Vec<&str> = cancelled().filter(is_bare).map(AllegroOrderId::as_str).collect();
    loop {
        found.sold = book::sold(conn, &lines).await?;
        if !bare.is_empty() {
            found.sold.extend(book::sold_with(conn, &bare).await?);
        }
        let wanted = places.len();
        places.extend(found.sold.values().map(|line| line.place.clone()));
        if wanted == places.len() && !found.levels.is_empty() {
            break;
        }
        found.levels = book::levels(conn, &places, rules.now).await?;
        // Whoever moved one of these lines as part of another order held its level: what is cancelled is looked at again.
        if cancelled().next().is_none() || found.levels.is_empty() {
            break;
        }
    }
    found.never = book::never(conn, &lines).await?;
    for operation in operations {
        found.hold(operation);
    }
    Ok(found)
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
