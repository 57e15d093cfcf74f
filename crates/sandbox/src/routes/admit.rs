//! Authenticates requests, and checks their media types and user agents.

use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName};
use actix_web::{HttpRequest, HttpResponse};

use crate::answer::{self, MEDIA_TYPE, oauth_error};
use crate::world::{World, is_like_a_token};

pub(super) const ORDERS_READ: &str = "allegro:api:orders:read";
pub(super) const ORDERS_WRITE: &str = "allegro:api:orders:write";
pub(super) const PROFILE_READ: &str = "allegro:api:profile:read";
pub(super) const OFFERS_READ: &str = "allegro:api:sale:offers:read";
pub(super) const OFFERS_WRITE: &str = "allegro:api:sale:offers:write";

fn header(request: &HttpRequest, name: HeaderName) -> Option<&str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

/// The token of a request, if it has one.
pub(super) fn bearer(value: Option<&str>) -> Option<&str> {
    value.and_then(|value| value.strip_prefix("Bearer "))
}

/// The seller of the request, or the answer that rejects it.
pub(super) fn admit(request: &HttpRequest, world: &World, scope: &str) -> Result<String, Box<HttpResponse>> {
    let Some(token) = bearer(header(request, AUTHORIZATION)) else {
        let text = "Full authentication is required to access this resource";
        return Err(Box::new(oauth_error(StatusCode::UNAUTHORIZED, "unauthorized", text)));
    };
    let state = world.lock();
    let Some(access) = state.tokens.allowed(token, state.now()) else {
        let text = if is_like_a_token(token) {
            format!("Access token expired: {token}")
        } else {
            "Cannot convert access token to JSON".to_owned()
        };
        return Err(Box::new(oauth_error(StatusCode::UNAUTHORIZED, "invalid_token", &text)));
    };
    if !access.scopes.iter().any(|it| it == scope) {
        return Err(Box::new(answer::error(StatusCode::FORBIDDEN, "AccessDenied", "Access is denied", None)));
    }
    let accept = header(request, ACCEPT).unwrap_or("*/*");
    if state.rules.api.check_accept && !accept.split(',').any(|it| [MEDIA_TYPE, "*/*"].contains(&it.trim())) {
        let text = "Not acceptable representation requested. Please check 'Accept' request header";
        return Err(Box::new(answer::error(
            StatusCode::NOT_ACCEPTABLE,
            "NotAcceptableException",
            text,
            None,
        )));
    }
    Ok(access.seller.clone())
}

/// Rejects a body with a media type other than Allegro's.
pub(super) fn has_content(request: &HttpRequest, world: &World) -> Result<(), Box<HttpResponse>> {
    let given = header(request, CONTENT_TYPE).unwrap_or_default();
    let media_type = given.split(';').next().unwrap_or_default().trim();
    if world.lock().rules.api.check_content_type && media_type != MEDIA_TYPE {
        let text = "Not supported media type. Please check 'Content-Type' request header";
        return Err(Box::new(answer::error(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UnsupportedMediaTypeException",
            text,
            None,
        )));
    }
    Ok(())
}

/// Whether an application identifies itself as Allegro requires since 2026: `Name/1.2.3 (+https://…)`.
pub(super) fn is_known_agent(agent: &str) -> bool {
    let Some((product, rest)) = agent.split_once(' ') else { return false };
    let Some((name, version)) = product.split_once('/') else { return false };
    let address = rest.strip_prefix("(+").and_then(|it| it.strip_suffix(')')).unwrap_or_default();
    !name.is_empty()
        && version.starts_with(|first: char| first.is_ascii_digit())
        && (address.starts_with("https://") || address.starts_with("http://"))
}
