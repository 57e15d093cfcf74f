//! The sandbox answers as Allegro answers.

use sandbox::Settings;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::allegro::Allegro;
use crate::contract::Contract;

pub(crate) fn days_ago(days: i64) -> String {
    (OffsetDateTime::now_utc() - Duration::days(days)).format(&Rfc3339).unwrap()
}

#[test]
fn a_device_code_is_polled_slowly_decided_once_and_used_once() {
    let allegro = Allegro::start(Settings { device_interval: 60, ..Settings::default() });
    let error = |device: &Value| allegro.poll(device).body["error"].as_str().unwrap_or("none").to_owned();
    let first = allegro.device();
    assert_eq!((error(&first), error(&first)), ("authorization_pending".to_owned(), "slow_down".to_owned()));
    allegro.decide(&first, "deny");
    assert_eq!(error(&first), "access_denied");

    // A person types it as it is shown, with spaces, in capitals.
    let second = allegro.device();
    let code = second["user_code"].as_str().unwrap();
    assert!(allegro.page(&format!("/skojarz-aplikacje?code={code}"), &[]).contains(code));
    let typed = format!("{} {} {}", &code[..3], &code[3..6], &code[6..]).to_uppercase();
    let form = [("code", typed.as_str()), ("seller", "1000001"), ("decision", "approve")];
    assert!(allegro.page("/skojarz-aplikacje", &form).contains("Gotowe"));
    assert!(allegro.page("/skojarz-aplikacje", &form).contains("No such code"));
    assert_eq!(allegro.poll(&second).status, 200);
    assert_eq!(allegro.poll(&second).body["error_description"], "Invalid device code");
}

#[test]
fn refreshing_kills_the_old_access_token_and_forgives_a_lost_answer_for_the_grace() {
    let allegro = Allegro::start(Settings { refresh_grace_seconds: 60, ..Settings::default() });
    let old = allegro.tokens();
    let lost = allegro.refresh(&old).body;
    assert_eq!((allegro.get(&old, "/me").status, allegro.get(&lost, "/me").status), (401, 200));
    let again = allegro.refresh(&old);
    assert_eq!(again.status, 200, "the answer may have been lost");
    assert_eq!((allegro.get(&again.body, "/me").status, allegro.get(&lost, "/me").status), (200, 401));
    allegro.advance(61);
    let over = allegro.refresh(&old);
    assert_eq!((over.status, &over.body["error"]), (400, &json!("invalid_grant")));
    let newest = allegro.refresh(&again.body);
    assert_eq!(newest.status, 200);
    allegro.admin("POST", "/sellers/1000001/revoke", &json!({}));
    assert_eq!((allegro.get(&newest.body, "/me").status, allegro.refresh(&newest.body).status), (401, 400));
}

#[test]
fn the_same_seed_makes_the_same_orders_and_windows_hold_each_once() {
    let (from, half, to) = (days_ago(60), days_ago(45), days_ago(30));
    let made = || {
        let allegro = Allegro::start(Settings { device_interval: 0, ..Settings::default() });
        let wish = json!({ "count": 150, "seed": 9, "from": from, "to": to });
        assert_eq!(allegro.admin("POST", "/orders", &wish).status, 200);
        (allegro.tokens(), allegro)
    };
    let (pair, allegro) = made();
    let ids = |allegro: &Allegro, pair: &Value, query: &str| -> Vec<String> {
        let page = allegro.get(pair, &format!("/order/checkout-forms?sort=lineItems.boughtAt&{query}")).body;
        let forms = page["checkoutForms"].as_array().unwrap();
        forms.iter().map(|form| form["id"].as_str().unwrap().to_owned()).collect()
    };
    let (other_pair, other) = made();
    assert_eq!(ids(&allegro, &pair, "limit=100"), ids(&other, &other_pair, "limit=100"));

    let mut all = ids(&allegro, &pair, "limit=100");
    all.extend(ids(&allegro, &pair, "limit=100&offset=100"));
    let mut windows = Vec::new();
    for bound in [format!("lineItems.boughtAt.lte={half}"), format!("lineItems.boughtAt.gte={half}")] {
        windows.extend(ids(&allegro, &pair, &bound));
    }
    assert_eq!((all.len(), &windows), (150, &all));
}

