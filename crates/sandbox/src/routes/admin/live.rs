//! Generates orders at a rate.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde_json::json;

use super::{bad, missing, ok, read};
use crate::answer::plain;
use crate::world::World;
use crate::world::generator::any_seed;
use crate::world::live::{Emitter, GoLive, Live};

/// Minimum interval between arrivals.
const TICK: Duration = Duration::from_millis(20);

pub(super) async fn go(world: web::Data<World>, body: web::Bytes) -> HttpResponse {
    let request: GoLive = given!(read(&body));
    if let Err(text) = request.check() {
        return bad(text);
    }
    let run = rand::random();
    {
        let mut state = world.lock();
        if state.seller(request.seller_id.as_deref()).is_none() {
            return missing("seller");
        }
        state.live = Some(Live { count: request.count, emitted: 0, run });
    }
    actix_web::rt::spawn(emit(world.clone(), request, run));
    plain(StatusCode::ACCEPTED, &json!({ "running": true }))
}

/// Generates orders at the requested rate until all have arrived, or another run replaces this one.
async fn emit(world: web::Data<World>, request: GoLive, run: u64) {
    let (count, rate) = (request.count, request.rate_per_second);
    let seed = request.seed.unwrap_or_else(any_seed);
    let mut source = Emitter::new(request, seed);
    let started = tokio::time::Instant::now();
    let mut emitted = 0_u64;
    while emitted < count {
        let mut due = emitted;
        while due < count && started.elapsed() >= Duration::from_secs(due).div_f64(rate) {
            due += 1;
        }
        {
            let mut state = world.lock();
            if state.live.as_ref().is_none_or(|live| live.run != run) {
                return;
            }
            for n in emitted..due {
                source.emit(&mut state, n);
            }
            emitted = due;
            if let Some(live) = &mut state.live {
                live.emitted = emitted;
            }
        }
        tokio::time::sleep(TICK).await;
    }
}

pub(super) async fn status(world: web::Data<World>) -> HttpResponse {
    let live = world.lock().live.clone();
    let running = live.as_ref().is_some_and(|live| live.emitted < live.count);
    ok(&json!({ "running": running, "emitted": live.map_or(0, |live| live.emitted) }))
}

pub(super) async fn stop(world: web::Data<World>) -> HttpResponse {
    let stopped = world.lock().live.take();
    ok(&json!({ "running": false, "emitted": stopped.map_or(0, |live| live.emitted) }))
}
