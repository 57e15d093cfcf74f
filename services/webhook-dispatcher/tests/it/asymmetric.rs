//! Keys of ed25519: chosen, shown by their public half alone, replaced across kinds, and judged by the file our documents
//! give to receivers, which another library stands behind than the one that signs.

use std::thread;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use testkit::eventually;

use crate::support::{Desk, Hit, Receiver, all_to, event};
use crate::verify_v1a::is_genuine;

/// A pair of the reference implementation's.
const SECRET: &str =
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
const PUBLIC: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
const SYMMETRIC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn is_of(public_key: &str, hit: &Hit) -> bool {
    let headers = ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| &hit.headers[name]);
    let headers = headers.map(|value| value.to_str().unwrap());
    is_genuine(&[public_key], headers.into(), &hit.body, SystemTime::now())
}

fn versions(hit: &Hit) -> Vec<&str> {
    let entries = hit.headers["webhook-signature"].to_str().unwrap().split(' ');
    entries.map(|entry| entry.split_once(',').unwrap().0).collect()
}

fn with(wish: &Value, more: &Value) -> Value {
    let mut wish = wish.clone();
    wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    wish
}

fn is_refused((status, problem): (u16, Value), pointer: &str, code: &str) {
    let errors = problem["errors"].as_array().unwrap();
    assert_eq!((status, errors.len()), (400, 1), "{problem}");
    assert_eq!((&errors[0]["pointer"], &errors[0]["code"]), (&json!(pointer), &json!(code)), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_shows_the_public_key_and_none_but_the_first_the_secret() {
    let desk = Desk::open().await;
    let (given, made) = (Receiver::answering(200), Receiver::answering(200));
    let (_, asked) = desk.service.post("/webhooks", &with(&all_to(&given), &json!({ "secret": SECRET })));
    let id = asked["id"].as_str().unwrap();
    assert_eq!((&asked["secret"], &asked["public_key"]), (&json!(SECRET), &json!(PUBLIC)));
    let (other, fresh) = desk.subscribe(&with(&all_to(&made), &json!({ "signature": "v1a" })));
    let (symmetric, _) = desk.subscribe(&all_to(&given));
    let path = |id: &str| format!("/webhooks/{id}");
    let (_, first) = desk.service.get(&path(id));
    let (_, second) = desk.service.get(&path(&other));
    assert_eq!((&first["public_key"], &first["public_keys"]), (&json!(PUBLIC), &json!([PUBLIC])));
    assert!(fresh.starts_with("whsk_") && first["public_key"] != second["public_key"], "{second}");
    let (_, none) = desk.service.get(&path(&symmetric));
    let of_none = (&none["signature"], &none["public_key"], &none["public_keys"]);
    assert_eq!(of_none, (&json!("v1"), &json!(null), &json!([])));
    let (_, changed) = desk.service.patch(&path(id), &json!({ "name": "Magazyn" }));
    let (_, listed) = desk.service.get("/webhooks");
    assert_eq!(changed["public_key"], PUBLIC);
    let public_keys: Vec<_> =
        listed["items"].as_array().unwrap().iter().map(|item| &item["public_key"]).collect();
    assert_eq!(public_keys, [&json!(null), &second["public_key"], &json!(PUBLIC)]);

    desk.service.delete(&path(&symmetric));
    desk.tell(&[event(1)]).await;
    let (hit, of_other) = (&given.until_hits(1).await[0], &made.until_hits(1).await[0]);
    assert_eq!(versions(hit), ["v1a"]);
    assert!(is_of(PUBLIC, hit) && !is_of(PUBLIC, of_other));
    assert!(is_of(second["public_key"].as_str().unwrap(), of_other));

    let log = desk.service.log();
    for secret in [SECRET, &fresh] {
        for told in [first.to_string(), listed.to_string(), changed.to_string(), log.clone()] {
            assert!(!told.contains(secret));
        }
        let private = STANDARD.decode(&secret[5..]).unwrap()[..32].to_vec();
        for written in [hex::encode(&private), hex::encode(STANDARD.encode(private))] {
            for table in ["webhook_subscriptions", "webhook_credentials"] {
                let rows = format!("{table} t WHERE t::text ~ '{written}'");
                assert_eq!(desk.count(&rows).await, 0, "{table} holds the secret sealed");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replaced_keys_of_either_kind_sign_too_and_their_public_halves_are_shown_as_long() {
    let desk = Desk::open().await;
    let receiver = Receiver::answering(200);
    let (id, first) = desk.subscribe(&all_to(&receiver));
    let path = format!("/webhooks/{id}");
    let rotate = |wish: Value| {
        let (status, rotated) = desk.service.post(&format!("{path}/rotate-secret"), &wish);
        assert_eq!(status, 200, "{rotated}");
        rotated
    };
    let second = rotate(json!({ "signature": "v1a" }));
    let (third, fourth) = (rotate(json!({ "secret": SYMMETRIC })), rotate(json!({ "secret_key": SECRET })));
    // Nothing said, it stays what it is.
    let fifth = rotate(json!({ "overlap_seconds": 604_800 }));
    let key = |rotated: &Value| rotated["public_key"].as_str().unwrap().to_owned();
    let (second_key, fifth_key) = (key(&second), key(&fifth));
    assert_eq!((&third["signature"], &third["public_key"]), (&json!("v1"), &json!(null)));
    assert_eq!(third["public_keys"], json!([second_key]), "it still signs");
    assert_eq!((&fourth["public_key"], &fifth["signature"]), (&json!(PUBLIC), &json!("v1a")));
    let live = json!([fifth_key, PUBLIC, second_key]);
    assert_eq!((&fifth["public_keys"], &desk.service.get(&path).1["public_keys"]), (&live, &live));

    desk.tell(&[event(1)]).await;
    let hit = &receiver.until_hits(1).await[0];
    assert_eq!(versions(hit), ["v1a", "v1a", "v1", "v1a", "v1"]);
    for secret in [first.as_str(), SYMMETRIC] {
        Webhook::new(secret).unwrap().verify(&hit.body, &hit.headers).unwrap();
    }
    for public_key in [&fifth_key, PUBLIC, &second_key] {
        assert!(is_of(public_key, hit), "{public_key}");
    }

    // The one that leaked is replaced at once, by one whose own time with another is soon over.
    let sixth = rotate(json!({ "signature": "v1", "overlap_seconds": 0 }));
    assert_eq!(sixth["public_keys"], json!([PUBLIC, second_key]));
    rotate(
        json!({ "secret": sixth["secret"].as_str().unwrap().replace("whsec_", "whsec_AAAA"), "overlap_seconds": 1 }),
    );
    let (_, again) = desk.service.post(&format!("{path}/rotate-secret"), &json!({ "secret": SECRET }));
    assert_eq!(again["code"], "secret_known");
    let six = async || {
        let before = receiver.hits().len();
        desk.tell(&[event(2)]).await;
        receiver.until_hits(before + 1).await.remove(before)
    };
    let hit = eventually("the one before to be forgotten", async || {
        let hit = six().await;
        (versions(&hit) == ["v1", "v1a", "v1", "v1a", "v1"]).then_some(hit)
    })
    .await;
    assert!(is_of(PUBLIC, &hit) && is_of(&second_key, &hit) && !is_of(&fifth_key, &hit));
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_that_are_none_or_contradict_their_kind_are_refused() {
    let desk = Desk::open().await;
    let halves = STANDARD.decode(&SECRET[5..]).unwrap();
    let of = |prefix: &str, bytes: &[u8]| format!("{prefix}{}", STANDARD.encode(bytes));
    let torn = of("whsk_", &[&halves[1..32], &[0], &halves[32..]].concat());
    let wish = json!({ "url": "http://127.0.0.1:9/hooks", "events": ["*"] });
    let (id, _) = desk.subscribe(&wish);
    for (more, pointer, code) in [
        (json!({ "signature": "v2" }), "/signature", "not_allowed"),
        (json!({ "signature": "v1a", "secret": SYMMETRIC }), "/signature", "contradiction"),
        (json!({ "signature": "v1a", "secret": of("", &halves) }), "/signature", "contradiction"),
        (json!({ "signature": "v1", "secret_key": SECRET }), "/signature", "contradiction"),
        (json!({ "secret": of("whsk_", &halves[..32]) }), "/secret", "malformed"),
        (json!({ "secret": "whsk_not base64" }), "/secret", "malformed"),
        (json!({ "secret_key": torn, "signature": "v1a" }), "/secret_key", "halves_differ"),
        (json!({ "secret": PUBLIC }), "/secret", "weak_secret"),
        (json!({ "secret": SECRET, "secret_key": SECRET }), "/secret_key", "ambiguous"),
    ] {
        is_refused(desk.service.post("/webhooks", &with(&wish, &more)), pointer, code);
        is_refused(desk.service.post(&format!("/webhooks/{id}/rotate-secret"), &more), pointer, code);
    }
    let change = json!({ "signature": "v1a" });
    is_refused(desk.service.patch(&format!("/webhooks/{id}"), &change), "/signature", "not_changeable");
    let (_, untouched) = desk.service.get(&format!("/webhooks/{id}"));
    assert_eq!((&untouched["signature"], &untouched["public_keys"]), (&json!("v1"), &json!([])));
}

/// The signature of before the standard is made by a symmetric key, whichever of the two is changed, and whenever.
#[tokio::test(flavor = "multi_thread")]
async fn the_signature_of_before_the_standard_and_an_asymmetric_key_exclude_each_other() {
    let desk = Desk::open().await;
    let receiver = Receiver::answering(200);
    let (seed, v1a) = (json!({ "seed_signature": true }), json!({ "signature": "v1a" }));
    let wish = all_to(&receiver);
    for key in [&v1a, &json!({ "secret": SECRET })] {
        let made = desk.service.post("/webhooks", &with(&wish, &with(&seed, key)));
        is_refused(made, "/seed_signature", "needs_v1");
    }
    let (id, _) = desk.subscribe(&with(&wish, &seed));
    let (path, rotate) = (format!("/webhooks/{id}"), format!("/webhooks/{id}/rotate-secret"));
    for (key, pointer) in [
        (v1a.clone(), "/signature"),
        (json!({ "secret": SECRET }), "/secret"),
        (json!({ "secret_key": SECRET }), "/secret_key"),
    ] {
        is_refused(desk.service.post(&rotate, &key), pointer, "needs_v1");
    }
    assert_eq!(desk.service.patch(&path, &json!({ "seed_signature": false })).0, 200);
    let (_, rotated) = desk.service.post(&rotate, &v1a);
    is_refused(desk.service.patch(&path, &seed), "/seed_signature", "needs_v1");
    // Beside an asymmetric key that was replaced it is made by the present one.
    let (_, present) = desk.service.post(&rotate, &json!({ "secret": SYMMETRIC }));
    assert_eq!(desk.service.patch(&path, &seed).0, 200, "{present}");
    desk.tell(&[event(1)]).await;
    let hit = &receiver.until_hits(1).await[0];
    assert!(hit.headers["x-webhook-signature"].to_str().unwrap().starts_with("sha256="));
    assert!(is_of(rotated["public_key"].as_str().unwrap(), hit));

    // Asked for at once, one of them is refused.
    for _ in 0..8 {
        let (id, _) = desk.subscribe(&json!({ "url": "http://127.0.0.1:9/hooks", "events": ["order.*"] }));
        let (path, rotate) = (format!("/webhooks/{id}"), format!("/webhooks/{id}/rotate-secret"));
        let answers = thread::scope(|scope| {
            let patched = scope.spawn(|| desk.service.patch(&path, &seed));
            let rotated = scope.spawn(|| desk.service.post(&rotate, &v1a));
            [patched, rotated].map(|asked| asked.join().unwrap().0)
        });
        let (_, now) = desk.service.get(&path);
        let expected = if now["signature"] == "v1a" { ([400, 200], false) } else { ([200, 400], true) };
        assert_eq!((answers, now["seed_signature"] == true), expected, "{now}");
    }
}
