//! The HTTP API of tasks and schedules. A service registers [`routes`] below a path of its own and nests [`openapi`]
//! there:
//!
//! `GET …/tasks`, `GET …/tasks/{task_id}`, `POST …/tasks/{task_id}/cancel` (or `/stop`), `POST
//! …/tasks/{task_id}/retry`, `GET …/schedules`, `PATCH …/schedules/{name}`, `POST …/schedules/{name}/run`.
//!
//! The POSTs accept an `Idempotency-Key`: the service has `web::Idempotency` among its app data.
//!
//! A user-scoped credential sees and changes only that user's tasks and schedules.

mod schedules;
mod tasks;

use actix_web::web::{Data, ServiceConfig, get, patch, post, resource};
use utoipa::OpenApi;

pub use self::tasks::{ProgressView, TaskView};

web::error_codes! {
    pub
    TASK_NOT_FOUND = 404 "task_not_found", "No such task",
        "No task has this id, or it belongs to another user.";
    TASK_STATE = 409 "task_state", "The task's state does not allow it",
        "Only a task that has not ended can be cancelled; only one that failed or was cancelled can be retried, and not while another task with its unique key is unfinished.";
    SCHEDULE_NOT_FOUND = 404 "schedule_not_found", "No such schedule",
        "No schedule has this name, or it belongs to another user.";
    SCHEDULE_OFF = 409 "schedule_off", "The schedule is disabled",
        "A disabled schedule does not run; enable it first.";
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

/// The OpenAPI document of the routes. Its paths are relative to the path of registration.
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
