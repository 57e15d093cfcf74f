//! Rate limits and their headers.

use chassis::config::RateLimit;
use serde_json::json;
use ureq::Body;
use ureq::http::Response;
use web::{Limiter, Server};

use crate::auth::bearer;
use crate::support::{App, KEY, problem};

/// So slow that no token grows during a test.
fn limited(burst: u32) -> impl FnOnce(Server) -> Server {
    let limit = RateLimit { per_minute: 1, burst, service_per_minute: 0 };
    move |server| server.limiter(Limiter::new("shop", limit, None).unwrap())
}

fn told(response: &Response<Body>) -> (&str, &str) {
    let text = |name: &str| response.headers()[name].to_str().unwrap();
    (text("ratelimit-policy"), text("ratelimit"))
}

#[test]
fn every_answer_has_rate_limit_headers() {
    let app = App::start_with(limited(5));
    let reader = bearer(&json!({ "scope": "shop:read" }));
    let paths = ["/api/v1/orders", "/api/v1/nothing", "/api/v1/orders/x", "/api/v1/panic"];
    for (left, path) in (1..5).rev().zip(paths) {
        let response = app.agent.get(app.url(path)).header("authorization", &reader).call().unwrap();
        let seconds = (5 - left) * 60;
        assert_eq!(
            told(&response),
            (r#""default";q=1;w=60"#, format!(r#""default";r={left};t={seconds}"#).as_str()),
            "{path}"
        );
    }
    // Rejected for its scope, and counted.
    let request = app.agent.delete(app.url("/api/v1/orders")).header("authorization", &reader);
    assert_eq!(request.call().unwrap().status(), 403);

    let response = app.agent.get(app.url("/api/v1/orders")).header("authorization", &reader).call().unwrap();
    assert_eq!(told(&response), (r#""default";q=1;w=60"#, r#""default";r=0;t=300"#));
    let wait: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    let (status, answer) = problem(response);
    assert_eq!((status, &answer["code"]), (429, &"rate_limited".into()));

    assert_eq!(app.get("/api/v1/orders").status(), 200, "another caller");
    let response = app.agent.get(app.url("/livez")).call().unwrap();
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key("ratelimit"), "probes are not limited");
    let metrics = app.agent.get(app.url("/metrics")).call().unwrap().body_mut().read_to_string().unwrap();
    assert!(metrics.contains(r#"http_server_rate_limited_total{by="caller"}"#), "{metrics}");
}

#[test]
fn invalid_credentials_are_limited_by_address() {
    let app = App::start_with(limited(3));
    let guess = || {
        let request = app.agent.get(app.url("/api/v1/orders")).header("x-forwarded-for", "192.0.2.7");
        request.header("x-api-key", "zk_robot_guess").call().unwrap()
    };
    for left in (0..3).rev() {
        let response = guess();
        assert_eq!(response.status(), 401);
        assert!(told(&response).1.contains(&format!("r={left};")), "{:?}", told(&response));
    }
    let response = guess();
    assert!(response.headers().contains_key("retry-after"));
    assert_eq!(problem(response).1["code"], "rate_limited");
    assert_eq!(app.agent.get(app.url("/api/v1/orders")).call().unwrap().status(), 429, "nor without any");
    assert_eq!(app.get("/api/v1/orders").status(), 200, "a valid key from the same address");
}

#[test]
fn services_have_a_limit_of_their_own() {
    let app = App::start_with(limited(1));
    let service = bearer(&json!({ "scope": "shop:read service" }));
    for _ in 0..20 {
        let request = app.agent.get(app.url("/api/v1/whoami")).header("authorization", &service);
        let response = request.call().unwrap();
        assert_eq!(response.status(), 200);
        assert!(!response.headers().contains_key("ratelimit"));
    }

    let limit = RateLimit { per_minute: 0, burst: 1, service_per_minute: 1 };
    let app = App::start_with(|server| server.limiter(Limiter::new("shop", limit, None).unwrap()));
    for _ in 0..3 {
        let response = app.agent.get(app.url("/api/v1/whoami")).header("x-api-key", KEY).call().unwrap();
        assert_eq!(response.status(), 200);
    }
    let ask = || {
        let request = app.agent.get(app.url("/api/v1/whoami")).header("authorization", &service);
        request.call().unwrap().status()
    };
    assert_eq!((ask().as_u16(), ask().as_u16()), (200, 429), "services have a limit of their own");
}
