//! What is on the shelf, and what people do about it.

use std::collections::{HashMap, HashSet};

use domain::Sku;
use domain::events::{Envelope, StockAdjusted, StockIsLow, StockLow, StockWasAdjusted};

use crate::domain::movement::MovementKind;
use crate::domain::wish::Wish;
use crate::state::State;
pub(crate) use crate::store::levels::{Filter as LevelFilter, LevelRow as Level};
pub(crate) use crate::store::movements::{Filter as MovementFilter, MovementRow as Movement};
use crate::store::{levels, movements};

/// What people do about a level.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    /// It was counted.
    Set(i64),
    /// Units came or went.
    Add(i64),
}

/// A change of a level, and why.
#[derive(Debug, Clone)]
pub(crate) struct Order<'a> {
    pub(crate) sku: Sku,
    pub(crate) warehouse: &'a str,
    pub(crate) change: Change,
    /// The threshold from now on.
    pub(crate) low_threshold: Wish<i64>,
    /// Only if nobody changed it since.
    pub(crate) if_version: Option<i64>,
    /// [`MovementKind::Adjustment`], [`MovementKind::Import`] or [`MovementKind::Receipt`].
    pub(crate) kind: MovementKind,
    pub(crate) note: Option<&'a str>,
    pub(crate) who: &'a str,
}

/// Why a level was not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// There is no such warehouse, or it is out of use.
    #[error("there is no such warehouse in use")]
    NoWarehouse,
    /// Somebody changed it meanwhile: its version now.
    #[error("the level is at version {0}")]
    Version(i64),
    /// It would fall below zero, and must not: what there is.
    #[error("there are {0} units")]
    TooFew(i64),
    /// More than can be counted.
    #[error("more units than can be counted")]
    TooMany,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    /// The order cannot be followed.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The database's.
    #[error(transparent)]
    Database(#[from] pg::Error),
}

/// Far above any shelf, far below what sums could overflow.
pub(crate) const MOST_UNITS: i64 = 1_000_000_000_000;

/// Changes levels in the caller's transaction, one order after another. Returns what became of each, in their order: the level
/// as it is then, or why it was left as it was. Orders that were refused have no effect, the others do.
///
/// # Errors
/// The database's.
pub(crate) async fn change(
    state: &State,
    conn: &mut pg::Connection,
    orders: &[Order<'_>],
) -> Result<Vec<Result<Level, Refused>>, pg::Error> {
    let now = state.now();
    let places: Vec<(&str, &str)> = orders.iter().map(|it| (it.sku.as_str(), it.warehouse)).collect();
    let locked = levels::lock(conn, &places, now).await?;
    let mut shelf: HashMap<(String, String), Level> =
        locked.into_iter().map(|it| ((it.sku.clone(), it.warehouse.clone()), it)).collect();
    let (mut moved, mut facts, mut results) = (Vec::new(), Vec::new(), Vec::new());
    let mut touched = HashSet::new();
    for order in orders {
        let place = (order.sku.to_string(), order.warehouse.to_owned());
        let Some(level) = shelf.get_mut(&place) else {
            results.push(Err(Refused::NoWarehouse));
            continue;
        };
        match decide(level, order) {
            Err(refused) => results.push(Err(refused)),
            Ok(None) => results.push(Ok(level.clone())),
            Ok(Some(changed)) => {
                let delta = changed.on_hand - level.on_hand;
                let was_low = level.is_low;
                *level = Level { updated_at: now, ..changed };
                moved.extend((delta != 0).then(|| movement(state, order, level, delta)));
                facts.extend(told(state, order, level, (delta, was_low))?);
                results.push(Ok(level.clone()));
                touched.insert(level.id);
            }
        }
    }
    let changed: Vec<&Level> = shelf.values().filter(|it| touched.contains(&it.id)).collect();
    levels::save(conn, &changed).await?;
    movements::add(conn, &moved).await?;
    messaging::outbox::push(conn, &facts).await?;
    Ok(results)
}

/// Changes one level in the caller's transaction. Returns it as it is then.
///
/// # Errors
/// Why it was left as it was; the transaction is then to be rolled back.
pub(crate) async fn change_one(
    state: &State,
    conn: &mut pg::Connection,
    order: Order<'_>,
) -> Result<Level, ChangeError> {
    let changed = change(state, conn, &[order]).await?.pop();
    Ok(changed.unwrap_or(Err(Refused::NoWarehouse))?)
}

/// The level as an order wants it; none when it is so already.
fn decide(level: &Level, order: &Order<'_>) -> Result<Option<Level>, Refused> {
    if order.if_version.is_some_and(|version| version != level.version) {
        return Err(Refused::Version(level.version));
    }
    let on_hand = match order.change {
        Change::Set(units) => Some(units),
        Change::Add(units) => level.on_hand.checked_add(units),
    };
    let on_hand = on_hand.filter(|it| (-MOST_UNITS..=MOST_UNITS).contains(it)).ok_or(Refused::TooMany)?;
    if on_hand < 0 && !level.allows_negative {
        return Err(Refused::TooFew(level.on_hand));
    }
    let low_threshold = order.low_threshold.or(level.low_threshold);
    if on_hand == level.on_hand && low_threshold == level.low_threshold && level.version > 0 {
        return Ok(None);
    }
    let is_low = low_threshold.is_some_and(|threshold| on_hand <= threshold);
    Ok(Some(Level { on_hand, low_threshold, is_low, version: level.version + 1, ..level.clone() }))
}

fn told(
    state: &State,
    order: &Order<'_>,
    level: &Level,
    (delta, was_low): (i64, bool),
) -> Result<Vec<Envelope>, pg::Error> {
    let mut facts = Vec::new();
    if delta != 0 {
        facts.push(state.wrap(&StockWasAdjusted(StockAdjusted {
            sku: level.sku.clone(),
            warehouse: level.warehouse.clone(),
            kind: order.kind.word().to_owned(),
            delta,
            on_hand: level.on_hand,
            note: order.note.map(str::to_owned),
            version: level.version,
        }))?);
    }
    if level.is_low && !was_low {
        facts.push(state.wrap(&StockIsLow(StockLow {
            sku: level.sku.clone(),
            warehouse: level.warehouse.clone(),
            on_hand: level.on_hand,
            threshold: level.low_threshold.unwrap_or_default(),
            version: level.version,
        }))?);
    }
    Ok(facts)
}

fn movement(state: &State, order: &Order<'_>, level: &Level, delta: i64) -> Movement {
    Movement {
        id: state.ids.next_id(),
        sku: level.sku.clone(),
        warehouse: level.warehouse.clone(),
        delta,
        on_hand: level.on_hand,
        kind: order.kind.word().to_owned(),
        operation_id: None,
        order_id: None,
        line_item_id: None,
        note: order.note.map(str::to_owned),
        who: Some(order.who.to_owned()),
        created_at: level.updated_at,
    }
}

/// Levels, newest first.
pub(crate) async fn list(state: &State, filter: &LevelFilter, limit: i64) -> Result<Vec<Level>, pg::Error> {
    levels::list(&mut *state.pool.get().await?, filter, limit).await
}

/// Movements, newest first.
pub(crate) async fn moved(
    state: &State,
    filter: &MovementFilter,
    limit: i64,
) -> Result<Vec<Movement>, pg::Error> {
    movements::list(&mut *state.pool.get().await?, filter, limit).await
}
