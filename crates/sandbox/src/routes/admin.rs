//! What Allegro lets nobody do: make orders, break things, read the truth.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::answer::plain;
use crate::world::clock::written;
use crate::world::faults::Wanted;
use crate::world::generator::{Generator, any_seed, arrive, fill};
use crate::world::orders::Change;
use crate::world::tokens::Consent;
use crate::world::{Live, World};

/// More orders at once would not fit in a laptop's memory.
const MAX_ORDERS: usize = 1_000_000;
/// The moments between arrivals are no shorter.
const TICK: Duration = Duration::from_millis(20);

pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .route("/sellers", web::get().to(sellers))
        .route("/sellers", web::post().to(add_seller))
        .route("/sellers/{id}/expire", web::post().to(expire))
        .route("/sellers/{id}/revoke", web::post().to(revoke))
        .route("/orders", web::post().to(generate))
        .route("/orders/{id}/{action}", web::post().to(act))
        .route("/live", web::post().to(go_live))
        .route("/live", web::get().to(live))
        .route("/live", web::delete().to(stop_live))
        .route("/journal", web::get().to(journal))
        .route("/stats", web::get().to(stats))
        .route("/faults", web::put().to(set_faults))
        .route("/faults", web::delete().to(clear_faults))
        .route("/auto-approve", web::put().to(auto_approve))
        .route("/authorizations", web::get().to(waiting))
        .route("/authorizations/{code}/{decision}", web::post().to(decide));
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Box<HttpResponse>> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| Box::new(bad(&error.to_string())))
}

fn bad(message: &str) -> HttpResponse {
    plain(StatusCode::BAD_REQUEST, &json!({ "error": message }))
}

fn missing(what: &str) -> HttpResponse {
    plain(StatusCode::NOT_FOUND, &json!({ "error": format!("no such {what}") }))
}

fn ok(body: &Value) -> HttpResponse {
    plain(StatusCode::OK, body)
}

