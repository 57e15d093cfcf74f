//! Allegro's OAuth host: device authorization and tokens, plain JSON.

use std::collections::HashMap;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::answer::{oauth_error, plain};
use crate::world::World;
use crate::world::tokens::{Consent, DEVICE_CODE_LIFE, Refusal};

const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// Parameters come in the query or in the form; both work.
fn parameters(request: &HttpRequest, body: &[u8]) -> HashMap<String, String> {
    let query: Vec<(String, String)> = serde_urlencoded::from_str(request.query_string()).unwrap_or_default();
    let form: Vec<(String, String)> = serde_urlencoded::from_bytes(body).unwrap_or_default();
    query.into_iter().chain(form).collect()
}

fn is_client(request: &HttpRequest, world: &World) -> bool {
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(encoded) = header.and_then(|value| value.strip_prefix("Basic ")) else { return false };
    let expected = format!("{}:{}", world.settings.client_id, world.settings.client_secret);
    STANDARD.decode(encoded.trim()).is_ok_and(|given| given == expected.as_bytes())
}

fn unauthorized() -> HttpResponse {
    oauth_error(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
}

pub(crate) async fn device(request: HttpRequest, world: web::Data<World>, body: web::Bytes) -> HttpResponse {
    if !is_client(&request, &world) {
        return unauthorized();
    }
    let given = parameters(&request, &body);
    if given.get("client_id") != Some(&world.settings.client_id) {
        let text = "ClientId does not match authenticated client.";
        return oauth_error(StatusCode::BAD_REQUEST, "invalid_request", text);
    }
    let mut state = world.lock();
    let consent = match state.seller(None) {
        Some(seller) if state.auto_approve => Consent::Approved { seller: seller.id.clone() },
        _ => Consent::Waiting,
    };
    let device = state.tokens.begin(consent);
    let as_text = state.faults.wanted().is_some_and(|wanted| wanted.text_numbers);
    let number = |number: u64| if as_text { json!(number.to_string()) } else { json!(number) };
    let host = request.connection_info().host().to_owned();
    let page = format!("http://{host}/skojarz-aplikacje");
    plain(
        StatusCode::OK,
        &json!({
            "user_code": device.user_code,
            "device_code": device.device_code,
            "expires_in": number(DEVICE_CODE_LIFE.as_secs()),
            "interval": number(world.settings.device_interval),
            "verification_uri": page,
            "verification_uri_complete": format!("{page}?code={}", device.user_code),
        }),
    )
}

pub(crate) async fn token(request: HttpRequest, world: web::Data<World>, body: web::Bytes) -> HttpResponse {
    if !is_client(&request, &world) {
        return unauthorized();
    }
    let given = parameters(&request, &body);
    let value = |name: &str| given.get(name).map(String::as_str).unwrap_or_default();
    let life = world.settings.access_token_seconds;
    let mut state = world.lock();
    let outcome = match value("grant_type") {
        DEVICE_GRANT => {
            let interval = Duration::from_secs(world.settings.device_interval);
            state.tokens.poll(value("device_code"), interval, life)
        }
        "refresh_token" => {
            let grace = Duration::from_secs(world.settings.refresh_grace_seconds);
            state.tokens.renew(value("refresh_token"), grace, life)
        }
        other => Err(Refusal("unsupported_grant_type", format!("Unsupported grant type: {other}"))),
    };
    match outcome {
        Ok(body) => plain(StatusCode::OK, &body),
        Err(Refusal(code, description)) => oauth_error(StatusCode::BAD_REQUEST, code, &description),
    }
}
