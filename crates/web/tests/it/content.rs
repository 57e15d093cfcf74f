//! Bodies and parameters that break rules.

use serde_json::Value;

use crate::support::{App, problem};

const JSON: &str = "application/json";

/// Body, status, code, and pointer and code of the first error.
type Case = (&'static [u8], u16, &'static str, Option<(&'static str, &'static str)>);

const CASES: &[Case] = &[
    (b"", 400, "malformed_json", None),
    (b"  \n", 400, "malformed_json", None),
    (b"{", 400, "malformed_json", None),
    (b"{\"user\":\"a\",\"quantity\":1", 400, "malformed_json", None),
    (b"{\"user\":\"a\",\"quantity\":1}}", 400, "malformed_json", None),
    (b"{\"user\":\"a\",\"quantity\":1,}", 400, "malformed_json", None),
    (b"{'user':'a'}", 400, "malformed_json", None),
    (b"\xEF\xBB\xBF{\"user\":\"a\",\"quantity\":1}", 400, "malformed_json", None),
    (b"{\"user\":\"\xFF\",\"quantity\":1}", 400, "malformed_json", None),
    (b"{\"user\":\"\\ud800\",\"quantity\":1}", 400, "malformed_json", None),
    (b"{\"user\":\"a\0b\",\"quantity\":1}", 400, "malformed_json", None),
    (b"{\"user\":\"a\",\"quantity\":NaN}", 400, "malformed_json", None),
    (b"null", 400, "invalid_content", Some(("", "wrong_type"))),
    (b"\"text\"", 400, "invalid_content", Some(("", "wrong_type"))),
    (b"{}", 400, "invalid_content", Some(("/user", "missing"))),
    (b"{\"user\":\"a\"}", 400, "invalid_content", Some(("/quantity", "missing"))),
    (b"{\"user\":1,\"quantity\":1}", 400, "invalid_content", Some(("/user", "wrong_type"))),
    (b"{\"user\":\"a\",\"quantity\":\"1\"}", 400, "invalid_content", Some(("/quantity", "wrong_type"))),
    (b"{\"user\":\"a\",\"quantity\":1.5}", 400, "invalid_content", Some(("/quantity", "wrong_type"))),
    (
        b"{\"user\":\"a\",\"quantity\":46.000000000000000000001}",
        400,
        "invalid_content",
        Some(("/quantity", "wrong_type")),
    ),
    (b"{\"user\":\"a\",\"quantity\":1e999}", 400, "invalid_content", Some(("/quantity", "invalid_value"))),
    (b"{\"user\":\"a\",\"quantity\":-1}", 400, "invalid_content", Some(("/quantity", "invalid_value"))),
    (
        b"{\"user\":\"a\",\"quantity\":4294967296}",
        400,
        "invalid_content",
        Some(("/quantity", "invalid_value")),
    ),
    (b"{\"user\":\"a\",\"quantity\":1,\"usr\":2}", 400, "invalid_content", Some(("/usr", "unknown_field"))),
    (b"{\"user\":\"a\",\"user\":\"b\",\"quantity\":1}", 400, "invalid_content", Some(("/user", "duplicate"))),
    (
        b"{\"user\":\"a\",\"quantity\":1,\"kind\":\"odd\"}",
        400,
        "invalid_content",
        Some(("/kind", "not_allowed")),
    ),
    (b"{\"user\":\"a\",\"quantity\":1,\"lines\":{}}", 400, "invalid_content", Some(("/lines", "wrong_type"))),
    (
        b"{\"user\":\"a\",\"quantity\":1,\"lines\":[{\"a/b\":\"x\"},{\"a/b\":7}]}",
        400,
        "invalid_content",
        Some(("/lines/1/a~1b", "wrong_type")),
    ),
    (
        b"{\"user\":\"a\",\"quantity\":1,\"lines\":[{}]}",
        400,
        "invalid_content",
        Some(("/lines/0/a~1b", "missing")),
    ),
    (
        b"{\"user\":\"a\",\"quantity\":1,\"lines\":[{\"a/b\":\"x\",\"y~\":1}]}",
        400,
        "invalid_content",
        Some(("/lines/0/y~0", "unknown_field")),
    ),
    (b"{\"user\":\"a\\u0000\",\"quantity\":1}", 400, "invalid_content", Some(("/user", "nul_character"))),
    (
        b"{\"user\":\"a\",\"quantity\":1,\"lines\":[{\"a/b\":\"\\u0000\"}]}",
        400,
        "invalid_content",
        Some(("/lines/0/a~1b", "nul_character")),
    ),
    (b"{\"us\\u0000er\":\"a\",\"quantity\":1}", 400, "invalid_content", Some(("", "nul_character"))),
    (b"{\"user\":\"\",\"quantity\":101}", 400, "invalid_content", Some(("/user", "empty"))),
    // Serde also accepts a struct from an array.
    (b"[\"a\",1,null,[]]", 400, "invalid_content", Some(("", "wrong_type"))),
    (
        b"{\"user\":\"a\",\"quantity\":1,\"lines\":[[\"x\",7]]}",
        400,
        "invalid_content",
        Some(("/lines/0", "wrong_type")),
    ),
];

