//! Finished goods: what a closed batch brings onto the shelf, once.

use std::collections::{BTreeMap, HashMap};

use alerts::Alert;
use domain::Sku;
use domain::events::BatchClosed;
use time::OffsetDateTime;
use uuid::Uuid;

use super::inventory::{self, Change, Order, Refused};
use crate::domain::alert::Notice;
use crate::domain::movement::MovementKind;
use crate::domain::wish::Wish;
use crate::state::State;
pub(crate) use crate::store::goods::Good;
use crate::store::goods::{self, Receipt};

/// Who brings it.
const PLANT: &str = "production-batches";

/// Batches that could not be received, with the reasons.
pub(crate) type RefusedBatches = Vec<(i64, Refused)>;

/// What the plant's name of a thing shall mean.
#[derive(Debug, Clone)]
pub(crate) struct NewGood {
    pub(crate) nomenclature: String,
    pub(crate) ekn_code: String,
    pub(crate) sku: Sku,
    /// The default warehouse when absent.
    pub(crate) warehouse: Option<String>,
}

/// Why a meaning was not added or removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is none.
    #[error("there is no such good")]
    NotFound,
    /// This name and code mean something already.
    #[error("this name and code mean something already")]
    Exists,
    /// There is none in use of this name.
    #[error("there is no such warehouse in use")]
    NoWarehouse,
    /// The database's.
    #[error(transparent)]
    Database(#[from] pg::Error),
}

/// What names mean, newest first.
pub(crate) async fn list(
    state: &State,
    after: Option<(OffsetDateTime, Uuid)>,
    limit: i64,
) -> Result<Vec<Good>, pg::Error> {
    goods::list(&mut *state.pool.get().await?, after, limit).await
}

/// Adds a meaning in the caller's transaction, and receives the batches that waited for it. Returns how many did, and those
/// that could not be received with the reasons.
pub(crate) async fn add(
    state: &State,
    conn: &mut pg::Connection,
    wanted: NewGood,
) -> Result<(Good, usize, RefusedBatches), Error> {
    let name = wanted.warehouse.as_ref().unwrap_or(&state.settings.default_warehouse);
    let warehouse = crate::store::warehouses::hold(conn, name).await?.filter(|it| it.is_active);
    warehouse.ok_or(Error::NoWarehouse)?;
    let good = Good {
        id: state.ids.next_id(),
        nomenclature: wanted.nomenclature,
        ekn_code: wanted.ekn_code,
        sku: wanted.sku.to_string(),
        warehouse: wanted.warehouse,
        created_at: state.now(),
    };
    let good = goods::insert(conn, &good).await?.ok_or(Error::Exists)?;
    let waiting = goods::waiting(conn, (&good.nomenclature, &good.ekn_code)).await?;
    let refused = receive(state, conn, &waiting, std::slice::from_ref(&good)).await?;
    let cause = Notice::unknown_good(&good.nomenclature, &good.ekn_code).cause();
    alerts::clear(conn, state.now(), &cause).await?;
    Ok((good, waiting.len(), refused))
}

/// Removes a meaning, in the caller's transaction. What was received stays.
pub(crate) async fn remove(conn: &mut pg::Connection, id: Uuid) -> Result<(), Error> {
    if goods::delete(conn, id).await? { Ok(()) } else { Err(Error::NotFound) }
}

/// Receives what was made, each batch once however often it is closed. Those nobody can name wait, and people are told.
/// Returns the batches that could not be received with the reasons.
///
/// # Errors
/// The database's.
pub(crate) async fn close(
    state: &State,
    conn: &mut pg::Connection,
    closed: &[BatchClosed],
) -> Result<RefusedBatches, pg::Error> {
    if closed.is_empty() {
        return Ok(Vec::new());
    }
    let mut by_id: HashMap<i64, Receipt> = HashMap::new();
    for batch in closed {
        by_id.entry(batch.batch_id).or_insert_with(|| Receipt {
            batch_id: batch.batch_id,
            batch_number: batch.batch_number,
            nomenclature: batch.nomenclature.clone(),
            ekn_code: batch.ekn_code.clone(),
            units: batch.statistics.aggregated,
        });
    }
    let closed: Vec<Receipt> = by_id.into_values().collect();
    let new = goods::note(conn, &closed, state.now()).await?;
    // Whoever adds a meaning now sees these batches, or is seen here: otherwise each would wait for the other for ever.
    goods::hold(conn).await?;
    let names: Vec<(&str, &str)> =
        new.iter().map(|it| (it.nomenclature.as_str(), it.ekn_code.as_str())).collect();
    let known = goods::of(conn, &names).await?;
    receive(state, conn, &new, &known).await
}

/// Brings batches onto the shelf, where it is known what they are.
async fn receive(
    state: &State,
    conn: &mut pg::Connection,
    batches: &[Receipt],
    known: &[Good],
) -> Result<RefusedBatches, pg::Error> {
    let meaning = |it: &Receipt| {
        known.iter().find(|good| good.nomenclature == it.nomenclature && good.ekn_code == it.ekn_code)
    };
    let notes: Vec<String> =
        batches.iter().map(|it| format!("batch {} ({})", it.batch_number, it.batch_id)).collect();
    let (mut orders, mut received, mut unknown) = (Vec::new(), Vec::new(), BTreeMap::new());
    for (batch, note) in batches.iter().zip(&notes) {
        let Some(good) = meaning(batch) else {
            let notice = Notice::unknown_good(&batch.nomenclature, &batch.ekn_code);
            unknown.insert(notice.cause(), notice);
            continue;
        };
        let sku = Sku::parse(&good.sku);
        received.push(batch.batch_id);
        orders.push(Order {
            sku: sku.map_err(|_invalid| pg::Error::corrupt("batch_goods", good.id, "sku"))?,
            warehouse: good.warehouse.as_deref().unwrap_or(&state.settings.default_warehouse),
            change: Change::Add(batch.units),
            low_threshold: Wish::AsItWas,
            if_version: None,
            kind: MovementKind::Receipt,
            note: Some(note),
            who: PLANT,
        });
    }
    let results = inventory::change(state, conn, &orders).await?;
    let (mut done, mut refused_batches) = (Vec::new(), Vec::new());
    for (batch, result) in received.into_iter().zip(results) {
        match result {
            Ok(_level) => done.push(batch),
            Err(refused) => refused_batches.push((batch, refused)),
        }
    }
    goods::received(conn, &done, state.now()).await?;
    // After the levels, and by cause, as everybody does.
    for notice in unknown.values() {
        alerts::raise(conn, state.now(), notice).await?;
    }
    Ok(refused_batches)
}
