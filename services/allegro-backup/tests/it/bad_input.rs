//! Bad input gets a clear answer that names the field, and never a 5xx.

use serde_json::{Value, json};

use crate::support::{Shop, USER, USER_PATH};

/// The status, the code, and the pointers of the errors.
fn told((status, body): (u16, Value)) -> (u16, String, Vec<String>) {
    let errors = body["errors"].as_array().cloned().unwrap_or_default();
    let pointers = errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect();
    (status, body["code"].as_str().unwrap_or_default().to_owned(), pointers)
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_told_what_is_wrong() {
    let shop = Shop::open().await;
    let initialize = "/tokens/auth/initialize";
    let json_type = "application/json";
    let huge = format!("{{\"user_id\": \"{}\"}}", "x".repeat(2 << 20));
    let long = json!({ "user_id": "ż".repeat(256), "account_name": "" }).to_string();
    for (content_type, body, expected) in [
        (json_type, "{\"user_id\":", (400, "malformed_json", vec![])),
        (json_type, "", (400, "malformed_json", vec![])),
        (json_type, "{\"user_id\": 7}", (400, "invalid_content", vec!["/user_id"])),
        (json_type, "{}", (400, "invalid_content", vec!["/user_id"])),
        (json_type, "{\"user_id\": \"a\", \"acount\": 1}", (400, "invalid_content", vec!["/acount"])),
        (json_type, "{\"user_id\": \"\\u0000\"}", (400, "invalid_content", vec!["/user_id"])),
        (json_type, &long, (400, "invalid_content", vec!["/user_id", "/account_name"])),
        (json_type, &huge, (413, "body_too_large", vec![])),
        ("text/plain", "{\"user_id\": \"a\"}", (415, "unsupported_media_type", vec![])),
    ] {
        let (status, code, pointers) = told(shop.service.post_raw(initialize, content_type, body.as_bytes()));
        let pointers: Vec<&str> = pointers.iter().map(String::as_str).collect();
        assert_eq!((status, code.as_str(), pointers), expected, "{body:.80}");
    }
    let unknown = "00000000-0000-7000-8000-000000000000";
    for (path, expected) in [
        (format!("/orders/{USER_PATH}?cursor=nonsense"), (400, "invalid_cursor")),
        (format!("/orders/{USER_PATH}?limit=0"), (400, "invalid_parameter")),
        (format!("/orders/{USER_PATH}?limit=1&colour=red"), (400, "invalid_parameter")),
        (format!("/orders/{USER_PATH}?token_id=7"), (400, "invalid_parameter")),
        (format!("/orders/{USER_PATH}/{unknown}"), (404, "order_not_found")),
        (format!("/orders/{USER_PATH}/%00"), (400, "invalid_parameter")),
        (format!("/tokens/{unknown}"), (404, "token_not_found")),
        ("/tokens/7".to_owned(), (400, "invalid_parameter")),
        (format!("/sync/tasks/{unknown}"), (404, "task_not_found")),
        (format!("/tokens/auth/task/{unknown}"), (404, "task_not_found")),
        ("/tokens/auth/status/no-such-device-code".to_owned(), (404, "authorization_not_found")),
        ("/nothing".to_owned(), (404, "not_found")),
    ] {
        let (status, code, _) = told(shop.service.get(&path));
        assert_eq!((status, code.as_str()), expected, "{path}");
    }
    let (status, code, _) = told(shop.service.post(&format!("/sync/manual/{USER_PATH}"), &json!({})));
    assert_eq!((status, code.as_str()), (404, "no_account"));
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_see_what_is_theirs_and_nothing_without_a_credential() {
    let mut shop = Shop::open().await;
    shop.admin("POST", "/orders", &json!({ "count": 5 }));
    let token_id = shop.connect().await;
    shop.until_read().await;
    let order = shop.journal()[0]["order_id"].as_str().unwrap().to_owned();

    let both = "allegro-backup:read allegro-backup:write";
    let admin = std::mem::take(&mut shop.service.token);
    for (token, expected) in [
        (String::new(), 401),
        ("not.a.token".to_owned(), 401),
        (shop.service.token_of(USER, "webhook-dispatcher:read"), 403),
        (shop.service.token_of(USER, both), 200),
        (admin, 200),
    ] {
        shop.service.token = token;
        assert_eq!(shop.service.get(&format!("/orders/{USER_PATH}/{order}")).0, expected);
    }

    shop.service.token = shop.service.token_of("someone-else", both);
    for (path, expected) in [
        (format!("/orders/{USER_PATH}/{order}"), 404),
        (format!("/tokens/{token_id}"), 404),
        (format!("/orders/{USER_PATH}"), 200),
        ("/tokens".to_owned(), 200),
    ] {
        let (status, body) = shop.service.get(&path);
        assert_eq!(status, expected, "{path}");
        assert!(status == 404 || body["items"] == json!([]), "{path}: {body}");
    }
    assert_eq!(shop.service.delete(&format!("/tokens/{token_id}")).0, 404);
    assert_eq!(shop.service.post("/tokens/auth/initialize", &json!({ "user_id": USER })).0, 400);
    shop.service.token = shop.service.token_of(USER, "allegro-backup:read");
    assert_eq!(shop.service.delete(&format!("/tokens/{token_id}")).0, 403, "reading is not writing");
}
