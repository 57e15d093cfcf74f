//! How much may be asked, who may ask, and what goes wrong on purpose.

use std::time::{Duration, Instant};

use sandbox::Settings;
use serde_json::{Value, json};

use crate::allegro::Allegro;
use crate::sandbox_rules::days_ago;

fn open(rules: Value) -> (Allegro, Value) {
    let allegro = Allegro::start(Settings { device_interval: 0, rules, ..Settings::default() });
    let pair = allegro.tokens();
    (allegro, pair)
}

#[test]
fn too_many_requests_block_the_application_and_asking_on_makes_it_longer() {
    let (allegro, pair) = open(json!({ "limits": { "requests_per_minute": 3, "remaining": true } }));
    let status = || allegro.get(&pair, "/me").status;
    assert_eq!(allegro.get(&pair, "/me").headers["x-ratelimit-remaining"], "2");
    assert_eq!((status(), status(), status()), (200, 200, 429));
    allegro.advance(50);
    let refused = allegro.get(&pair, "/me");
    assert_eq!(refused.body["errors"][0]["code"], "RateLimitExceedException");
    assert!(!refused.headers.contains_key("retry-after"), "Allegro does not say how long");
    assert_eq!(allegro.poll(&allegro.device()).status, 400, "signing in is on another host");
    allegro.advance(50);
    assert_eq!(status(), 429, "asking within the block made it longer");
    allegro.advance(61);
    assert_eq!(status(), 200);

    allegro.rule(&json!({ "limits": { "retry_after": true, "lengthens": false } }));
    assert_eq!((status(), status(), status()), (200, 200, 429));
    allegro.advance(55);
    assert!(allegro.get(&pair, "/me").headers["retry-after"].parse::<u64>().unwrap() <= 5);
    allegro.advance(6);
    assert_eq!(status(), 200);
}

#[test]
fn a_user_who_asks_too_much_at_once_is_answered_slower_and_then_refused() {
    let (allegro, pair) = open(json!({ "limits": { "user_bucket": 2.0, "user_leak_per_second": 2.0 } }));
    allegro.admin("POST", "/sellers", &json!({}));
    let other = allegro.admin("POST", "/sellers/1000002/tokens", &json!({})).body;
    let timed = || {
        let begun = Instant::now();
        (allegro.get(&pair, "/me").status, begun.elapsed())
    };
    let answers: Vec<(u16, Duration)> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..12).map(|_| scope.spawn(timed)).collect();
        asked.into_iter().map(|it| it.join().unwrap()).collect()
    });
    let count = |is_it: fn(&(u16, Duration)) -> bool| answers.iter().filter(|it| is_it(it)).count();
    assert!(count(|it| it.0 == 429) >= 4, "{answers:?}");
    assert!(count(|it| it.0 == 200 && it.1 > Duration::from_millis(300)) >= 1, "{answers:?}");
    assert_eq!(allegro.get(&other, "/me").status, 200, "another user has another bucket");
    allegro.advance(60);
    assert_eq!(allegro.get(&pair, "/me").status, 200, "it leaks");
}

#[test]
fn an_unknown_agent_is_refused_where_the_rules_ask_for_it() {
    let (allegro, pair) = open(json!({ "api": { "check_user_agent": true, "user_agent_status": 418 } }));
    assert_eq!(allegro.get(&pair, "/me").status, 418);
    let known = "Zaplecze/1.2.3 (+https://shop.example/about)";
    assert_eq!(allegro.get_with_agent(&pair, known, "/me").status, 200);
    for agent in ["Zaplecze/1.2.3", "Zaplecze (+https://shop.example)", "Zaplecze/1 (https://shop.example)"] {
        assert_eq!(allegro.get_with_agent(&pair, agent, "/me").status, 418, "{agent}");
    }
}

#[test]
fn faults_come_to_those_they_are_meant_for() {
    let (allegro, pair) = open(json!({}));
    allegro.admin("POST", "/sellers", &json!({}));
    let other = allegro.admin("POST", "/sellers/1000002/tokens", &json!({})).body;
    let ids = allegro.orders(&json!({ "count": 2, "seed": 1, "from": days_ago(5), "to": days_ago(4) }));
    let order = |at: usize| format!("/order/checkout-forms/{}", ids[at]);
    let add = |wish: Value| allegro.admin("POST", "/faults", &wish).body["id"].to_string();

    let bad = add(json!({ "orders": [ids[0]], "error_rate": 1.0, "status": 502 }));
    add(json!({ "sellers": ["1000002"], "garbage_rate": 1.0 }));
    assert_eq!((allegro.get(&pair, &order(0)).status, allegro.get(&pair, &order(1)).status), (502, 200));
    assert_eq!(allegro.get(&pair, "/order/checkout-forms").body["count"], 2, "the list still has it");
    assert!(allegro.get(&other, "/me").body.is_null(), "200, and no JSON");
    assert_eq!(allegro.admin("DELETE", &format!("/faults/{bad}"), &json!({})).status, 200);
    assert_eq!(allegro.get(&pair, &order(0)).status, 200);

    for (wish, is_carried_out) in [
        (json!({ "reset_rate": 1.0 }), false),
        (json!({ "lost_rate": 1.0 }), true),
        (json!({ "truncate_rate": 1.0 }), true),
    ] {
        allegro.admin("PUT", "/faults", &wish);
        let before = allegro.admin("GET", "/stats", &json!({})).body["requests"].clone();
        assert!(allegro.try_get(&pair, &order(1)).is_err(), "{wish}");
        // Counted when the sandbox knows how it ended: the client may know before.
        let after = testkit::wait_for("the request to be counted", || {
            let after = allegro.admin("GET", "/stats", &json!({})).body["requests"].clone();
            (after != before).then_some(after)
        });
        let counted = &after["GET order"]["200"].as_u64().unwrap_or_default();
        let counted_before = &before["GET order"]["200"].as_u64().unwrap_or_default();
        assert_eq!(counted > counted_before, is_carried_out && wish.get("lost_rate").is_none(), "{wish}");
    }
    allegro.admin("DELETE", "/faults", &json!({}));
    assert_eq!(allegro.get(&pair, "/me").status, 200);
}

/// Every rule is told of in the documentation, and an unknown one is refused.
#[test]
fn every_rule_is_documented() {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/guides/use-the-sandbox.md"))
            .unwrap();
    let rules = sandbox::rules();
    let missing: Vec<String> = rules
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(group, rules)| rules.as_object().unwrap().iter().map(move |it| (group, it)))
        .map(|(group, (name, value))| {
            // Long texts are told of without their value.
            let value = if value.to_string().len() > 20 { "…".to_owned() } else { value.to_string() };
            format!("| `{group}.{name}` | `{value}` |")
        })
        .filter(|row| !page.contains(row))
        .collect();
    assert!(missing.is_empty(), "docs/guides/use-the-sandbox.md lacks {missing:#?}");
    let (allegro, _) = open(json!({}));
    for wish in [
        json!({ "journal": { "duplicate_rat": 1 } }),
        json!({ "journal": { "duplicate_rate": 2.0 } }),
        json!({ "lists": {} }),
        json!({ "list": { "page": 0 } }),
    ] {
        assert_eq!(allegro.admin("PATCH", "/rules", &wish).status, 400, "{wish}");
    }
    assert_eq!(
        allegro.admin("DELETE", "/rules", &json!({})).body,
        allegro.admin("GET", "/rules", &json!({})).body
    );
}
