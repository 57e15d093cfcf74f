//! Sets and lists faults.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::{bad, missing, ok, read};
use crate::answer::plain;
use crate::world::World;
use crate::world::faults::Fault;

pub(super) async fn all(world: web::Data<World>) -> HttpResponse {
    let state = world.lock();
    let faults: Vec<Value> =
        state.faults.all().map(|(id, fault)| json!({ "id": id, "fault": fault })).collect();
    ok(&json!({ "faults": faults }))
}

/// Replaces all faults by this one.
pub(super) async fn set(world: web::Data<World>, body: web::Bytes) -> HttpResponse {
    let fault: Fault = given!(read(&body));
    if let Err(text) = fault.check() {
        return bad(&text);
    }
    let mut state = world.lock();
    let now = state.now();
    state.faults.clear();
    state.faults.add(fault.clone(), now);
    ok(&json!(fault))
}

/// Adds this fault.
pub(super) async fn add(world: web::Data<World>, body: web::Bytes) -> HttpResponse {
    let fault: Fault = given!(read(&body));
    if let Err(text) = fault.check() {
        return bad(&text);
    }
    let mut state = world.lock();
    let now = state.now();
    let id = state.faults.add(fault, now);
    plain(StatusCode::CREATED, &json!({ "id": id }))
}

pub(super) async fn clear(world: web::Data<World>) -> HttpResponse {
    world.lock().faults.clear();
    ok(&json!({}))
}

pub(super) async fn remove(world: web::Data<World>, id: web::Path<u64>) -> HttpResponse {
    if world.lock().faults.remove(*id) { ok(&json!({})) } else { missing("fault") }
}
