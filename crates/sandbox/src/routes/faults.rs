//! Every request passes here: it is counted, and may fail on purpose.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, web};

use crate::answer;
use crate::world::World;
use crate::world::faults::Fate;

const HTML: &str = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>gateway</body>\r\n</html>";

pub(crate) async fn interfere(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(world) = request.app_data::<web::Data<World>>().cloned() else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let name = match request.path() {
        "/auth/oauth/token" => "token",
        "/auth/oauth/device" => "device",
        "/me" => "me",
        "/order/event-stats" => "event-stats",
        "/order/events" => "events",
        "/order/checkout-forms" => "orders",
        path if path.starts_with("/order/checkout-forms/") => "order",
        _ours => return Ok(next.call(request).await?.map_into_boxed_body()),
    };
    let counted = format!("{} {name}", request.method());
    let (fate, delay) = {
        let mut state = world.lock();
        (state.faults.fate(name), state.faults.delay())
    };
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let failed = match fate {
        Fate::Spared => None,
        Fate::Blocked => Some(answer::error(
            StatusCode::TOO_MANY_REQUESTS,
            "RateLimitExceedException",
            "Rate limit exceeded",
            None,
        )),
        Fate::Error { status, html: true } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
            Some(HttpResponse::build(status).content_type("text/html").body(HTML))
        }
        Fate::Error { status, html: false } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Some(answer::error(status, "InternalServerError", "Something went wrong", None))
        }
        Fate::Silence(silence) => {
            tokio::time::sleep(silence).await;
            Some(answer::error(StatusCode::GATEWAY_TIMEOUT, "GatewayTimeout", "Gateway timeout", None))
        }
    };
    let answered = match failed {
        Some(failed) => request.into_response(failed),
        None => next.call(request).await?.map_into_boxed_body(),
    };
    let status = answered.status().as_u16();
    *world.lock().requests.entry(counted).or_default().entry(status).or_default() += 1;
    Ok(answered)
}
