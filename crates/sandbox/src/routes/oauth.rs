//! Allegro's OAuth host: device authorization and tokens, plain JSON.

use std::collections::HashMap;

use actix_web::http::StatusCode;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::answer::{oauth_error, plain, too_many};
use crate::world::World;
use crate::world::tokens::{Consent, Refusal};

const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// Parameters are accepted in the query and in the form.
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
    if !state.rules.auth.device_grant {
        let text = "OAuth 2.0 Parameter: client_id";
        return oauth_error(StatusCode::BAD_REQUEST, "unauthorized_client", text);
    }
    let consent = match state.seller(None) {
        Some(seller) if state.rules.auth.auto_approve => Consent::Approved { seller: seller.id.clone() },
        _ => Consent::Waiting,
    };
    let scope = given.get("scope").map(String::as_str);
    let (tokens, mut desk) = state.desk(&world.settings.client_id);
    let device = tokens.begin(consent, scope, &mut desk);
    let rules = &state.rules.auth;
    let number = |number: u64| if rules.numbers_as_text { json!(number.to_string()) } else { json!(number) };
    let host = request.connection_info().host().to_owned();
    let page = format!("http://{host}/skojarz-aplikacje");
    plain(
        StatusCode::OK,
        &json!({
            "user_code": device.user_code,
            "device_code": device.device_code,
            "expires_in": number(rules.device_code_seconds),
            "interval": number(rules.device_interval_seconds),
            "verification_uri": page,
            "verification_uri_complete": format!("{page}?code={}", device.user_code),
        }),
    )
}

/// A pair of tokens, or the reason for none.
pub(super) fn handed(outcome: Result<Value, Refusal>) -> HttpResponse {
    match outcome {
        Ok(body) => plain(StatusCode::OK, &body),
        Err(Refusal::OAuth(code, description)) => oauth_error(StatusCode::BAD_REQUEST, &code, &description),
        Err(Refusal::TooMany) => too_many(),
    }
}

pub(crate) async fn token(request: HttpRequest, world: web::Data<World>, body: web::Bytes) -> HttpResponse {
    if !is_client(&request, &world) {
        return unauthorized();
    }
    let given = parameters(&request, &body);
    let value = |name: &str| given.get(name).map(String::as_str).unwrap_or_default();
    let mut state = world.lock();
    let (tokens, mut desk) = state.desk(&world.settings.client_id);
    handed(match value("grant_type") {
        DEVICE_GRANT => tokens.poll(value("device_code"), &mut desk),
        "refresh_token" => tokens.renew(value("refresh_token"), &mut desk),
        other => {
            let text = format!("Unsupported grant type: {other}");
            Err(Refusal::OAuth("unsupported_grant_type".to_owned(), text))
        }
    })
}
