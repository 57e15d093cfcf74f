//! Every request passes here: it is counted, compared with the limits, and may fail by a fault.

use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, MessageBody, SizedStream, to_bytes};
use actix_web::dev::{Extensions, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{
    AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, web};
use bytes::Bytes;
use futures_util::future::ready;
use futures_util::{StreamExt, stream};
use serde_json::Value;

use super::admit::{bearer, is_known_agent};
use crate::answer;
use crate::world::faults::{About, Fate, Trimmings};
use crate::world::limits::Verdict;
use crate::world::{State, World};

const HTML: &str = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>gateway</body>\r\n</html>";
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const TRACE_ID: HeaderName = HeaderName::from_static("trace-id");

/// The connection of a request, which allows it to be ended without an answer.
struct Wire(TcpStream);

/// Called for every new connection.
pub(crate) fn remember_wire(connection: &dyn std::any::Any, extensions: &mut Extensions) {
    let stream = connection.downcast_ref::<actix_web::rt::net::TcpStream>();
    // Without a duplicate of its socket the connection cannot be ended.
    if let Some(Ok(wire)) = stream.map(|stream| stream.as_fd().try_clone_to_owned()) {
        extensions.insert(Wire(wire.into()));
    }
}

/// The rules' name of a path. `None` for paths that are not Allegro's.
fn route(request: &ServiceRequest) -> Option<&'static str> {
    Some(match request.path() {
        "/auth/oauth/token" => "token",
        "/auth/oauth/device" => "device",
        "/me" => "me",
        "/order/event-stats" => "event-stats",
        "/order/events" => "events",
        "/order/checkout-forms" => "orders",
        path if path.starts_with("/order/checkout-forms/") && path.ends_with("/fulfillment") => "fulfillment",
        path if path.starts_with("/order/checkout-forms/") => "order",
        "/sale/offers" => "offers",
        path if path.starts_with("/sale/offer-quantity-change-commands/") => "commands",
        _ => return None,
    })
}

/// The decision on a request before it is handled.
struct Decision {
    delay: Duration,
    fate: Fate,
    trimmings: Trimmings,
    verdict: Verdict,
    refused_agent: Option<(u16, String)>,
}

fn decide(state: &mut State, request: &ServiceRequest, name: &str) -> Decision {
    let text = |header: HeaderName| request.headers().get(header).and_then(|value| value.to_str().ok());
    let now = state.now();
    let access = bearer(text(AUTHORIZATION)).and_then(|token| state.tokens.allowed(token, now));
    let seller = access.map(|access| access.seller.clone());
    let order = request.path().strip_prefix("/order/checkout-forms/").and_then(|rest| rest.split('/').next());
    let about = About { route: name, seller: seller.as_deref(), order };
    let (mut delay, fate, trimmings) = state.faults.decide(&about, now);
    // The OAuth endpoints are on another host, with their own limits.
    let is_api = !["token", "device"].contains(&name);
    let verdict = if is_api {
        state.limits.count(seller.as_deref(), &state.rules.limits, now)
    } else {
        Verdict::Fine { remaining: u64::MAX }
    };
    if let Verdict::Slower(by) = verdict {
        delay += by;
    }
    let rules = &state.rules.api;
    let is_refused =
        is_api && rules.check_user_agent && !is_known_agent(text(USER_AGENT).unwrap_or_default());
    let refused_agent = is_refused.then(|| (rules.user_agent_status, rules.user_agent_code.clone()));
    Decision { delay, fate, trimmings, verdict, refused_agent }
}

/// The answer that replaces a real one.
async fn instead(decision: &Decision, rules_tell_retry: bool) -> Option<HttpResponse> {
    let of = |status: u16, other: StatusCode| StatusCode::from_u16(status).unwrap_or(other);
    let failed = match decision.fate {
        Fate::Blocked => answer::too_many(),
        Fate::Error { status, html: true } => {
            HttpResponse::build(of(status, StatusCode::BAD_GATEWAY)).content_type("text/html").body(HTML)
        }
        Fate::Error { status, html: false } => {
            let status = of(status, StatusCode::INTERNAL_SERVER_ERROR);
            match &decision.trimmings.oauth_error {
                Some(code) => answer::oauth_error(status, code, code),
                None => answer::error(status, "ERROR", "An error has occurred", None),
            }
        }
        Fate::Silence(silence) => {
            tokio::time::sleep(silence).await;
            answer::error(StatusCode::GATEWAY_TIMEOUT, "GatewayTimeout", "Gateway timeout", None)
        }
        Fate::Garbage => HttpResponse::Ok().content_type(answer::MEDIA_TYPE).body(HTML),
        Fate::Spared | Fate::Reset | Fate::Lost | Fate::Truncated => match decision.verdict {
            Verdict::Refused { seconds } => {
                let mut refused = answer::too_many();
                if rules_tell_retry {
                    refused.headers_mut().insert(RETRY_AFTER, seconds.into());
                }
                refused
            }
            Verdict::Fine { .. } | Verdict::Slower(_) => {
                let (status, code) = decision.refused_agent.as_ref()?;
                let text = "The User-Agent header does not name a registered application";
                answer::error(of(*status, StatusCode::FORBIDDEN), code, text, None)
            }
        },
    };
    Some(failed)
}