#[test]
fn changes_follow_in_the_journal_and_only_the_fulfillment_leaves_updated_at_alone() {
    let allegro = Allegro::start(Settings { device_interval: 0, ..Settings::default() });
    let pair = allegro.tokens();
    allegro.admin(
        "POST",
        "/orders",
        &json!({ "count": 1, "seed": 1, "from": days_ago(300), "to": days_ago(299) }),
    );
    let form = allegro.get(&pair, "/order/checkout-forms").body["checkoutForms"][0].clone();
    let path = format!("/order/checkout-forms/{}", form["id"].as_str().unwrap());
    let stats =
        || allegro.get(&pair, "/order/event-stats").body["latestEvent"]["id"].as_str().map(str::to_owned);
    assert_eq!(stats(), None, "older events than 60 days are gone");

    let wish = json!({ "status": "SUSPENDED" });
    let stale = allegro.put(&pair, &format!("{path}/fulfillment?checkoutForm.revision=00000000"), &wish);
    assert_eq!(stale.status, 409);
    assert_eq!(
        allegro.put(&pair, &format!("{path}/fulfillment"), &json!({ "status": "RETURNED" })).status,
        422
    );
    assert_eq!(allegro.put(&pair, &format!("{path}/fulfillment"), &wish).status, 204);
    let sent = allegro.get(&pair, &path).body;
    assert_eq!(
        (&sent["fulfillment"]["status"], &sent["updatedAt"]),
        (&json!("SUSPENDED"), &form["updatedAt"])
    );
    assert_ne!(sent["revision"], form["revision"]);
    let first = stats().unwrap();

    let action = format!("/orders/{}/change-address", form["id"].as_str().unwrap());
    assert_eq!(allegro.admin("POST", &action, &json!({})).status, 200);
    let moved = allegro.get(&pair, &path).body;
    assert_ne!(moved["updatedAt"], form["updatedAt"]);
    let types = |query: &str| -> Vec<String> {
        let page = allegro.get(&pair, &format!("/order/events?{query}")).body;
        page["events"].as_array().unwrap().iter().map(|it| it["type"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(types(""), ["FULFILLMENT_STATUS_CHANGED", "BUYER_MODIFIED"]);
    assert_eq!(types(&format!("from={first}")), ["BUYER_MODIFIED"]);
    assert_eq!(types("type=BUYER_MODIFIED&type=BOUGHT"), ["BUYER_MODIFIED"]);
    assert_eq!(types(&format!("from={}", stats().unwrap())), [""; 0]);
}

#[test]
fn faults_are_made_on_purpose_only() {
    let allegro = Allegro::start(Settings { device_interval: 0, ..Settings::default() });
    let pair = allegro.tokens();
    let fault = |wish: Value| assert_eq!(allegro.admin("PUT", "/faults", &wish).status, 200);
    fault(json!({ "error_rate": 1.0, "status": 503, "html": true, "routes": ["me"] }));
    let answer = allegro.get(&pair, "/me");
    assert_eq!((answer.status, answer.content_type.as_str()), (503, "text/html"));
    assert_eq!(allegro.get(&pair, "/order/event-stats").status, 200);
    fault(json!({ "block_seconds": 60 }));
    let blocked = allegro.get(&pair, "/me");
    assert_eq!(blocked.status, 429);
    Contract::of("errors").check(&blocked.body);
    allegro.admin("DELETE", "/faults", &json!({}));
    assert_eq!(allegro.get(&pair, "/me").status, 200);
    for (method, path, wish) in [
        ("PUT", "/faults", json!({ "error_rat": 1 })),
        ("POST", "/orders", json!({ "count": -1 })),
        ("POST", "/orders", json!({ "count": 2_000_000 })),
        ("POST", "/live", json!({ "count": 1, "rate_per_second": 0 })),
    ] {
        assert_eq!(allegro.admin(method, path, &wish).status, 400, "{path} {wish}");
    }
}
