//! Bad input gets a clear answer that names the field, and never a 5xx.

use serde_json::{Value, json};

use crate::support::{Shop, USER, USER_PATH};

/// The status, the code, and the pointers of the errors.
pub(crate) fn errors_of((status, body): (u16, Value)) -> (u16, String, Vec<String>) {
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
        let (status, code, pointers) =
            errors_of(shop.service.post_raw(initialize, content_type, body.as_bytes()));
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
        let (status, code, _) = errors_of(shop.service.get(&path));
        assert_eq!((status, code.as_str()), expected, "{path}");
    }
    let (status, code, _) = errors_of(shop.service.post(&format!("/sync/manual/{USER_PATH}"), &json!({})));
    assert_eq!((status, code.as_str()), (404, "no_account"));
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_and_dot_only_user_ids_are_refused() {
    let shop = Shop::open().await;
    shop.connect().await;
    let pair = shop.pair("1000001");
    for user_id in ["", " \t", ".", "..", " ... "] {
        for (path, body) in [
            ("/tokens/auth/initialize", json!({ "user_id": user_id })),
            (
                "/tokens",
                json!({ "user_id": user_id, "access_token": pair["access_token"],
                        "refresh_token": pair["refresh_token"] }),
            ),
        ] {
            let (status, code, pointers) = errors_of(shop.service.post(path, &body));
            assert_eq!((status, code.as_str()), (400, "invalid_content"), "{path}: {user_id:?}");
            assert_eq!(pointers, ["/user_id"], "{path}: {user_id:?}");
        }
    }
    for user_id in ["%20", "%2E", "%2E%2E", "%2E%2E%2E", "%20.%20"] {
        for path in [
            format!("/orders/{user_id}"),
            format!("/orders/{user_id}/export"),
            format!("/orders/{user_id}/statistics"),
            format!("/orders/{user_id}/29738e61-7f6a-11e8-ac45-09db60ede9d6"),
            format!("/tokens/user/{user_id}"),
            format!("/sync/history/{user_id}"),
            format!("/sync/status/{user_id}"),
        ] {
            let (status, code, pointers) = errors_of(shop.service.get(&path));
            assert_eq!((status, code.as_str()), (400, "invalid_parameter"), "{path}");
            assert_eq!(pointers, ["user_id"], "{path}");
        }
        let started = errors_of(shop.service.post(&format!("/sync/manual/{user_id}"), &json!({})));
        assert_eq!((started.0, started.2), (400, vec!["user_id".to_owned()]), "{user_id}");
    }
    for arguments in [["export", "--user", " "], ["sync", "--user", ".."]] {
        let (code, said) = shop.command(&arguments);
        assert!(code == 2 && said.contains("for '--user <USER>'"), "{arguments:?}: {code}: {said}");
    }

    let spaced = format!("/tokens/user/%20{USER_PATH}%20");
    let listed = shop.service.get(&spaced).1;
    assert_eq!(listed["items"][0]["user_id"], USER, "{listed}");
    let (status, begun) =
        shop.service.post("/tokens/auth/initialize", &json!({ "user_id": format!("  {USER}\t") }));
    assert_eq!(status, 202, "{begun}");
    let path = format!("/tokens/auth/status/{}", begun["authorization_id"].as_str().unwrap());
    assert_eq!(shop.service.get(&path).1["user_id"], USER);
}

#[tokio::test(flavor = "multi_thread")]
async fn dates_that_cannot_be_read_are_named_and_early_ones_are_cut() {
    let shop = Shop::open().await;
    shop.admin("POST", "/orders", &json!({ "count": 5 }));
    let token_id = shop.connect().await;
    shop.until_read().await;
    let manual = format!("/sync/manual/{USER_PATH}");
    let huge = "9".repeat(100_000);
    for (body, expected) in [
        (json!({ "from": "yesterday" }), vec!["/from"]),
        (json!({ "from": "2026-11-01" }), vec!["/from"]),
        (json!({ "from": "2026-02-30T00:00:00Z" }), vec!["/from"]),
        (json!({ "from": 1_700_000_000 }), vec!["/from"]),
        (json!({ "from": "" }), vec!["/from"]),
        (json!({ "from": huge }), vec!["/from"]),
        (json!({ "to": "2026-13-01T00:00:00Z" }), vec!["/to"]),
        (json!({ "to": "ёлка" }), vec!["/to"]),
        (json!({ "from": "2999-01-01T00:00:00Z" }), vec!["/from"]),
        (json!({ "to": "2001-01-01T00:00:00Z" }), vec!["/to"]),
        (json!({ "from": "2001-01-02T00:00:00Z", "to": "2001-01-01T00:00:00Z" }), vec!["/to", "/to"]),
        (json!({ "from": "2026-11-01T00:00:00Z", "full": true }), vec!["/full"]),
        (json!({ "on_duplicate": "delete" }), vec!["/on_duplicate"]),
        (json!({ "since": "2026-11-01T00:00:00Z" }), vec!["/since"]),
        (json!({ "token_id": "7" }), vec!["/token_id"]),
    ] {
        let (status, code, pointers) = errors_of(shop.service.post(&manual, &body));
        let pointers: Vec<&str> = pointers.iter().map(String::as_str).collect();
        assert_eq!((status, code.as_str(), pointers), (400, "invalid_content", expected), "{body:.80}");
    }
    let events = format!("/sync/events/{USER_PATH}");
    for body in [json!({ "from_date": "x" }), json!({ "from_date": "2999-01-01T00:00:00Z" })] {
        let (status, _, pointers) = errors_of(shop.service.post(&events, &body));
        assert_eq!((status, pointers), (400, vec!["/from_date".to_owned()]), "{body}");
    }

    // Allegro lists twelve months: what is asked for beyond is not, and the history says from when on was read.
    let body = json!({ "token_id": token_id, "from": "-0001-01-01T00:00:00Z" });
    assert_eq!(shop.service.post(&manual, &body).0, 400);
    for from in ["0001-01-01T00:00:00Z", "2020-01-01T00:00:00+05:45"] {
        let task = shop.start(&manual, &json!({ "from": from })).await;
        assert_eq!(task["result"]["orders"], 5, "{task}");
        let (_, history) = shop.service.get(&format!("/sync/history/{USER_PATH}"));
        let read = &history["items"][0];
        assert_eq!(read["task_id"], task["task_id"]);
        let begun = shop.lines("SELECT (sync_started_at - interval '365 days')::timestamptz(0) = sync_from_date::timestamptz(0) \
             FROM sync_history ORDER BY seq DESC LIMIT 1").await;
        assert_eq!(begun, ["(t)"], "{read}");
    }
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
