//! Encryption keys are rotated while the service works.

use std::process::{Command, Output};

use diesel::sql_query;
use diesel::sql_types::{Bytea, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use pg::SealedTable;
use pg::sealed::Keyring;
use secrecy::ExposeSecret;
use serde_json::json;
use standardwebhooks::Webhook;
use testkit::{Program, eventually_within};
use uuid::Uuid;

use crate::support::{BINARY, Desk, LOCAL, PATIENCE, Receiver, all_to, event};

pub(crate) const OLD: &str = "old:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
pub(crate) const NEW: &str = "new:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";
const SECRETS: SealedTable = SealedTable { table: "webhook_credentials", columns: &["secret"] };

pub(crate) fn with(keys: &str) -> Vec<(&str, &str)> {
    [&LOCAL[..], &[("ENCRYPTION_KEYS", keys)]].concat()
}

fn rotate(desk: &Desk, keys: &str) -> Output {
    Command::new(BINARY)
        .arg("rotate-keys")
        .env_clear()
        .env("DATABASE_URL", desk.database.url().expose_secret())
        .env("AMQP_URL", desk.vhost.url().expose_secret())
        .env("LOG_LEVEL", "error")
        .env("ENCRYPTION_KEYS", keys)
        .output()
        .unwrap()
}

/// A rolling restart of one replica: the new process first.
pub(crate) fn replace(desk: &mut Desk, keys: &str) {
    let new = desk.service.replica_with(&with(keys));
    let mut old = std::mem::replace(&mut desk.service, new);
    old.terminate();
    assert_eq!(old.until_ended().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_through_rolling_restarts() {
    let mut desk = Desk::open_with(&with(OLD)).await;
    let receiver = Receiver::answering(204);
    let (_, secret) = desk.subscribe(&all_to(&receiver));
    let (behind, front) = (format!("{OLD},{NEW}"), format!("{NEW},{OLD}"));
    let output = rotate(&desk, &front);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("do not have the key \"new\"") && text.contains("(old)"), "{text}");

    replace(&mut desk, &behind);
    replace(&mut desk, &front);
    let rotated = || String::from_utf8(rotate(&desk, &front).stdout).unwrap();
    assert_eq!(rotated(), "all rows under key \"new\": 2 values sealed anew\n");
    assert_eq!(rotated(), "all rows under key \"new\": 0 values sealed anew\n");

    replace(&mut desk, NEW);
    desk.tell(&[event(1)]).await;
    let hits = receiver.until_hits(1).await;
    Webhook::new(&secret).unwrap().verify(&hits[0].body, &hits[0].headers).unwrap();
}

fn readiness(program: &Program) -> (u16, String) {
    let answer = program.request("GET", "/readyz", &[], &[]).unwrap();
    (answer.status, String::from_utf8(answer.body).unwrap())
}

/// A rotation in the wrong order: the new key seals before every process has it.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_without_a_key_in_use_blocks_no_other() {
    let desk = Desk::open_with(&with(OLD)).await;
    let receiver = Receiver::answering(204);
    desk.subscribe(&all_to(&receiver));
    let good = desk.service.replica_with(&with(&format!("{NEW},{OLD}")));
    eventually_within(PATIENCE, "/readyz to name the missing key", async || {
        let (status, text) = readiness(&desk.service);
        (status == 503 && text.contains("encryption_key_missing") && text.contains("new")).then_some(())
    })
    .await;
    assert_eq!(readiness(&good).0, 200);

    // A subscription whose secret only the other replica can open.
    let (status, made) = good.post("/webhooks", &all_to(&receiver));
    assert_eq!(status, 201, "{made}");
    let id = made["id"].as_str().unwrap();
    let bearer = format!("Bearer {}", desk.service.token);
    let path = format!("/api/v1/webhooks/{id}");
    let answer = desk.service.request("GET", &path, &[("Authorization", &bearer)], &[]).unwrap();
    let problem = answer.json();
    assert_eq!((answer.status, &problem["code"]), (503, &json!("encryption_key_missing")), "{problem}");
    assert!(!answer.header("retry-after").is_empty());

    desk.tell(&(0..100).map(event).collect::<Vec<_>>()).await;
    // The replica without the key may claim a delivery several times, and releases it each time.
    desk.until_within(PATIENCE, "webhook_deliveries WHERE status = 'success' AND attempts = 1", 200).await;
    for program in [&desk.service, &good] {
        assert!(program.metrics().contains("\nwebhook_leases_ended_total 0\n"), "no lease ended by itself");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_waits_for_a_missing_key() {
    let desk = Desk::open_with(&with(OLD)).await;
    let receiver = Receiver::answering(204);
    let (id, _) = desk.subscribe(&all_to(&receiver));
    let (other, secret) = desk.subscribe(&all_to(&receiver));
    let row: Uuid = id.parse().unwrap();
    let keyring = |id: &str, byte| Keyring::new([(id.to_owned(), [byte; 32].into())]).unwrap();
    let place = SECRETS.place("secret", row);
    let sealed = sealed(&desk, row).await;
    let opened = keyring("old", 1).open(&place, &sealed).unwrap();
    put(&desk, row, &keyring("lost", 7).seal(&place, &opened).unwrap()).await;

    desk.tell(&[event(1)]).await;
    let waiting = format!("webhook_deliveries WHERE subscription_id = '{id}'");
    let named =
        format!("{waiting} AND status = 'pending' AND attempts = 0 AND error_message LIKE '%\"lost\"%'");
    desk.until(&named, 1).await;
    desk.until(&format!("webhook_deliveries WHERE subscription_id = '{other}' AND status = 'success'"), 1)
        .await;
    assert_eq!(readiness(&desk.service).0, 200, "the service stays ready");
    assert_eq!(desk.count("delivery_attempts").await, 1, "the other's");
    let health = format!("webhook_subscriptions WHERE id = '{id}' AND consecutive_failures = 0");
    assert_eq!(desk.count(&health).await, 1);

    put(&desk, row, &sealed).await;
    desk.until(&format!("{waiting} AND status = 'success' AND attempts = 1"), 1).await;
    let hits = receiver.until_hits(2).await;
    let verify = Webhook::new(&secret).unwrap();
    assert!(hits.iter().any(|hit| verify.verify(&hit.body, &hit.headers).is_ok()));
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_to_an_unreadable_endpoint_are_released() {
    let desk = Desk::open_with(&with(OLD)).await;
    let receiver = Receiver::answering(204);
    let (id, _) = desk.subscribe(&json!({ "url": receiver.url, "events": ["*"], "timeout_seconds": 30 }));
    let row: Uuid = id.parse().unwrap();
    let sealed = sealed(&desk, row).await;
    let unreadable = [&sealed[..sealed.len() - 1], &[sealed[sealed.len() - 1] ^ 1]].concat();
    put(&desk, row, &unreadable).await;
    desk.tell(&[event(1)]).await;
    eventually_within(PATIENCE, "a third claim", async || {
        (desk.count("webhook_deliveries WHERE claim > 2 AND attempts = 0").await == 1).then_some(())
    })
    .await;
    put(&desk, row, &sealed).await;
    desk.until_within(PATIENCE, "webhook_deliveries WHERE status = 'success' AND attempts = 1", 1).await;
    assert_eq!(desk.metric("webhook_leases_ended_total").as_deref(), Some("0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn released_half_open_try_ends_the_wait_of_its_circuit() {
    let desk = Desk::open_with(&with(OLD)).await;
    let receiver = Receiver::answering(204);
    let (id, _) = desk.subscribe(&json!({ "url": receiver.url, "events": ["*"], "timeout_seconds": 30 }));
    let row: Uuid = id.parse().unwrap();
    let keyring = |id: &str, byte| Keyring::new([(id.to_owned(), [byte; 32].into())]).unwrap();
    let place = SECRETS.place("secret", row);
    let opened = keyring("old", 1).open(&place, &sealed(&desk, row).await).unwrap();
    put(&desk, row, &keyring("lost", 7).seal(&place, &opened).unwrap()).await;
    sql_query(
        "UPDATE webhook_subscriptions SET circuit_state = 'open', circuit_openings = 2, circuit_until = now()",
    )
    .execute(&mut *desk.pool.get().await.unwrap())
    .await
    .unwrap();
    desk.tell(&[event(1)]).await;
    let released = "webhook_deliveries d JOIN webhook_subscriptions s ON s.id = d.subscription_id \
                    WHERE d.status = 'pending' AND d.attempts = 0 AND d.claim > 0 \
                        AND s.circuit_state = 'half_open' AND s.circuit_until <= d.updated_at";
    desk.until(released, 1).await;
}

#[derive(diesel::QueryableByName)]
struct Secret {
    #[diesel(sql_type = Bytea)]
    secret: Vec<u8>,
}

async fn sealed(desk: &Desk, row: Uuid) -> Vec<u8> {
    let mut conn = desk.pool.get().await.unwrap();
    let found: Secret = sql_query("SELECT secret FROM webhook_credentials WHERE id = $1")
        .bind::<SqlUuid, _>(row)
        .get_result(&mut *conn)
        .await
        .unwrap();
    found.secret
}

async fn put(desk: &Desk, row: Uuid, secret: &[u8]) {
    sql_query("UPDATE webhook_credentials SET secret = $2 WHERE id = $1")
        .bind::<SqlUuid, _>(row)
        .bind::<Bytea, _>(secret)
        .execute(&mut *desk.pool.get().await.unwrap())
        .await
        .unwrap();
}
