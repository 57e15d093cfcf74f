//! The audit log.

use serde_json::{Value, json};

use crate::auth::bearer;
use crate::http::Kept;
use crate::support::App;

#[test]
fn every_accepted_write_is_logged_once_without_its_body() {
    let kept = Kept::default();
    tracing_subscriber::fmt().with_writer(kept.clone()).with_ansi(false).init();
    let app = App::start();
    let send = |method: &str, path: &str, token: &str, id: &str, body: &Value| {
        let request = ureq::http::Request::builder().method(method).uri(app.url(path));
        let request = request.header("authorization", token).header("x-request-id", id);
        let request = request.header("content-type", "application/json").body(body.to_string()).unwrap();
        app.agent.run(request).unwrap().status().as_u16()
    };
    let (ewa, anna) = (bearer(&json!({ "user_id": "ewa" })), bearer(&json!({ "scope": "shop:read" })));
    let order = json!({ "user": "hidden-content", "quantity": 1 });
    assert_eq!(send("POST", "/api/v1/orders", &ewa, "made", &order), 201);
    assert_eq!(send("POST", "/api/v1/orders", &ewa, "wrong", &json!({ "user": "hidden-content" })), 400);
    assert_eq!(send("DELETE", "/api/v1/orders/7?q=hidden-query", &ewa, "gone", &json!({})), 405);
    assert_eq!(send("PUT", "/api/v1/nothing/hidden-path", &ewa, "lost", &json!({})), 404);
    assert_eq!(send("POST", "/api/v1/panic", &ewa, "broke", &json!({})), 500);
    assert_eq!(send("POST", "/api/v1/orders", &anna, "refused", &order), 403);
    assert_eq!(app.get("/api/v1/orders").status(), 200);

    let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    assert!(!text.contains("hidden-"), "{text}");
    let told: Vec<&str> = text.lines().filter(|line| line.contains(" audit: ")).collect();
    let expected = [
        ("made", r#"method="POST" route="/api/v1/orders" ids="" status=201"#),
        ("wrong", r#"method="POST" route="/api/v1/orders" ids="" status=400"#),
        ("gone", r#"method="DELETE" route="/api/v1/orders/{order_id}" ids="order_id=7" status=405"#),
        ("lost", r#"method="PUT" route="unmatched" ids="" status=404"#),
        // Its outcome is unknown.
        ("broke", r#"method="POST" route="/api/v1/panic" ids="""#),
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (line, (id, what)) in told.iter().zip(expected) {
        assert!(line.contains(&format!("correlation_id={id} ")), "{line}");
        assert!(line.ends_with(&format!(r#"audit: write subject="anna" user_id="ewa" {what}"#)), "{line}");
    }
}
