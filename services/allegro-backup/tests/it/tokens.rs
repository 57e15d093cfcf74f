//! What people do with accounts themselves: bringing tokens along, changing, refreshing, checking.

use serde_json::{Value, json};
use testkit::eventually;

use crate::support::{Shop, USER, USER_PATH};

const SELLER: &str = "1000001";

fn wish(pair: &Value) -> Value {
    json!({
        "user_id": USER, "account_name": "Świece", "access_token": pair["access_token"],
        "refresh_token": pair["refresh_token"], "expires_in": pair["expires_in"],
    })
}

fn put(shop: &Shop, path: &str, body: &Value) -> (u16, Value) {
    shop.service.call("PUT", &format!("/api/v1{path}"), Some(&shop.service.token), "", body)
}

/// The JSON pointer and the code of the one error.
fn told((status, body): (u16, Value)) -> (u16, String, String) {
    let error = &body["errors"][0];
    let text = |field: &str| error[field].as_str().unwrap_or_default().to_owned();
    (status, text("pointer"), text("code"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_that_stands_elsewhere_is_taken_over_and_stays_secret() {
    let shop = Shop::open().await;
    shop.admin("POST", "/orders", &json!({ "count": 20 }));
    let pair = shop.pair(SELLER);
    let bearer = format!("Bearer {}", shop.service.token);
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let sent = shop.service.request("POST", "/api/v1/tokens/", &headers, wish(&pair).to_string().as_bytes());
    let answer = sent.unwrap();
    let account = answer.json();
    assert_eq!(answer.status, 201, "{account}");
    assert_eq!(
        (&account["allegro_seller_id"], &account["user_id"], &account["is_active"]),
        (&json!(SELLER), &json!(USER), &json!(true))
    );
    shop.until_equal().await;
    let (_, listed) = shop.service.get("/tokens/");
    assert_eq!(listed["items"][0]["id"], account["id"]);
    assert_eq!(shop.count("outbox WHERE type = 'account.connected'").await, 1);

    let other = shop.pair(SELLER);
    let foreign = shop.pair(shop.admin("POST", "/sellers", &json!({}))["id"].as_str().unwrap());
    let mut garbled = wish(&pair);
    garbled["access_token"] = json!("eyJhbGciOiJSUzI1NiJ9.e30.c2ln");
    let mut foreign_refresh = wish(&pair);
    foreign_refresh["refresh_token"] = foreign["refresh_token"].clone();
    let mut mixed = wish(&pair);
    mixed["refresh_token"] = other["refresh_token"].clone();
    let mut unsendable = wish(&pair);
    unsendable["access_token"] = json!("two\r\nlines");
    for (wish, expected) in [
        (garbled, ("/access_token", "refused")),
        (foreign_refresh, ("/refresh_token", "no_pair")),
        (mixed, ("/refresh_token", "no_pair")),
        (unsendable, ("/access_token", "invalid_value")),
    ] {
        let (status, pointer, code) = told(shop.service.post("/tokens", &wish));
        assert_eq!((status, pointer.as_str(), code.as_str()), (400, expected.0, expected.1));
    }
    let log = shop.service.log() + &listed.to_string() + &account.to_string();
    assert!(!log.contains("eyJ"), "a token is in the log or in an answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_several_accounts_and_a_seller_is_the_same_account_again() {
    let mut shop = Shop::open().await;
    shop.admin("POST", "/orders", &json!({ "count": 10 }));
    let second = shop.admin("POST", "/sellers", &json!({}))["id"].as_str().unwrap().to_owned();
    let (_, first) = shop.service.post("/tokens", &wish(&shop.pair(SELLER)));
    shop.until_equal().await;
    let (status, other) = shop.service.post("/tokens", &wish(&shop.pair(&second)));
    assert_eq!((status, &other["allegro_seller_id"]), (201, &json!(second)));
    let of_user = format!("/tokens/user/{USER_PATH}");
    assert_eq!(shop.service.get(&of_user).1["items"].as_array().unwrap().len(), 2);

    // Removed and brought back, it is the same account, and what was bought meanwhile is found.
    let path = format!("/tokens/{}", first["id"].as_str().unwrap());
    assert_eq!(shop.service.delete(&path).0, 204);
    let (status, gone) = shop.service.post(&format!("{path}/refresh"), &json!({}));
    assert_eq!((status, &gone["code"]), (409, &json!("account_removed")));
    shop.admin("POST", "/live", &json!({ "count": 5, "rate_per_second": 1000 }));
    let (status, back) = shop.service.post("/tokens", &wish(&shop.pair(SELLER)));
    assert_eq!((status, &back["id"], &back["is_active"]), (201, &first["id"], &json!(true)));
    eventually("the new orders", async || (shop.journal().len() == 15).then_some(())).await;
    shop.until_equal().await;
    assert_eq!(shop.count("user_tokens").await, 2);

    shop.service.token = shop.service.token_of("someone-else", "allegro-backup:read allegro-backup:write");
    for (status, body) in [
        shop.service.post(&format!("{path}/refresh"), &json!({})),
        shop.service.post(&format!("{path}/validate"), &json!({})),
        put(&shop, &path, &json!({ "account_name": "mine" })),
    ] {
        assert_eq!((status, &body["code"]), (404, &json!("token_not_found")));
    }
    let (status, pointer, code) = told(shop.service.post("/tokens", &wish(&shop.pair(SELLER))));
    assert_eq!((status, pointer.as_str(), code.as_str()), (400, "/user_id", "foreign_user"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_changed_refreshed_and_checked() {
    let shop = Shop::open().await;
    let (_, account) = shop.service.post("/tokens", &wish(&shop.pair(SELLER)));
    let path = format!("/tokens/{}", account["id"].as_str().unwrap());
    let rotations = || shop.admin("GET", "/stats", &json!({}))["refreshes"].as_i64().unwrap();

    let (status, changed) = put(&shop, &path, &json!({ "account_name": null }));
    assert_eq!((status, &changed["account_name"], rotations()), (200, &json!(null), 0));
    let (status, refreshed) = shop.service.post(&format!("{path}/refresh"), &json!({}));
    assert_eq!((status, refreshed["last_refreshed_at"].is_string(), rotations()), (200, true, 1));
    let validate = format!("{path}/validate");
    let (status, checked) = shop.service.post(&validate, &json!({}));
    assert_eq!((status, &checked["is_valid"], &checked["was_refreshed"]), (200, &json!(true), &json!(false)));

    // The access token dies before its time, as when another program refreshes: checking heals it.
    shop.admin("POST", "/sellers/1000001/expire-access", &json!({}));
    let (_, healed) = shop.service.post(&validate, &json!({}));
    assert_eq!((&healed["is_valid"], &healed["was_refreshed"]), (&json!(true), &json!(true)), "{healed}");
    shop.admin("POST", "/sellers/1000001/revoke", &json!({}));
    let (status, dead) = shop.service.post(&validate, &json!({}));
    assert_eq!((status, &dead["is_valid"]), (200, &json!(false)));
    assert_eq!(dead["token"]["reauthorization_reason"], "invalid_grant");
    let (status, refused) = shop.service.post(&format!("{path}/refresh"), &json!({}));
    assert_eq!((status, &refused["code"]), (409, &json!("needs_reauthorization")));

    // A new pair of the same seller heals; another seller's, half a pair and unknown fields are refused.
    let pair = shop.pair(SELLER);
    let both = json!({ "access_token": pair["access_token"], "refresh_token": pair["refresh_token"] });
    let foreign = shop.pair(shop.admin("POST", "/sellers", &json!({}))["id"].as_str().unwrap());
    let foreign =
        json!({ "access_token": foreign["access_token"], "refresh_token": foreign["refresh_token"] });
    for (body, expected) in [
        (foreign, ("/access_token", "another_seller")),
        (json!({ "access_token": pair["access_token"] }), ("/refresh_token", "missing")),
        (json!({ "expires_in": 60 }), ("/expires_in", "unused")),
        (json!({ "user_id": "another" }), ("/user_id", "unknown_field")),
        (json!({ "account_name": "" }), ("/account_name", "wrong_length")),
    ] {
        let (status, pointer, code) = told(put(&shop, &path, &body));
        assert_eq!((status, pointer.as_str(), code.as_str()), (400, expected.0, expected.1));
    }
    let (status, healed) = put(&shop, &path, &both);
    assert_eq!((status, &healed["needs_reauthorization"]), (200, &json!(false)), "{healed}");
    assert_eq!(shop.count("alerts WHERE cleared_at IS NULL").await, 0);

    // While Allegro is away nobody can tell.
    shop.admin("PUT", "/faults", &json!({ "error_rate": 1.0, "status": 503, "routes": ["me"] }));
    let (status, away) = shop.service.post(&validate, &json!({}));
    assert_eq!((status, away["code"].as_str().unwrap()), (503, "dependency_unavailable"), "{away}");
}
