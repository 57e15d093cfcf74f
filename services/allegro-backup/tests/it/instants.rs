//! Input with instants that cannot be stored is refused.

use serde_json::{Value, json};

use crate::archive::{File, exported};
use crate::bad_input::errors_of;
use crate::support::{Shop, USER_PATH};

/// Valid RFC 3339, and outside the years 1 to 9999 in UTC.
const OUTSIDE: [&str; 3] = ["9999-12-31T23:59:59-00:01", "0001-01-01T00:00:00+00:01", "0000-06-01T00:00:00Z"];
/// The first and the last instant that can be stored.
const FIRST: &str = "0001-01-01T00:00:00Z";
const LAST: &str = "9999-12-31T23:59:59.999999Z";

#[tokio::test(flavor = "multi_thread")]
async fn unstorable_instants_are_refused() {
    let shop = Shop::open().await;
    shop.admin("POST", "/orders", &json!({ "count": 5 }));
    shop.connect().await;
    shop.until_read().await;
    let refused = |code: &str, pointer: &str| (400, code.to_owned(), vec![pointer.to_owned()]);
    let (list, export) = (format!("/orders/{USER_PATH}"), format!("/orders/{USER_PATH}/export"));
    for at in OUTSIDE {
        let encoded = at.replace('+', "%2B");
        for path in [&list, &export] {
            for name in ["from", "to"] {
                let path = format!("{path}?{name}={encoded}");
                assert_eq!(errors_of(shop.service.get(&path)), refused("invalid_parameter", name), "{path}");
            }
        }
        for (path, field) in [("manual", "from"), ("manual", "to"), ("events", "from_date")] {
            let answer = shop.service.post(&format!("/sync/{path}/{USER_PATH}"), &json!({ (field): at }));
            assert_eq!(
                errors_of(answer),
                refused("invalid_content", &format!("/{field}")),
                "{path} {field} {at}"
            );
        }
    }
    let all = shop.service.get(&format!("{list}?from={FIRST}&to={LAST}"));
    assert_eq!(all.1["items"].as_array().unwrap().len(), 5, "{all:?}");
    let bearer = format!("Bearer {}", shop.service.token);
    let path = format!("/api/v1{export}?from={FIRST}&to={LAST}");
    let answer = shop.service.request("GET", &path, &[("Authorization", &bearer)], &[]).unwrap();
    let orders = answer.body.split(|it| *it == b'\n').filter(|line| line.starts_with(b"{\"order\":"));
    assert_eq!((answer.status, orders.count()), (200, 5));
    for path in [&list, &export] {
        let path = format!("{path}?from={LAST}&to={FIRST}");
        assert_eq!(errors_of(shop.service.get(&path)), refused("invalid_parameter", "from"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_refuse_spans_that_end_before_they_begin() {
    let shop = Shop::open().await;
    for (arguments, expected) in [
        (["--from", "2026-11-02", "--to", "2026-11-01"], (1, "--from must be before --to")),
        (["--from", "2026-11-01", "--to", "2026-11-01"], (1, "--from must be before --to")),
        (["--from", "2026-11-01", "--to", OUTSIDE[0]], (2, "in the years 0001 to 9999")),
    ] {
        let (code, said) = shop.command(&[&["export"], arguments.as_slice()].concat());
        assert!(code == expected.0 && said.contains(expected.1), "{arguments:?}: {code}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn file_lines_with_unstorable_instants_are_named() {
    let shop = Shop::open().await;
    shop.admin("POST", "/orders", &json!({ "count": 6 }));
    shop.connect().await;
    shop.until_read().await;
    let export = String::from_utf8(exported(&shop)).unwrap();
    let mut lines: Vec<Value> = export.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (at, pointer) in [
        "/order/seen_at",
        "/order/created_at",
        "/order/updated_at",
        "/order/order_data/updatedAt",
        "/order/order_data/lineItems/0/boughtAt",
    ]
    .into_iter()
    .enumerate()
    {
        *lines[at + 1].pointer_mut(pointer).unwrap() = json!(OUTSIDE[0]);
    }
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    let other = Shop::open().await;
    let file = File::holding(lines.join("\n").as_bytes());
    let (code, said) = other.command(&["import", file.path()]);
    assert_eq!(code, 1, "{said}");
    for number in 2..=4 {
        let line = said.lines().find(|line| line.starts_with(&format!("line {number}: ")));
        assert!(line.is_some_and(|it| it.contains("in the years 0001 to 9999")), "{number}: {said}");
    }
    // A field of Allegro's document that cannot be read is absent; the order is restored.
    assert_eq!(other.count("orders").await, 3, "{said}");
}
