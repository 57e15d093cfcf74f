//! Codes and tokens die when Allegro's do.

use sandbox::Settings;
use serde_json::{Value, json};

use crate::allegro::Allegro;

#[test]
fn a_code_expires_with_the_error_that_is_set_and_only_one_poller_gets_the_token() {
    let rules = json!({ "auth": { "expired_code_error": "invalid_grant", "slow_down_seconds": 5 } });
    let allegro = Allegro::start(Settings { device_interval: 5, rules, ..Settings::default() });
    let error = |device: &Value| allegro.poll(device).body["error"].as_str().unwrap_or("none").to_owned();
    let first = allegro.device();
    assert_eq!((error(&first).as_str(), error(&first).as_str()), ("authorization_pending", "slow_down"));
    allegro.advance(6);
    assert_eq!(error(&first), "slow_down", "the interval has grown by five seconds");
    allegro.advance(16);
    assert_eq!(error(&first), "authorization_pending");
    allegro.advance(3600);
    assert_eq!(error(&first), "invalid_grant");

    let second = allegro.device();
    allegro.decide(&second, "approve");
    let answers = [allegro.poll(&second), allegro.poll(&second)];
    assert_eq!((answers[0].status, answers[1].status), (200, 400));
    assert_eq!(answers[1].body["error_description"], "Invalid device code");

    allegro.rule(&json!({ "auth": { "device_grant": false, "numbers_as_text": true } }));
    assert_eq!(allegro.device()["error"], "unauthorized_client");
    allegro.rule(&json!({ "auth": { "device_grant": true } }));
    assert_eq!(allegro.device()["expires_in"], "3600");
}

#[test]
fn tokens_die_by_the_twenty_first_session_by_age_and_by_the_users_hand() {
    let allegro = Allegro::start(Settings { device_interval: 0, ..Settings::default() });
    let session = || allegro.admin("POST", "/sellers/1000001/tokens", &json!({})).body;
    let alive = |pair: &Value| allegro.get(pair, "/me").status == 200;
    let first = session();
    let second = session();
    for _ in 0..18 {
        session();
    }
    assert!(alive(&first));
    let refreshed = allegro.refresh(&second).body;
    session();
    assert!(!alive(&first) && alive(&refreshed), "the oldest session dies, and a refresh is no new one");
    let refused = allegro.refresh(&first);
    let token = first["refresh_token"].as_str().unwrap();
    assert_eq!((refused.status, refused.body["error"].as_str()), (400, Some("invalid_grant")));
    assert_eq!(refused.body["error_description"], format!("Invalid refresh token: {token}"), "it is echoed");

    allegro.advance(43_200);
    let aged = allegro.get(&refreshed, "/me");
    let token = refreshed["access_token"].as_str().unwrap();
    assert_eq!(aged.body["error_description"], format!("Access token expired: {token}"));
    let renewed = allegro.refresh(&refreshed).body;
    assert!(alive(&renewed));
    for kill in ["change-password", "change-email", "log-out-everywhere", "block-sales", "unlink"] {
        let pair = session();
        assert!(alive(&pair));
        assert_eq!(allegro.admin("POST", &format!("/sellers/1000001/{kill}"), &json!({})).status, 200);
        assert!(!alive(&pair) && allegro.refresh(&pair).status == 400, "{kill}");
    }
    let pair = session();
    assert_eq!(allegro.admin("POST", "/sellers/1000001/expire-access", &json!({})).status, 200);
    assert!(!alive(&pair) && allegro.refresh(&pair).status == 200);
    let pair = session();
    allegro.advance(91 * 86_400);
    assert_eq!(allegro.refresh(&pair).status, 400, "three months");
}

#[test]
fn a_user_gets_so_many_tokens_and_a_scope_is_what_was_asked_for() {
    let rules =
        json!({ "auth": { "tokens_per_user": 2, "scopes": "allegro:api:orders:read allegro:api:bids" } });
    let allegro = Allegro::start(Settings { device_interval: 0, rules, ..Settings::default() });
    let pair = allegro.tokens();
    assert_eq!(pair["scope"], "allegro:api:orders:read allegro:api:bids", "all the application has");
    assert_eq!(allegro.get(&pair, "/me").status, 403);
    let second = allegro.refresh(&pair).body;
    assert_eq!(allegro.refresh(&second).status, 429);
    allegro.advance(61);
    assert_eq!(allegro.refresh(&second).status, 200, "the refused try did not use the token up");
}