async fn sellers(world: web::Data<World>) -> HttpResponse {
    let state = world.lock();
    let sellers: Vec<Value> = state
        .sellers
        .iter()
        .map(|seller| json!({ "id": seller.id, "login": seller.login, "orders": seller.orders.len() }))
        .collect();
    ok(&json!({ "sellers": sellers }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewSeller {
    login: Option<String>,
}

async fn add_seller(world: web::Data<World>, body: web::Bytes) -> HttpResponse {
    let NewSeller { login } = given!(read(&body));
    let mut state = world.lock();
    let seller = state.add_seller(login);
    plain(StatusCode::CREATED, &json!({ "id": seller.id, "login": seller.login }))
}

async fn expire(world: web::Data<World>, id: web::Path<String>) -> HttpResponse {
    let mut state = world.lock();
    if state.seller(Some(&id)).is_none() {
        return missing("seller");
    }
    state.tokens.expire(&id);
    ok(&json!({ "expired": *id }))
}

async fn revoke(world: web::Data<World>, id: web::Path<String>) -> HttpResponse {
    let mut state = world.lock();
    if state.seller(Some(&id)).is_none() {
        return missing("seller");
    }
    state.tokens.revoke(&id);
    ok(&json!({ "revoked": *id }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Generate {
    seller_id: Option<String>,
    count: usize,
    #[serde(default, with = "time::serde::rfc3339::option")]
    from: Option<OffsetDateTime>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    to: Option<OffsetDateTime>,
    seed: Option<u64>,
}

async fn generate(world: web::Data<World>, body: web::Bytes) -> HttpResponse {
    let wanted: Generate = given!(read(&body));
    if wanted.count > MAX_ORDERS {
        return bad("count is at most 1000000");
    }
    let now = OffsetDateTime::now_utc();
    let from = wanted.from.unwrap_or(now - time::Duration::days(360));
    let to = wanted.to.unwrap_or(now);
    if from > to || to > now {
        return bad("from is not after to, and to is not in the future");
    }
    let seed = wanted.seed.unwrap_or_else(any_seed);
    let mut state = world.lock();
    let Some((seller, last)) = state.seller_mut(wanted.seller_id.as_deref()) else {
        return missing("seller");
    };
    let ends = fill(seller, last, wanted.count, (from, to), seed);
    let (first, last) = ends.unzip();
    ok(&json!({ "created": wanted.count, "first_id": first, "last_id": last, "seed": seed }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Act {
    status: Option<String>,
}

async fn act(world: web::Data<World>, path: web::Path<(String, String)>, body: web::Bytes) -> HttpResponse {
    let Act { status } = given!(read(&body));
    let (id, action) = path.into_inner();
    let change = match (action.as_str(), status) {
        ("buyer-cancel", None) => Change::BuyerCancel,
        ("auto-cancel", None) => Change::AutoCancel,
        ("seller-cancel", None) => Change::Fulfill("CANCELLED".to_owned()),
        ("pay", None) => Change::Pay,
        ("change-address", None) => Change::MoveAddress,
        ("fulfill", Some(status)) => Change::Fulfill(status),
        _ => {
            return bad(
                "actions are buyer-cancel, auto-cancel, seller-cancel, pay, change-address, and fulfill with a status",
            );
        }
    };
    let mut state = world.lock();
    let owner =
        state.sellers.iter().find(|seller| seller.find(&id).is_some()).map(|seller| seller.id.clone());
    let Some((seller, last)) = owner.and_then(|owner| state.seller_mut(Some(&owner))) else {
        return missing("order");
    };
    seller.change(last, &id, &change);
    ok(&json!({ "order_id": id, "action": action }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GoLive {
    seller_id: Option<String>,
    count: u64,
    rate_per_second: f64,
    #[serde(default)]
    cancel_percent: u64,
    seed: Option<u64>,
}

async fn go_live(world: web::Data<World>, body: web::Bytes) -> HttpResponse {
    let wanted: GoLive = given!(read(&body));
    if !(0.1..=10_000.0).contains(&wanted.rate_per_second) || wanted.cancel_percent > 100 {
        return bad("rate_per_second is between 0.1 and 10000, cancel_percent between 0 and 100");
    }
    let run = rand::random();
    {
        let mut state = world.lock();
        if state.seller(wanted.seller_id.as_deref()).is_none() {
            return missing("seller");
        }
        state.live = Some(Live { wanted: wanted.count, emitted: 0, run });
    }
    actix_web::rt::spawn(emit(world.clone(), wanted, run));
    plain(StatusCode::ACCEPTED, &json!({ "running": true }))
}

/// Lets orders arrive at the wanted rate until all have, or another run takes over.
async fn emit(world: web::Data<World>, wanted: GoLive, run: u64) {
    let mut generator = Generator::new(wanted.seed.unwrap_or_else(any_seed));
    let started = tokio::time::Instant::now();
    let mut emitted = 0_u64;
    while emitted < wanted.count {
        let mut due = emitted;
        while due < wanted.count
            && started.elapsed() >= Duration::from_secs(due).div_f64(wanted.rate_per_second)
        {
            due += 1;
        }
        {
            let mut state = world.lock();
            if state.live.as_ref().is_none_or(|live| live.run != run) {
                return;
            }
            let Some((seller, last)) = state.seller_mut(wanted.seller_id.as_deref()) else { return };
            for n in emitted..due {
                let id = arrive(seller, last, &mut generator);
                // Spread evenly: the n-th is cancelled when the percentage passes a whole number.
                if (n + 1) * wanted.cancel_percent / 100 > n * wanted.cancel_percent / 100 {
                    seller.change(last, &id, &Change::BuyerCancel);
                }
            }
            emitted = due;
            if let Some(live) = &mut state.live {
                live.emitted = emitted;
            }
        }
        tokio::time::sleep(TICK).await;
    }
}

async fn live(world: web::Data<World>) -> HttpResponse {
    let live = world.lock().live.clone();
    let running = live.as_ref().is_some_and(|live| live.emitted < live.wanted);
    ok(&json!({ "running": running, "emitted": live.map_or(0, |live| live.emitted) }))
}

async fn stop_live(world: web::Data<World>) -> HttpResponse {
    let stopped = world.lock().live.take();
    ok(&json!({ "running": false, "emitted": stopped.map_or(0, |live| live.emitted) }))
}

#[derive(Deserialize)]
struct Whose {
    seller_id: Option<String>,
}

/// The truth, one line per order: what every count elsewhere is compared with.
async fn journal(world: web::Data<World>, whose: web::Query<Whose>) -> HttpResponse {
    let state = world.lock();
    let Some(seller) = state.seller(whose.seller_id.as_deref()) else { return missing("seller") };
    let mut events: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for event in &seller.journal {
        events.entry(event.order).or_default().push(event.kind);
    }
    let mut lines = String::new();
    for (at, order) in seller.orders.iter().enumerate() {
        let line = json!({
            "order_id": order.id,
            "status": order.status,
            "fulfillment_status": order.fulfillment,
            "revision": order.revision,
            "line_items": order.lines,
            "bought_at": written(order.bought_at),
            "events": events.get(&at).cloned().unwrap_or_default(),
        });
        lines.push_str(&line.to_string());
        lines.push('\n');
    }
    HttpResponse::Ok().content_type("application/x-ndjson").body(lines)
}

async fn stats(world: web::Data<World>) -> HttpResponse {
    let state = world.lock();
    let orders: usize = state.sellers.iter().map(|seller| seller.orders.len()).sum();
    let events: usize = state.sellers.iter().map(|seller| seller.journal.len()).sum();
    ok(&json!({
        "orders": orders,
        "events": events,
        "requests": state.requests,
        "tokens_issued": state.tokens.issued,
        "refreshes": state.tokens.refreshes,
        "blocked": state.faults.is_blocked(),
    }))
}

async fn set_faults(world: web::Data<World>, body: web::Bytes) -> HttpResponse {
    let wanted: Wanted = given!(read(&body));
    if StatusCode::from_u16(wanted.status).is_err() {
        return bad("status is an HTTP status");
    }
    world.lock().faults.set(wanted.clone());
    ok(&json!(wanted))
}

async fn clear_faults(world: web::Data<World>) -> HttpResponse {
    world.lock().faults.clear();
    ok(&json!({}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AutoApprove {
    enabled: bool,
}

async fn auto_approve(world: web::Data<World>, body: web::Bytes) -> HttpResponse {
    let AutoApprove { enabled } = given!(read(&body));
    world.lock().auto_approve = enabled;
    ok(&json!({ "enabled": enabled }))
}

async fn waiting(world: web::Data<World>) -> HttpResponse {
    let state = world.lock();
    ok(&json!({ "waiting": state.tokens.waiting().collect::<Vec<_>>() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct As {
    seller_id: Option<String>,
}

async fn decide(
    world: web::Data<World>,
    path: web::Path<(String, String)>,
    body: web::Bytes,
) -> HttpResponse {
    let As { seller_id } = given!(read(&body));
    let (code, decision) = path.into_inner();
    let mut state = world.lock();
    let Some(seller) = state.seller(seller_id.as_deref()).map(|seller| seller.id.clone()) else {
        return missing("seller");
    };
    let consent = match decision.as_str() {
        "approve" => Consent::Approved { seller },
        "deny" => Consent::Denied,
        _ => return bad("decide with approve or deny"),
    };
    if state.tokens.decide(&code, consent) {
        ok(&json!({ "decision": decision }))
    } else {
        missing("code waiting")
    }
}
