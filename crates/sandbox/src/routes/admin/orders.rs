//! Creates and changes orders.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::json;
use time::OffsetDateTime;

use super::{bad, missing, ok, read};
use crate::world::World;
use crate::world::arrival::fill;
use crate::world::change::Change;
use crate::world::generator::any_seed;
use crate::world::journal::{Occurrence, TYPES};
use crate::world::orders::{Gone, Order};

/// Maximum number of orders, which fits a laptop's memory.
const MAX_ORDERS: usize = 1_000_000;
/// Maximum number of lines of an order.
const MAX_BLOAT: usize = 64 << 20;
const ACTIONS: &str = "actions are fill-in, pay, surcharge, buyer-cancel, auto-cancel, seller-cancel, change-address, \
                       lose-data, return, vanish, fulfill and sent with a status, bloat with bytes, and set with pointer and value";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Generate {
    seller_id: Option<String>,
    count: usize,
    #[serde(default, with = "domain::instant::option")]
    from: Option<OffsetDateTime>,
    #[serde(default, with = "domain::instant::option")]
    to: Option<OffsetDateTime>,
    seed: Option<u64>,
}

pub(super) async fn generate(world: web::Data<World>, body: web::Bytes) -> HttpResponse {
    let request: Generate = given!(read(&body));
    if request.count > MAX_ORDERS {
        return bad("count is at most 1000000");
    }
    let mut state = world.lock();
    let now = state.now();
    let from = request.from.unwrap_or(now - time::Duration::days(360));
    let to = request.to.unwrap_or(now);
    if from > to || to > now {
        return bad("from is not after to, and to is not in the future");
    }
    let seed = request.seed.unwrap_or_else(any_seed);
    let Some((seller, context)) = state.seller_mut(request.seller_id.as_deref()) else {
        return missing("seller");
    };
    let ends = fill(seller, &context, request.count, (from, to), seed);
    let (first, last) = ends.unzip();
    ok(&json!({ "created": request.count, "first_id": first, "last_id": last, "seed": seed }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Act {
    status: Option<String>,
    /// At most 64 MiB.
    bytes: Option<usize>,
    /// The field that gets another value (JSON Pointer).
    pointer: Option<String>,
    /// The value; null when it is not given.
    #[serde(default)]
    value: serde_json::Value,
    /// No event reports it.
    #[serde(default)]
    silent: bool,
}

fn change(action: &str, status: Option<String>, bytes: Option<usize>) -> Option<Change> {
    Some(match (action, status) {
        ("bloat", None) => Change::Bloat(bytes.filter(|bytes| *bytes <= MAX_BLOAT)?),
        ("fill-in", None) => Change::FillIn,
        ("pay", None) => Change::Pay,
        ("surcharge", None) => Change::Surcharge,
        ("buyer-cancel", None) => Change::BuyerCancel,
        ("auto-cancel", None) => Change::AutoCancel,
        ("seller-cancel", None) => Change::Fulfill("CANCELLED".to_owned()),
        ("change-address", None) => Change::MoveAddress,
        ("lose-data", None) => Change::LoseData,
        ("return", None) => Change::Return,
        ("fulfill", Some(status)) => Change::Fulfill(status),
        ("sent", Some(status)) => Change::Sent(status),
        _ => return None,
    })
}

pub(super) async fn act(
    world: web::Data<World>,
    path: web::Path<(String, String)>,
    body: web::Bytes,
) -> HttpResponse {
    let Act { status, bytes, pointer, value, silent } = given!(read(&body));
    let (id, action) = path.into_inner();
    let change = match pointer {
        Some(pointer) if action == "set" => Some(Change::Set(pointer, value)),
        _ => change(&action, status, bytes),
    };
    if change.is_none() && action != "vanish" {
        return bad(ACTIONS);
    }
    let mut state = world.lock();
    let owner = state.owner(&id);
    let Some((seller, mut context)) = owner.and_then(|owner| state.seller_mut(Some(&owner))) else {
        return missing("order");
    };
    match change {
        Some(change) => seller.change(&id, &change, &mut context, silent),
        None => seller.take_away(&id, Gone::Away),
    };
    ok(&json!({ "order_id": id, "action": action }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Merge {
    orders: Vec<String>,
}

pub(super) async fn merge(world: web::Data<World>, body: web::Bytes) -> HttpResponse {
    let Merge { orders } = given!(read(&body));
    let Some(owner) = orders.first().and_then(|first| world.lock().owner(first)) else {
        return missing("order");
    };
    let mut sorted = orders.clone();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.len() != orders.len() || orders.len() < 2 {
        return bad("name two different orders at least");
    }
    let mut state = world.lock();
    let Some((seller, mut context)) = state.seller_mut(Some(&owner)) else { return missing("seller") };
    match seller.merge(&orders, &mut context) {
        Some(id) => ok(&json!({ "order_id": id, "merged": orders })),
        None => missing("order of this seller"),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewEvent {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, with = "domain::instant::option")]
    occurred_at: Option<OffsetDateTime>,
}

/// Adds an event to the journal that does not match the order's content.
pub(super) async fn event(world: web::Data<World>, id: web::Path<String>, body: web::Bytes) -> HttpResponse {
    let NewEvent { kind, occurred_at } = given!(read(&body));
    let Some(kind) = TYPES.into_iter().find(|known| *known == kind) else {
        return bad(&format!("types are {}", TYPES.join(", ")));
    };
    let mut state = world.lock();
    let found = state.sellers.iter().find_map(|seller| {
        let at = seller.orders.iter().position(|order| order.id == *id)?;
        Some((seller.id.clone(), at))
    });
    let Some((owner, at)) = found else { return missing("order") };
    let Some((seller, mut context)) = state.seller_mut(Some(&owner)) else { return missing("seller") };
    let form = Arc::new(seller.orders.get(at).map(Order::form).unwrap_or_default());
    let occurred_at = occurred_at.unwrap_or(context.now);
    seller.note(Occurrence { kind, order: at, form, occurred_at }, &mut context);
    ok(&json!({ "order_id": *id, "type": kind }))
}
