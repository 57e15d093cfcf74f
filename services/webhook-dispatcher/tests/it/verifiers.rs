//! What is really sent, before the public verifiers of Standard Webhooks: the crate always, the libraries of Python and
//! JavaScript where `cargo xtask contracts webhooks` has installed them.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use standardwebhooks::Webhook;
use testkit::tell;

use crate::support::{Desk, Hit, Receiver, all_to, fact};

/// The folder the libraries were installed in.
const FOLDER: &str = "WEBHOOK_VERIFIERS";
const GENUINE: &str = "genuine";
const REFUSED: &str = "refused";

/// A request, whose secret a verifier is given, and what it is to say.
struct Case {
    name: String,
    secret: String,
    hit: Hit,
    expected: &'static str,
}

/// A request as it came, and what somebody could have made of it on its way.
fn cases(name: &str, hit: &Hit, secrets: &[&str]) -> Vec<Case> {
    let case = |what: &str, secret: &str, hit: Hit, expected| Case {
        name: format!("{name}, {what}"),
        secret: secret.to_owned(),
        hit,
        expected,
    };
    let changed = |header: &'static str, value: &str| {
        let mut hit = hit.clone();
        hit.headers.insert(header, value.parse().unwrap());
        hit
    };
    let signatures = hit.headers["webhook-signature"].to_str().unwrap();
    let timestamp: i64 = hit.headers["webhook-timestamp"].to_str().unwrap().parse().unwrap();
    let other_body = Hit { body: [&hit.body[..], b" "].concat(), ..hit.clone() };
    let unknown_before = changed("webhook-signature", &format!("v9,AAAA {signatures}"));
    let secret = secrets[0];
    let genuine = secrets.iter().map(|secret| case("as it came", secret, hit.clone(), GENUINE));
    let more = [
        case("beside a version nobody knows", secret, unknown_before, GENUINE),
        case("another body", secret, other_body, REFUSED),
        case("another id", secret, changed("webhook-id", "evt_1"), REFUSED),
        case("a second later", secret, changed("webhook-timestamp", &(timestamp + 1).to_string()), REFUSED),
        case("cut off", secret, changed("webhook-signature", &signatures[..20]), REFUSED),
        case("another secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", hit.clone(), REFUSED),
    ];
    genuine.chain(more).collect()
}

fn by_rust(cases: &[Case]) -> Vec<String> {
    let say = |case: &Case| {
        let verified = Webhook::new(&case.secret).unwrap().verify(&case.hit.body, &case.hit.headers);
        if verified.is_ok() { GENUINE } else { REFUSED }.to_owned()
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
        writeln!(requests, "{}", json!({ "secret": case.secret, "headers": headers, "body": body })).unwrap();
    }
    drop(requests);
    let output = running.wait_with_output().unwrap();
    assert!(output.status.success(), "{} ended with {}", program.display(), output.status);
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn public_libraries_let_pass_what_is_sent_and_nothing_else() {
    let desk = Desk::open().await;
    let (plain, rotated, legacy) = (
        Receiver::answering(200),
        Receiver::new(|n| (if n == 0 { 500 } else { 200 }, None)),
        Receiver::answering(200),
    );
    let (_, secret) = desk.subscribe(&all_to(&plain));
    let (id, first) = desk.subscribe(&json!({ "url": rotated.url, "events": ["*"], "retry_schedule": [1] }));
    let (_, answer) = desk.service.post(&format!("/webhooks/{id}/rotate-secret"), &json!({}));
    let second = answer["secret"].as_str().unwrap().to_owned();
    let style =
        json!({ "url": legacy.url, "events": ["*"], "payload_style": "legacy", "seed_signature": true });
    let (_, of_legacy) = desk.subscribe(&style);
    desk.tell(&[fact(1)]).await;
    let retried = rotated.until_hits(2).await;
    let mut asked = cases("the standard's", &plain.until_hits(1).await[0], &[&secret]);
    asked.extend(cases("the first try after a rotation", &retried[0], &[&second, &first]));
    asked.extend(cases("its second try", &retried[1], &[&second, &first]));
    asked.extend(cases("the origin's body", &legacy.until_hits(1).await[0], &[&of_legacy]));

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
