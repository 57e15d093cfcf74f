//! Tasks and schedules as callers see them. A service puts [`routes`] below a path of its own and nests [`openapi`]
//! there:
//!
//! `GET …/tasks`, `GET …/tasks/{task_id}`, `POST …/tasks/{task_id}/cancel` (or `/stop`), `POST …/tasks/{task_id}/retry`,
//! `GET …/schedules`, `PATCH …/schedules/{name}`, `POST …/schedules/{name}/run`.
//!
//! The POSTs take an `Idempotency-Key`: the service has `web::Idempotency` among its app data.
//!
//! A caller bound to a user sees and moves only that user's tasks and schedules.

mod schedules;
mod tasks;

use actix_web::web::{Data, ServiceConfig, get, patch, post, resource};
use utoipa::OpenApi;

pub use self::tasks::{ProgressView, TaskView};

web::error_codes! {
    pub
    TASK_NOT_FOUND = 404 "task_not_found", "No such task",
        "No task has this id, or it is another user's.";
    TASK_STATE = 409 "task_state", "The task's state does not allow it",
        "Only a task that has not ended can be cancelled; only one that failed or was cancelled can be tried again, and not while another does the same.";
    SCHEDULE_NOT_FOUND = 404 "schedule_not_found", "No such schedule",
        "No schedule has this name, or it is another user's.";
    SCHEDULE_OFF = 409 "schedule_off", "The schedule is switched off",
        "A schedule that is switched off does not run; switch it on first.";
}

#[derive(OpenApi)]
#[openapi(paths(
    tasks::list,
    tasks::find,
    tasks::cancel,
    tasks::stop,
    tasks::retry,
    schedules::list,
    schedules::change,
    schedules::run,
))]
struct Document;

/// The routes' part of an OpenAPI document, with paths that begin below the place they are put at.
pub fn openapi() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// Registers the routes below `at`, for example `/sync`.
pub fn routes(config: &mut ServiceConfig, at: &str, pool: &pg::Pool) {
    let place = |path: &str| resource(format!("{at}{path}")).app_data(Data::new(pool.clone()));
    config
        .service(place("/tasks").route(get().to(tasks::list)))
        .service(place("/tasks/{task_id}").route(get().to(tasks::find)))
        .service(place("/tasks/{task_id}/cancel").route(post().to(tasks::cancel)))
        .service(place("/tasks/{task_id}/stop").route(post().to(tasks::stop)))
        .service(place("/tasks/{task_id}/retry").route(post().to(tasks::retry)))
        .service(place("/schedules").route(get().to(schedules::list)))
        .service(place("/schedules/{name}").route(patch().to(schedules::change)))
        .service(place("/schedules/{name}/run").route(post().to(schedules::run)));
}