fn cut(request: &ServiceRequest) {
    if let Some(wire) = request.conn_data::<Wire>() {
        // It may have ended by itself.
        let _ended = wire.0.shutdown(Shutdown::Both);
    }
}

pub(crate) async fn interfere(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(world) = request.app_data::<web::Data<World>>().cloned() else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let Some(name) = route(&request) else {
        let answered = next.call(request).await?.map_into_boxed_body();
        return Ok(dress(&world, answered, None));
    };
    let counted = format!("{} {name}", request.method());
    let (decision, tells_retry, explicit_nulls) = {
        let mut state = world.lock();
        let decision = decide(&mut state, &request, name);
        (decision, state.rules.limits.retry_after, state.rules.api.explicit_nulls)
    };
    if !decision.delay.is_zero() {
        tokio::time::sleep(decision.delay).await;
    }
    if decision.fate == Fate::Reset {
        cut(&request);
        *world.lock().requests.entry(counted).or_default().entry(0).or_default() += 1;
        return Ok(request.into_response(HttpResponse::Ok().finish()));
    }
    let mut answered = match instead(&decision, tells_retry).await {
        Some(failed) => request.into_response(failed),
        None => next.call(request).await?.map_into_boxed_body(),
    };
    trim(&mut answered, &decision.trimmings);
    if !explicit_nulls {
        answered = without_nulls(answered).await?;
    }
    let mut status = answered.status().as_u16();
    match decision.fate {
        Fate::Lost => {
            cut_answer(&answered);
            status = 0;
        }
        Fate::Truncated => answered = truncated(answered).await?,
        _ => {}
    }
    *world.lock().requests.entry(counted).or_default().entry(status).or_default() += 1;
    Ok(dress(&world, answered, Some(decision.verdict)))
}

fn trim(answered: &mut ServiceResponse<BoxBody>, trimmings: &Trimmings) {
    let has_failed = !answered.status().is_success();
    let headers = answered.headers_mut();
    if let Some(seconds) = trimmings.retry_after.filter(|_| has_failed) {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    if let Some(remaining) = trimmings.remaining {
        headers.insert(HeaderName::from_static("x-ratelimit-remaining"), remaining.into());
    }
}

fn cut_answer(answered: &ServiceResponse<BoxBody>) {
    if let Some(wire) = answered.request().conn_data::<Wire>() {
        // It may have ended by itself.
        let _ended = wire.0.shutdown(Shutdown::Both);
    }
}

/// Adds the headers of every answer of Allegro, or none, by the rules.
fn dress(
    world: &World,
    mut answered: ServiceResponse<BoxBody>,
    verdict: Option<Verdict>,
) -> ServiceResponse<BoxBody> {
    let (trace_id, tells_remaining) = {
        let state = world.lock();
        (state.rules.api.trace_id, state.rules.limits.remaining)
    };
    let headers = answered.headers_mut();
    if trace_id {
        let id = format!("{:016x}", rand::random::<u64>());
        if let Ok(id) = HeaderValue::from_str(&id) {
            headers.insert(TRACE_ID, id);
        }
    }
    if let Some(Verdict::Fine { remaining }) = verdict.filter(|_| tells_remaining) {
        headers.insert(REMAINING, remaining.into());
    }
    answered
}

/// Omits null fields, as some of Allegro's older answers did.
async fn without_nulls(answered: ServiceResponse<BoxBody>) -> Result<ServiceResponse<BoxBody>, Error> {
    let (request, response) = answered.into_parts();
    let (head, body) = response.into_parts();
    let body = to_bytes(body).await?;
    let body = match serde_json::from_slice::<Value>(&body) {
        Ok(mut content) => {
            strip(&mut content);
            Bytes::from(content.to_string())
        }
        Err(_no_json) => body,
    };
    Ok(ServiceResponse::new(request, head.set_body(body).map_into_boxed_body()))
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

/// Announces the whole body and ends in its middle.
async fn truncated(answered: ServiceResponse<BoxBody>) -> Result<ServiceResponse<BoxBody>, Error> {
    let (request, response) = answered.into_parts();
    let (mut head, body) = response.into_parts();
    if matches!(body.size(), BodySize::None | BodySize::Sized(0)) {
        return Ok(ServiceResponse::new(request, head.set_body(body)));
    }
    let body = to_bytes(body).await?;
    let promised = u64::try_from(body.len()).unwrap_or(u64::MAX);
    let half = body.slice(..body.len() / 2);
    let content_type = head.headers().get(CONTENT_TYPE).cloned();
    let broken = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
    // The sent part is on its way before the connection breaks.
    let breaks = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Err(broken)
    };
    let parts = stream::once(ready(Ok(half))).chain(stream::once(breaks)).boxed_local();
    if let Some(content_type) = content_type {
        head.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    Ok(ServiceResponse::new(request, head.set_body(SizedStream::new(promised, parts)).map_into_boxed_body()))
}
