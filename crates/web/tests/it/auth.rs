//! Authentication and authorization.

use ring::hmac;
use serde_json::{Value, json};
use testkit::token;
use testkit::token::now;
use ureq::Body;
use ureq::http::Response;

use crate::support::{App, KEY, SECRET, problem};

/// Claims that grant everything, modified by `change`.
fn claims(change: &Value) -> Value {
    let mut claims = json!({ "aud": "zaplecze", "sub": "anna", "exp": now() + 600, "scope": "shop:write" });
    for (name, value) in change.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

fn hs512(secret: &str, claims: &Value) -> String {
    token::token(&json!({ "alg": "HS512", "typ": "JWT" }), claims, |message| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA512, secret.as_bytes()), message).as_ref().to_vec()
    })
}

pub(crate) fn bearer(change: &Value) -> String {
    format!("Bearer {}", token::hs256(&claims(change), SECRET.as_bytes()))
}

fn whoami(app: &App, authorization: &str) -> Response<Body> {
    app.agent.get(app.url("/api/v1/whoami")).header("authorization", authorization).call().unwrap()
}

fn base64url(value: &Value) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string())
}

#[test]
fn bad_tokens_are_rejected_with_the_reason() {
    let app = App::start();
    let unsigned =
        format!("{}.{}.", base64url(&json!({"alg":"none","typ":"JWT"})), base64url(&claims(&json!({}))));
    let good = bearer(&json!({}));
    let (head, _) = good.rsplit_once('.').unwrap();
    let forged_claims = claims(&json!({ "sub": "root" }));
    let mut parts = good.split('.');
    let forged = format!("{}.{}.{}", parts.next().unwrap(), base64url(&forged_claims), parts.nth(1).unwrap());

    let no_instant = "exp, nbf and iat of the token must be numbers of seconds in the years 0001 to 9999";
    let table = [
        ("expired", bearer(&json!({ "exp": now() - 60 })), "the token has expired"),
        ("no exp", bearer(&json!({ "exp": null })), "the token lacks exp, aud or sub"),
        ("exp as text", bearer(&json!({ "exp": "tomorrow" })), "the token lacks exp, aud or sub"),
        ("exp after the year 9999", bearer(&json!({ "exp": 253_402_300_800_u64 })), no_instant),
        ("exp beyond every year", bearer(&json!({ "exp": u64::MAX })), no_instant),
        ("nbf before the year 1", bearer(&json!({ "nbf": -62_135_596_801_i64 })), "the token cannot be read"),
        ("iat before the year 1", bearer(&json!({ "iat": -62_135_596_801_i64 })), no_instant),
        ("iat as text", bearer(&json!({ "iat": "yesterday" })), no_instant),
        ("not yet", bearer(&json!({ "nbf": now() + 600 })), "the token is not valid yet"),
        ("other audience", bearer(&json!({ "aud": "shop" })), "the token is meant for another audience"),
        ("no audience", bearer(&json!({ "aud": null })), "the token lacks exp, aud or sub"),
        ("no subject", bearer(&json!({ "sub": null })), "the token lacks exp, aud or sub"),
        ("empty subject", bearer(&json!({ "sub": "" })), "the token's sub or user_id is empty"),
        ("empty user", bearer(&json!({ "user_id": "" })), "the token's sub or user_id is empty"),
        (
            "NUL in the subject",
            bearer(&json!({ "sub": "an\0na" })),
            "the token's sub or user_id contains a control character",
        ),
        (
            "NUL as user",
            bearer(&json!({ "user_id": "\0" })),
            "the token's sub or user_id contains a control character",
        ),
        (
            "line break in the user",
            bearer(&json!({ "user_id": "a\nb" })),
            "the token's sub or user_id contains a control character",
        ),
        (
            "long subject",
            bearer(&json!({ "sub": "ż".repeat(256) })),
            "the token's sub or user_id is longer than 255 characters",
        ),
        ("user as number", bearer(&json!({ "user_id": 7 })), "the token cannot be read"),
        ("scope as list", bearer(&json!({ "scope": ["shop:write"] })), "the token cannot be read"),
        (
            "foreign key",
            format!("Bearer {}", token::hs256(&claims(&json!({})), b"somebody else's secret of 32 bytes")),
            "the signature of the token is wrong",
        ),
        (
            "other algorithm",
            format!("Bearer {}", hs512(SECRET, &claims(&json!({})))),
            "the token must be signed with HS256",
        ),
        ("alg none", format!("Bearer {unsigned}"), "the token cannot be read"),
        ("signature cut off", format!("{head}."), "the signature of the token is wrong"),
        ("claims exchanged", forged, "the signature of the token is wrong"),
        ("no token", "Bearer ".to_owned(), "the Authorization header must be `Bearer <token>`"),
        ("garbage", "Bearer ###".to_owned(), "the token cannot be read"),
        ("basic", "Basic YTpi".to_owned(), "the Authorization header must be `Bearer <token>`"),
    ];
    for (name, authorization, why) in table {
        let response = whoami(&app, &authorization);
        let challenge = response.headers()["www-authenticate"].to_str().unwrap().to_owned();
        let (status, answer) = problem(response);
        assert_eq!((status, &answer["code"]), (401, &"credential_invalid".into()), "{name}: {answer}");
        assert_eq!(answer["detail"], why, "{name}");
        assert!(
            challenge.starts_with(r#"Bearer realm="zaplecze", error="invalid_token""#),
            "{name}: {challenge}"
        );
    }
}

#[test]
fn a_missing_credential_is_not_an_invalid_one() {
    let app = App::start();
    for path in [
        "/api/v1/whoami",
        "/api/v1/no/such/route",
        "/api/other",
        "/api/v1/orders/not-an-id",
        "//api//v1/whoami/",
    ] {
        let response = app.agent.get(app.url(path)).call().unwrap();
        // RFC 6750 §3.1: without a credential, no error code.
        assert_eq!(response.headers()["www-authenticate"], r#"Bearer realm="zaplecze""#);
        assert_eq!(problem(response).1["code"], "credential_missing", "{path}");
    }
}

#[test]
fn a_token_determines_caller_and_user() {
    let app = App::start();
    let answer: Value = whoami(&app, &bearer(&json!({}))).body_mut().read_json().unwrap();
    assert_eq!((&answer["subject"], &answer["user_id"]), (&"anna".into(), &Value::Null));
    assert_eq!((&answer["sees_anna"], &answer["sees_bob"]), (&true.into(), &true.into()));

    let own = bearer(&json!({ "user_id": "anna" })).replace("Bearer", "bearer");
    let answer: Value = whoami(&app, &own).body_mut().read_json().unwrap();
    assert_eq!((&answer["sees_anna"], &answer["sees_bob"]), (&true.into(), &false.into()));
}

#[test]
fn a_scope_includes_the_lower_ones() {
    let app = App::start();
    for (scope, read, write) in [
        ("", 403, 403),
        ("other:admin shop", 403, 403),
        ("shop:readable shop:writer", 403, 403),
        ("shop:read", 200, 403),
        ("other:read  shop:write", 200, 201),
        ("shop:admin", 200, 201),
    ] {
        let token = bearer(&json!({ "scope": scope }));
        let got = whoami(&app, &token).status();
        assert_eq!(got, read, "read with {scope:?}");
        let request = app.agent.post(app.url("/api/v1/orders")).header("authorization", &token);
        let got = request.send_json(json!({ "user": "a", "quantity": 1 })).unwrap().status();
        assert_eq!(got, write, "write with {scope:?}");
    }
    let response = app
        .agent
        .delete(app.url("/api/v1/orders"))
        .header("authorization", bearer(&json!({ "scope": "shop:read" })))
        .call()
        .unwrap();
    let challenge = response.headers()["www-authenticate"].to_str().unwrap().to_owned();
    assert_eq!(challenge, r#"Bearer realm="zaplecze", error="insufficient_scope", scope="shop:write""#);
    let (_, answer) = problem(response);
    assert_eq!(answer["code"], "scope_missing");
    assert!(answer["detail"].as_str().unwrap().contains("shop:write"), "{answer}");
}

#[test]
fn only_a_whole_api_key_is_accepted() {
    let app = App::start();
    let ask = |key: &str| app.agent.get(app.url("/api/v1/whoami")).header("x-api-key", key).call().unwrap();
    let answer: Value = ask(KEY).body_mut().read_json().unwrap();
    assert_eq!(answer["subject"], "robot");
    for key in [
        "zk_robot_wrong",
        "zk_robot_",
        "zk_robot",
        "zk_other_correct-horse",
        "robot",
        "zk__correct-horse",
        "zk_robot_correct-horse1",
    ] {
        assert_eq!(problem(ask(key)).1["code"], "credential_invalid", "{key}");
    }
    let both = app.agent.get(app.url("/api/v1/whoami")).header("x-api-key", KEY);
    assert_eq!(problem(both.header("authorization", bearer(&json!({}))).call().unwrap()).0, 401);
}

#[test]
fn insecure_local_accepts_every_request() {
    let app = App::start_with(|_| web::Server::new(web::Authenticator::new("shop").insecure_local(true)));
    assert_eq!(app.agent.get(app.url("/api/v1/nothing")).call().unwrap().status(), 404);
}

#[test]
fn without_configured_credentials_all_requests_are_rejected() {
    let app = App::start_with(|_| web::Server::new(web::Authenticator::new("shop")));
    assert_eq!(problem(whoami(&app, &bearer(&json!({})))).0, 401);
    assert_eq!(problem(app.get("/api/v1/whoami")).0, 401);
}
