//! Reads and changes the rules and the clock.

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{bad, ok, read};
use crate::world::World;
use crate::world::clock::written;

pub(super) async fn all(world: web::Data<World>) -> HttpResponse {
    ok(&json!(world.lock().rules))
}

pub(super) async fn change(world: web::Data<World>, body: web::Bytes) -> HttpResponse {
    let change: Value = given!(read(&body));
    let mut state = world.lock();
    match state.rules.changed(&change) {
        Ok(rules) => {
            state.rules = rules;
            ok(&json!(state.rules))
        }
        Err(text) => bad(&text),
    }
}

pub(super) async fn reset(world: web::Data<World>) -> HttpResponse {
    let mut state = world.lock();
    state.rules = state.first_rules.clone();
    ok(&json!(state.rules))
}

pub(super) async fn clock(world: web::Data<World>) -> HttpResponse {
    ok(&json!({ "now": written(world.lock().now()) }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    seconds: u32,
}

pub(super) async fn advance(world: web::Data<World>, body: web::Bytes) -> HttpResponse {
    let Advance { seconds } = given!(read(&body));
    let mut state = world.lock();
    state.clock.advance(std::time::Duration::from_secs(seconds.into()));
    ok(&json!({ "now": written(state.now()) }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AutoApprove {
    enabled: bool,
}

pub(super) async fn auto_approve(world: web::Data<World>, body: web::Bytes) -> HttpResponse {
    let AutoApprove { enabled } = given!(read(&body));
    world.lock().rules.auth.auto_approve = enabled;
    ok(&json!({ "enabled": enabled }))
}
