//! What is really sent, before those who verify it: the public libraries of Standard Webhooks and, as none of them knows
//! `v1a`, the files our documents give to receivers. Rust's always, those of Python and JavaScript where
//! `cargo xtask contracts webhooks` has installed what they need.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use standardwebhooks::Webhook;
use testkit::tell;

use crate::support::{Desk, Hit, Receiver, all_to, event};
use crate::verify_v1a::is_genuine;

/// The folder the libraries were installed in.
const FOLDER: &str = "WEBHOOK_VERIFIERS";
const GENUINE: &str = "genuine";
const REFUSED: &str = "refused";

const OF_ANOTHER: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";

/// A request, what a verifier is given to know it by, and what it is to say.
struct Case {
    name: String,
    /// A secret, or public keys separated by spaces.
    key: String,
    hit: Hit,
    /// When it is judged, in seconds since 1970; the libraries have their own clock.
    now: u64,
    expected: &'static str,
}

impl Case {
    fn public_keys(&self) -> Option<Vec<&str>> {
        self.key.starts_with("whpk_").then(|| self.key.split(' ').collect())
    }
}

/// A request as it came, and what somebody could have made of it on its way.
fn cases(name: &str, hit: &Hit, keys: &[&str]) -> Vec<Case> {
    let timestamp: u64 = header(hit, "webhook-timestamp").parse().unwrap();
    let case = |what: &str, key: &str, hit: Hit, expected| Case {
        name: format!("{name}, {what}"),
        key: key.to_owned(),
        hit,
        now: timestamp,
        expected,
    };
    let changed = |header: &'static str, value: &str| {
        let mut hit = hit.clone();
        hit.headers.insert(header, value.parse().unwrap());
        hit
    };
    let signatures = header(hit, "webhook-signature");
    let other_body = Hit { body: [&hit.body[..], b" "].concat(), ..hit.clone() };
    let unknown_before = changed("webhook-signature", &format!("v9,AAAA {signatures}"));
    let key = keys[0];
    let genuine = keys.iter().map(|key| case("as it came", key, hit.clone(), GENUINE));
    let more = [
        case("beside a version nobody knows", key, unknown_before, GENUINE),
        case("another body", key, other_body, REFUSED),
        case("another id", key, changed("webhook-id", "evt_1"), REFUSED),
        case("a second later", key, changed("webhook-timestamp", &(timestamp + 1).to_string()), REFUSED),
        case("cut off", key, changed("webhook-signature", &signatures[..20]), REFUSED),
        case("another secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", hit.clone(), REFUSED),
        case("another's public key", OF_ANOTHER, hit.clone(), REFUSED),
    ];
    genuine.chain(more).collect()
}

/// What only the receivers' files are asked: the libraries have no `v1a`, and a clock of their own.
fn cases_of_v1a(name: &str, hit: &Hit, key: &str) -> Vec<Case> {
    let mut judged = cases(name, hit, &[key, &format!("{OF_ANOTHER} {key}")]);
    let timestamp = header(hit, "webhook-timestamp");
    let first = header(hit, "webhook-signature").split(' ').find(|entry| entry.starts_with("v1a,")).unwrap();
    for (what, name_of_header, value) in [
        ("as another version", "webhook-signature", first.replace("v1a,", "v1,")),
        ("without a version", "webhook-signature", first.replace("v1a,", "")),
        ("an empty signature", "webhook-signature", "v1a,".to_owned()),
        ("no base64", "webhook-signature", "v1a,!!!!".to_owned()),
        ("no signature at all", "webhook-signature", String::new()),
        ("no time", "webhook-timestamp", String::new()),
        ("a time that is no number", "webhook-timestamp", format!("{timestamp}.0")),
        ("an endless time", "webhook-timestamp", "9".repeat(5000)),
    ] {
        let mut changed = hit.clone();
        changed.headers.insert(name_of_header, value.parse().unwrap());
        let (name, key) = (format!("{name}, {what}"), key.to_owned());
        judged.push(Case { name, key, hit: changed, now: timestamp.parse().unwrap(), expected: REFUSED });
    }
    let sent: u64 = timestamp.parse().unwrap();
    for (now, expected) in
        [(sent + 300, GENUINE), (sent + 301, REFUSED), (sent - 300, GENUINE), (sent - 301, REFUSED)]
    {
        let name = format!("{name}, sent at {sent} and judged at {now}");
        judged.push(Case { name, key: key.to_owned(), hit: hit.clone(), now, expected });
    }
    judged
}

fn header<'a>(hit: &'a Hit, name: &str) -> &'a str {
    hit.headers[name].to_str().unwrap()
}

