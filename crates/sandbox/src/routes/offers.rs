//! Offers, and commands that change their quantity.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;
use uuid::Uuid;

use super::admit::{OFFERS_READ, OFFERS_WRITE, admit, has_content};
use super::query::Query;
use crate::answer;
use crate::world::World;
use crate::world::offers::QuantityCommand;

pub(crate) async fn list(request: HttpRequest, world: web::Data<World>) -> HttpResponse {
    let seller = given!(admit(&request, &world, OFFERS_READ));
    let query = Query::of(&request);
    let state = world.lock();
    let refused_with = state.rules.list.bad_number_status;
    let limit = given!(query.number("limit", 20, (1, 1000), refused_with));
    let offset = given!(query.number("offset", 0, (0, 10_000_000), refused_with));
    let all = state.commands.offers(&seller, &query.all("external.id"), &query.all("offer.id"));
    let total = all.len();
    let page: Vec<_> = all.into_iter().skip(offset).take(limit).collect();
    answer::resource(json!({ "count": page.len(), "totalCount": total, "offers": page }).to_string())
}

fn missing() -> HttpResponse {
    answer::error(StatusCode::NOT_FOUND, "NotFoundException", "Command not found", None)
}

pub(crate) async fn command(
    request: HttpRequest,
    world: web::Data<World>,
    id: web::Path<Uuid>,
    body: web::Bytes,
) -> HttpResponse {
    let seller = given!(admit(&request, &world, OFFERS_WRITE));
    given!(has_content(&request, &world));
    let command: QuantityCommand = match serde_json::from_slice(&body) {
        Ok(command) => command,
        Err(error) => return answer::invalid(&error.to_string(), "modification"),
    };
    if let Err((path, text)) = command.check() {
        return answer::invalid(text, path);
    }
    let mut state = world.lock();
    let now = state.now();
    match state.commands.take(*id, &seller, &command, now) {
        Some(report) => answer::created(&report),
        None => answer::error(
            StatusCode::CONFLICT,
            "CommandAlreadyExists",
            "Command with this id already exists",
            None,
        ),
    }
}

pub(crate) async fn report(
    request: HttpRequest,
    world: web::Data<World>,
    id: web::Path<Uuid>,
) -> HttpResponse {
    let seller = given!(admit(&request, &world, OFFERS_READ));
    let report = world.lock().commands.report(*id, &seller);
    report.map_or_else(missing, |report| answer::resource(report.to_string()))
}

pub(crate) async fn tasks(
    request: HttpRequest,
    world: web::Data<World>,
    id: web::Path<Uuid>,
) -> HttpResponse {
    let seller = given!(admit(&request, &world, OFFERS_READ));
    let tasks = world.lock().commands.tasks(*id, &seller);
    tasks.map_or_else(missing, |tasks| answer::resource(json!({ "tasks": tasks }).to_string()))
}
