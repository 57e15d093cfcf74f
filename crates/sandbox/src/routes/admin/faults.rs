//! What goes wrong on purpose.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::{bad, missing, ok, read};
use crate::answer::plain;
use crate::world::World;
use crate::world::faults::Wanted;

pub(super) async fn all(world: web::Data<World>) -> HttpResponse {
    let state = world.lock();
    let faults: Vec<Value> =
        state.faults.all().map(|(id, wanted)| json!({ "id": id, "fault": wanted })).collect();
    ok(&json!({ "faults": faults }))
}

/// This fault instead of all there are.
pub(super) async fn set(world: web::Data<World>, body: web::Bytes) -> HttpResponse {
    let wanted: Wanted = given!(read(&body));
    if let Err(text) = wanted.check() {
        return bad(&text);
    }
    let mut state = world.lock();
    let now = state.now();
    state.faults.clear();
    state.faults.add(wanted.clone(), now);
    ok(&json!(wanted))
}

/// This fault beside those there are.
pub(super) async fn add(world: web::Data<World>, body: web::Bytes) -> HttpResponse {
    let wanted: Wanted = given!(read(&body));
    if let Err(text) = wanted.check() {
        return bad(&text);
    }
    let mut state = world.lock();
    let now = state.now();
    let id = state.faults.add(wanted, now);
    plain(StatusCode::CREATED, &json!({ "id": id }))
}

pub(super) async fn clear(world: web::Data<World>) -> HttpResponse {
    world.lock().faults.clear();
    ok(&json!({}))
}

pub(super) async fn remove(world: web::Data<World>, id: web::Path<u64>) -> HttpResponse {
    if world.lock().faults.remove(*id) { ok(&json!({})) } else { missing("fault") }
}