#[test]
fn every_broken_body_is_reported_with_place_and_rule() {
    let app = App::start();
    for (body, status, code, error) in CASES {
        let shown = String::from_utf8_lossy(body).into_owned();
        let (got, answer) = problem(app.post("/api/v1/orders", JSON, body));
        assert_eq!((got, answer["code"].as_str()), (*status, Some(*code)), "{shown}: {answer}");
        match error {
            None => assert!(answer["detail"].is_string(), "{shown}: {answer}"),
            Some((pointer, code)) => {
                let first = &answer["errors"][0];
                assert_eq!(first["pointer"], *pointer, "{shown}: {answer}");
                assert_eq!(first["code"], *code, "{shown}: {answer}");
                // The parser states the place in the text; the pointer is ours.
                assert!(!first["message"].as_str().unwrap().contains(" line "), "{shown}: {answer}");
            }
        }
    }
}

#[test]
fn malformed_json_names_line_and_column() {
    let app = App::start();
    let (_, answer) = problem(app.post("/api/v1/orders", JSON, b"{\n  \"user\": oops\n}"));
    assert!(answer["detail"].as_str().unwrap().ends_with("at line 2 column 11"), "{answer}");
}

#[test]
fn value_rules_are_reported_all_at_once() {
    let app = App::start();
    let (_, answer) = problem(app.post("/api/v1/orders", JSON, br#"{"user":"","quantity":101}"#));
    let pointers: Vec<&Value> =
        answer["errors"].as_array().unwrap().iter().map(|error| &error["pointer"]).collect();
    assert_eq!(pointers, ["/user", "/quantity"]);
}

#[test]
fn valid_bodies_are_accepted() {
    let app = App::start();
    for (content_type, body) in [
        (JSON, &br#"{"user":"a","quantity":1}"#[..]),
        ("application/json; charset=UTF-8", br#"{"user":"a","quantity":1,"note":null}"#),
        ("Application/JSON;charset=\"utf-8\"", r#"{"user":"żółć 🦀","quantity":1}"#.as_bytes()),
        // A backslash and digits, not a NUL.
        (JSON, br#"{"user":"\\u0000","quantity":1}"#),
    ] {
        let response = app.post("/api/v1/orders", content_type, body);
        assert_eq!(response.status(), 201, "{content_type} {}", String::from_utf8_lossy(body));
    }
}

#[test]
fn a_number_with_a_zero_fraction_is_an_integer() {
    let app = App::start();
    for (quantity, expected) in [("46.0", 46), ("1e2", 100), ("0.46e2", 46), ("1000E-1", 100)] {
        let body = format!(
            r#"{{"user":"a","quantity":{quantity},"lines":[{{"a/b":"x","price":9007199254740993.0}}]}}"#
        );
        let mut response = app.post("/api/v1/orders", JSON, body.as_bytes());
        assert_eq!(response.status(), 201, "{quantity}");
        let order: Value = response.body_mut().read_json().unwrap();
        assert_eq!(order["quantity"], expected);
        assert_eq!(order["lines"][0]["price"], 9_007_199_254_740_993_u64, "never by way of a double");
    }
}

#[test]
fn other_media_types_and_encodings_are_rejected() {
    let app = App::start();
    let body = br#"{"user":"a","quantity":1}"#;
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin-1",
        "application/jsonp",
        "application/problem+json",
    ] {
        let (status, answer) = problem(app.post("/api/v1/orders", content_type, body));
        assert_eq!((status, &answer["code"]), (415, &"unsupported_media_type".into()), "{content_type}");
    }
    let request = app.agent.post(app.url("/api/v1/orders")).header("x-api-key", crate::support::KEY);
    let response = request.header("content-type", JSON).header("content-encoding", "gzip").send(&body[..]);
    assert_eq!(problem(response.unwrap()).0, 415);
}

#[test]
fn a_body_may_have_at_most_a_mebibyte() {
    let app = App::start();
    let body = |size: usize| {
        let frame = br#"{"user":"","quantity":1}"#.len();
        format!(r#"{{"user":"{}","quantity":1}}"#, "x".repeat(size - frame))
    };
    let limit = web::extract::MAX_BODY_BYTES;
    assert_eq!(app.post("/api/v1/orders", JSON, body(limit).as_bytes()).status(), 201);
    let (status, answer) = problem(app.post("/api/v1/orders", JSON, body(limit + 1).as_bytes()));
    assert_eq!((status, &answer["code"]), (413, &"body_too_large".into()));

    // A chunked body does not state its length.
    let big = body(limit + 1);
    let request = app.agent.post(app.url("/api/v1/orders")).header("x-api-key", crate::support::KEY);
    let mut reader = big.as_bytes();
    let response = request.header("content-type", JSON).send(ureq::SendBody::from_reader(&mut reader));
    assert_eq!(problem(response.unwrap()).0, 413);
}

#[test]
fn parameters_are_checked_by_name() {
    let app = App::start();
    for (path, code, pointer, rule) in [
        ("/orders?limit=0", "invalid_parameter", "limit", "invalid_value"),
        ("/orders?limit=201", "invalid_parameter", "limit", "invalid_value"),
        ("/orders?limit=-1", "invalid_parameter", "limit", "invalid_value"),
        ("/orders?limit=ten", "invalid_parameter", "limit", "invalid_value"),
        ("/orders?limit=", "invalid_parameter", "limit", "invalid_value"),
        ("/orders?limit=1&limit=2", "invalid_parameter", "limit", "duplicate"),
        ("/orders?lmit=1", "invalid_parameter", "lmit", "unknown_field"),
        ("/orders?user=a%00b", "invalid_parameter", "user", "nul_character"),
        ("/orders?user=%FF", "invalid_parameter", "user", "not_utf8"),
        ("/orders?cursor=zzz", "invalid_cursor", "cursor", "invalid_cursor"),
        ("/orders/not-an-id", "invalid_parameter", "order_id", "invalid_value"),
        ("/orders/%00", "invalid_parameter", "order_id", "invalid_value"),
    ] {
        let (status, answer) = problem(app.get(&format!("/api/v1{path}")));
        assert_eq!((status, answer["code"].as_str()), (400, Some(code)), "{path}: {answer}");
        assert_eq!(answer["errors"][0]["pointer"], pointer, "{path}: {answer}");
        assert_eq!(answer["errors"][0]["code"], rule, "{path}: {answer}");
    }
    let answer: Value = app.get("/api/v1/orders?limit=200&user=a+b").body_mut().read_json().unwrap();
    assert_eq!(answer, serde_json::json!({ "limit": 200, "user": "a b" }));
    let answer: Value = app.get("/api/v1/orders").body_mut().read_json().unwrap();
    assert_eq!(answer["limit"], 50);
}
