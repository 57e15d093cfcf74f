//! The HTTP interface, prefix `/api/v1`.

mod following;
mod orders;
mod problems;
mod readings;
mod sync;
mod tokens;

use web::Routes;

/// The routes of the service, besides those of tasks and schedules.
pub(crate) const ROUTES: Routes = web::routes! {
    title: "allegro-backup",
    description: "Every order of every connected Allegro account, kept for ever.",
    codes: problems::CODES,
    "/tokens" => { get: tokens::list, post: tokens::write::create },
    "/tokens/auth/initialize" => { post: tokens::authorization::initialize },
    "/tokens/auth/status/{key}" => { get: tokens::authorization::authorization_status },
    "/tokens/auth/task/{task_id}" => { get: tokens::authorization::authorization_task },
    "/tokens/user/{user_id}" => { get: tokens::of_user },
    "/tokens/{token_id}" => { get: tokens::get, put: tokens::write::change, delete: tokens::delete },
    "/tokens/{token_id}/refresh" => { post: tokens::check::refresh },
    "/tokens/{token_id}/validate" => { post: tokens::check::validate },
    "/sync/manual/{user_id}" => { post: sync::start },
    "/sync/events/{user_id}" => { post: sync::start_events },
    "/sync/activate" => { post: following::activate },
    "/sync/deactivate" => { post: following::deactivate },
    "/sync/active" => { get: following::active },
    "/sync/history/{user_id}" => { get: readings::list },
    "/sync/gaps/{token_id}" => { get: readings::gaps },
    "/sync/status/{user_id}" => { get: sync::status },
    "/orders/{user_id}" => { get: orders::list },
    "/orders/{user_id}/export" => { get: orders::export::get },
    "/orders/{user_id}/quarantine" => { get: orders::quarantine::list },
    "/orders/{user_id}/quarantine/{order_id}" => { get: orders::quarantine::get },
    "/orders/{user_id}/statistics" => { get: orders::statistics::get },
    "/orders/{user_id}/{order_id}" => { get: orders::get },
    "/orders/{user_id}/{order_id}/versions" => { get: orders::history::versions },
    "/orders/{user_id}/{order_id}/versions/diff" => { get: orders::history::difference },
    "/orders/{user_id}/{order_id}/events" => { get: orders::history::events },
    "/orders/{user_id}/{order_id}/sync" => { post: orders::sync::start },
    "/orders/{token_id}/{order_id}/technical-flags" => { get: orders::flags::get },
    "/orders/{token_id}/{order_id}/stock-status" => { patch: orders::flags::set_stock },
    "/orders/{token_id}/{order_id}/invoice-status" => { patch: orders::flags::set_invoice },
};