fn by_rust(cases: &[Case]) -> Vec<String> {
    let say = |case: &Case| {
        let (hit, now) = (&case.hit, UNIX_EPOCH + Duration::from_secs(case.now));
        let is_genuine = match case.public_keys() {
            Some(keys) => {
                let headers =
                    ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|it| header(hit, it));
                is_genuine(&keys, headers.into(), &hit.body, now)
            }
            None => Webhook::new(&case.key).unwrap().verify(&hit.body, &hit.headers).is_ok(),
        };
        if is_genuine { GENUINE } else { REFUSED }.to_owned()
    };
    cases.iter().map(say).collect()
}

/// Asks a program that reads requests and says a word of each.
fn by_program(program: &Path, script: &Path, cases: &[Case]) -> Vec<String> {
    let mut asked = Command::new(program);
    let mut running = asked.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut requests = running.stdin.take().unwrap();
    for case in cases {
        let headers =
            case.hit.headers.iter().map(|(name, value)| (name.to_string(), json!(value.to_str().unwrap())));
        let headers: Value = headers.collect::<serde_json::Map<_, _>>().into();
        let body = std::str::from_utf8(&case.hit.body).unwrap();
        let mut request = json!({ "headers": headers, "body": body, "now": case.now });
        match case.public_keys() {
            Some(keys) => request["public_keys"] = json!(keys),
            None => request["secret"] = json!(case.key),
        }
        writeln!(requests, "{request}").unwrap();
    }
    drop(requests);
    let output = running.wait_with_output().unwrap();
    assert!(output.status.success(), "{} ended with {}", program.display(), output.status);
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_verifies_lets_pass_what_is_sent_and_nothing_else() {
    let desk = Desk::open().await;
    let (plain, rotated, legacy, crossed) = (
        Receiver::answering(200),
        Receiver::new(|n| (if n == 0 { 500 } else { 200 }, None)),
        Receiver::answering(200),
        Receiver::answering(200),
    );
    let (_, secret) = desk.subscribe(&all_to(&plain));
    let (id, first) = desk.subscribe(&json!({ "url": rotated.url, "events": ["*"], "retry_schedule": [1] }));
    let (_, answer) = desk.service.post(&format!("/webhooks/{id}/rotate-secret"), &json!({}));
    let second = answer["secret"].as_str().unwrap().to_owned();
    let style =
        json!({ "url": legacy.url, "events": ["*"], "payload_style": "legacy", "seed_signature": true });
    let (_, of_legacy) = desk.subscribe(&style);
    // From ed25519 to HMAC and to another ed25519 key: all three sign.
    let asymmetric = json!({ "url": crossed.url, "events": ["*"], "signature": "v1a" });
    let (id, _) = desk.subscribe(&asymmetric);
    let rotate = |kind: &str| {
        let wish = json!({ "signature": kind });
        desk.service.post(&format!("/webhooks/{id}/rotate-secret"), &wish).1
    };
    let (symmetric, last) = (rotate("v1"), rotate("v1a"));
    desk.tell(&[event(1)]).await;
    let retried = rotated.until_hits(2).await;
    let mut asked = cases("the standard's", &plain.until_hits(1).await[0], &[&secret]);
    asked.extend(cases("the first try after a rotation", &retried[0], &[&second, &first]));
    asked.extend(cases("its second try", &retried[1], &[&second, &first]));
    asked.extend(cases("the origin's body", &legacy.until_hits(1).await[0], &[&of_legacy]));
    let crossed = &crossed.until_hits(1).await[0];
    asked.extend(cases("of several kinds", crossed, &[symmetric["secret"].as_str().unwrap()]));
    let public_keys = last["public_keys"].as_array().unwrap();
    assert_eq!(public_keys.len(), 2, "{last}");
    for public_key in public_keys {
        asked.extend(cases_of_v1a("ed25519", crossed, public_key.as_str().unwrap()));
    }

    let mut verifiers = vec![("crates.io", by_rust(&asked))];
    if let Ok(folder) = std::env::var(FOLDER) {
        let folder = Path::new(&folder);
        let python = folder.join("python/bin/python");
        verifiers.push(("PyPI", by_program(&python, &folder.join("verify.py"), &asked)));
        verifiers.push(("npm", by_program(Path::new("node"), &folder.join("verify.mjs"), &asked)));
    }
    for (verifier, said) in verifiers {
        assert_eq!(said.len(), asked.len(), "{verifier}");
        for (case, said) in asked.iter().zip(said) {
            assert_eq!(said, case.expected, "{verifier}: {}", case.name);
        }
        tell(&format!("{verifier}: {} requests judged as they should be", asked.len()));
    }
}
