//! Sellers, their tokens and their consent.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{bad, missing, ok, read};
use crate::answer::plain;
use crate::world::World;
use crate::world::tokens::{Consent, granted};

/// The events that revoke all of a seller's tokens (section 2.3 of the facts about Allegro), in addition to the plain
/// `revoke`.
const KILLS: [&str; 6] =
    ["revoke", "change-password", "change-email", "log-out-everywhere", "block-sales", "unlink"];

pub(super) async fn all(world: web::Data<World>) -> HttpResponse {
    let state = world.lock();
    let sellers: Vec<Value> = state
        .sellers
        .iter()
        .map(|seller| json!({ "id": seller.id, "login": seller.login, "orders": seller.living().count() }))
        .collect();
    ok(&json!({ "sellers": sellers }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewSeller {
    login: Option<String>,
}

pub(super) async fn add(world: web::Data<World>, body: web::Bytes) -> HttpResponse {
    let NewSeller { login } = given!(read(&body));
    let mut state = world.lock();
    let seller = state.add_seller(login);
    plain(StatusCode::CREATED, &json!({ "id": seller.id, "login": seller.login }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scope {
    scope: Option<String>,
}

/// Creates a session without a device flow, as if the person had signed in elsewhere.
pub(super) async fn tokens(world: web::Data<World>, id: web::Path<String>, body: web::Bytes) -> HttpResponse {
    let Scope { scope } = given!(read(&body));
    let mut state = world.lock();
    if state.seller(Some(&id)).is_none() {
        return missing("seller");
    }
    let (tokens, mut desk) = state.desk(&world.settings.client_id);
    let scopes = granted(&desk.rules.scopes, scope.as_deref());
    let pair = tokens.open(&id, scopes, &mut desk);
    plain(StatusCode::CREATED, &pair)
}

pub(super) async fn kill(world: web::Data<World>, path: web::Path<(String, String)>) -> HttpResponse {
    let (id, kill) = path.into_inner();
    let mut state = world.lock();
    if state.seller(Some(&id)).is_none() {
        return missing("seller");
    }
    match kill.as_str() {
        "expire-access" => state.tokens.expire(&id),
        kill if KILLS.contains(&kill) => state.tokens.revoke(&id),
        _ => return bad(&format!("tokens die by expire-access, {}", KILLS.join(", "))),
    }
    ok(&json!({ "revoked": id }))
}

pub(super) async fn waiting(world: web::Data<World>) -> HttpResponse {
    let state = world.lock();
    ok(&json!({ "waiting": state.tokens.waiting().collect::<Vec<_>>() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct As {
    seller_id: Option<String>,
}

pub(super) async fn decide(
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
