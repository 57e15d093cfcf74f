//! Every request passes here: it is counted, and may fail on purpose.

use std::io;
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody, SizedStream};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, web};
use futures_util::{StreamExt, stream};

use crate::answer;
use crate::world::World;
use crate::world::faults::Fate;

const HTML: &str = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>gateway</body>\r\n</html>";

/// Half of a body that is announced whole: the connection ends after it.
fn cut(body: BoxBody) -> BoxBody {
    let Ok(whole) = body.try_into_bytes() else { return BoxBody::new(()) };
    let half = whole.slice(..whole.len() / 2);
    let breaks = async {
        // What came before is on its way by then.
        tokio::time::sleep(Duration::from_millis(20)).await;
        Err(io::Error::from(io::ErrorKind::ConnectionReset))
    };
    let broken = stream::iter([Ok(half)]).chain(stream::once(breaks));
    BoxBody::new(SizedStream::new(u64::try_from(whole.len()).unwrap_or_default(), Box::pin(broken)))
}

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
    let (fate, delay, wanted) = {
        let mut state = world.lock();
        (state.faults.fate(name), state.faults.delay(), state.faults.wanted().cloned().unwrap_or_default())
    };
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let failed = match fate {
        Fate::Spared | Fate::Cut => None,
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
            Some(if let Some(code) = &wanted.oauth_error {
                answer::oauth_error(status, code, code)
            } else {
                answer::error(status, "InternalServerError", "Something went wrong", None)
            })
        }
        Fate::Silence(silence) => {
            tokio::time::sleep(silence).await;
            Some(answer::error(StatusCode::GATEWAY_TIMEOUT, "GatewayTimeout", "Gateway timeout", None))
        }
    };
    let has_failed = failed.is_some();
    let mut answered = match failed {
        Some(failed) => request.into_response(failed),
        None => next.call(request).await?.map_into_boxed_body(),
    };
    let told = [
        ("retry-after", wanted.retry_after.filter(|_| has_failed)),
        ("x-ratelimit-remaining", wanted.remaining),
    ];
    for (name, number) in told {
        if let Some(number) = number {
            answered.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from(number));
        }
    }
    if fate == Fate::Cut {
        answered = answered.map_body(|_, body| cut(body));
    }
    let status = answered.status().as_u16();
    *world.lock().requests.entry(counted).or_default().entry(status).or_default() += 1;
    Ok(answered)
}
