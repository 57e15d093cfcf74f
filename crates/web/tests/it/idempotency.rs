//! A repeated request has no second effect.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::web::{self as actix, Data};
use diesel::sql_types::{BigInt, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::Clock;
use pg::sealed::Keyring;
use serde::Deserialize;
use serde_json::{Value, json};
use testkit::Database;
use time::OffsetDateTime;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use web::{Answer, ApiJson, Idempotency, Idempotent, Problem};

use crate::auth::bearer;
use crate::support::App;

const TABLES: &str = concat!(include_str!("../../sql/idempotency_keys.sql"), include_str!("effects.sql"));

#[derive(Debug)]
struct Hands(Mutex<OffsetDateTime>);

impl Clock for Hands {
    fn now(&self) -> OffsetDateTime {
        *self.0.lock().unwrap()
    }
}

#[derive(Deserialize)]
struct NewThing {
    name: String,
    #[serde(default)]
    fail: bool,
}

/// While it is closed, written effects are not committed. Counts the effects that were returned after a commit.
struct Gate(watch::Sender<bool>, AtomicUsize);

/// A service whose one route inserts a row and returns a secret.
struct Bench {
    app: App,
    clock: Arc<Hands>,
    gate: Arc<Gate>,
    pool: pg::Pool,
    runtime: Runtime,
    database: Database,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

#[derive(Debug, Clone, PartialEq)]
struct Reply {
    status: u16,
    body: Value,
    is_replay: bool,
    retry_after: Option<String>,
}

async fn make(
    idempotent: Idempotent,
    gate: Data<Gate>,
    body: ApiJson<NewThing>,
) -> Result<HttpResponse, Problem> {
    let (response, effects) = idempotent
        .run_with_effects(async |conn| {
            let statement = sql_query("INSERT INTO effects VALUES ($1)").bind::<Text, _>(&body.name);
            statement.execute(conn).await.map_err(|error| Problem::database(&error.into()))?;
            gate.0.subscribe().wait_for(|open| *open).await.unwrap();
            if body.fail {
                return Err(Problem::new(&web::problem::DEPENDENCY_UNAVAILABLE));
            }
            Ok((Answer::created(&json!({ "name": body.name, "secret": uuid::Uuid::now_v7() }))?, 1))
        })
        .await?;
    gate.1.fetch_add(effects.unwrap_or_default(), Ordering::SeqCst);
    Ok(response)
}

impl Bench {
    fn open() -> Self {
        Self::open_with(Duration::from_secs(20))
    }

    fn open_with(request_timeout: Duration) -> Self {
        let runtime = Runtime::new().unwrap();
        let database = runtime.block_on(Database::create("web", TABLES));
        runtime.block_on(database.stop_clock(OffsetDateTime::UNIX_EPOCH));
        let clock = Arc::new(Hands(Mutex::new(OffsetDateTime::UNIX_EPOCH)));
        let gate = Arc::new(Gate(watch::Sender::new(true), AtomicUsize::new(0)));
        let keyring = Keyring::new([("k1".to_owned(), zeroize::Zeroizing::new([1; 32]))]).unwrap();
        let shared: Arc<dyn Clock> = clock.clone();
        let answers = Idempotency::new(database.pool(), keyring, shared);
        let (data, at_gate) = (Data::new(answers), Data::from(Arc::clone(&gate)));
        let app = App::start_with(move |server| {
            server.request_timeout(request_timeout).routes(move |config| {
                config
                    .app_data(data.clone())
                    .app_data(at_gate.clone())
                    .route("/things", actix::post().to(make))
                    .route("/others", actix::post().to(make));
            })
        });
        let pool = database.pool();
        Self { app, clock, gate, pool, runtime, database }
    }

    fn post(&self, path: &str, key: &str, body: &Value) -> Reply {
        self.post_as(&json!({ "sub": "anna" }), path, key, body)
    }

    fn post_as(&self, caller: &Value, path: &str, key: &str, body: &Value) -> Reply {
        let request = self.app.agent.post(self.app.url(path)).header("authorization", bearer(caller));
        let mut answer = request.header("idempotency-key", key).send_json(body).unwrap();
        let text = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (replayed, retry_after) = (text("idempotency-replayed"), text("retry-after"));
        let status = answer.status().as_u16();
        let body = answer.body_mut().read_json().unwrap();
        Reply { status, body, is_replay: replayed.as_deref() == Some("true"), retry_after }
    }

    fn count(&self, from: &str) -> i64 {
        let statement = format!("SELECT count(*) FROM {from}");
        let counted: Count = self
            .runtime
            .block_on(async { sql_query(statement).get_result(&mut *self.pool.get().await.unwrap()).await })
            .unwrap();
        counted.count
    }

    /// Waits until an effect was written and not committed.
    fn until_under_way(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let waiting = "pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction' \
                       AND query LIKE 'INSERT INTO effects%'";
        while self.count(waiting) == 0 {
            assert!(Instant::now() < deadline, "no effect is under way");
        }
    }
}

#[test]
fn work_that_collides_is_repeated_a_few_times() {
    let bench = Bench::open();
    let done = bench.post("/api/v1/things", "key-1", &json!({ "name": "collides twice" }));
    assert_eq!((done.status, done.is_replay), (201, false), "{}", done.body);
    assert_eq!(bench.count("effects"), 1);
    assert_eq!(bench.post("/api/v1/things", "key-1", &json!({ "name": "collides twice" })).body, done.body);
    let before = bench.count("generate_series(1, (SELECT last_value FROM tries))");
    let refused = bench.post("/api/v1/things", "key-2", &json!({ "name": "collides always" }));
    assert_eq!((refused.status, refused.retry_after.as_deref()), (503, Some("1")), "{}", refused.body);
    assert_eq!(refused.body["detail"], "other requests are changing the same data");
    assert_eq!(bench.count("generate_series(1, (SELECT last_value FROM tries))") - before, 4);
    assert_eq!(bench.count("effects"), 1);
}

#[test]
fn effects_are_returned_once_and_not_with_a_stored_answer() {
    let bench = Bench::open();
    let reported = || AtomicUsize::load(&bench.gate.1, Ordering::SeqCst);
    for _ in 0..2 {
        assert_eq!(
            bench.post("/api/v1/things", "one", &json!({ "name": "commits in the third try" })).status,
            201
        );
        assert_eq!(reported(), 1);
    }
    for body in [json!({ "name": "collides always" }), json!({ "name": "a", "fail": true })] {
        assert_eq!(bench.post("/api/v1/things", "two", &body).status, 503, "{body}");
    }
    assert_eq!(reported(), 1);
}

#[test]
fn twenty_concurrent_requests_have_one_effect() {
    let bench = Bench::open();
    let replies: Vec<Reply> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..20)
            .map(|_| scope.spawn(|| bench.post("/api/v1/things", "one", &json!({ "name": "a" }))))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(bench.count("effects"), 1);
    let mut secrets = BTreeSet::new();
    for reply in &replies {
        match reply.status {
            201 => assert!(secrets.insert(reply.body["secret"].to_string()) || secrets.len() == 1),
            409 => {
                assert_eq!(reply.body["code"], "request_running");
                assert_eq!(reply.retry_after.as_deref(), Some("1"));
            }
            other => panic!("{other}: {}", reply.body),
        }
    }
    assert_eq!(secrets.len(), 1, "one answer for all: {replies:?}");
    assert_eq!(replies.iter().filter(|reply| reply.status == 201 && !reply.is_replay).count(), 1);

    // Afterwards the answer is the first one's, which is stored sealed.
    let again = bench.post("/api/v1/things", "one", &json!({ "name": "a" }));
    assert!(again.status == 201 && again.is_replay && secrets.contains(&again.body["secret"].to_string()));
    let secret = again.body["secret"].as_str().unwrap().to_owned();
    let clear = format!("idempotency_keys WHERE position('{secret}'::bytea IN body) > 0");
    assert_eq!((bench.count("idempotency_keys"), bench.count(&clear), bench.count("effects")), (1, 0, 1));
}

#[test]
fn a_stored_answer_needs_no_lock() {
    let bench = Bench::open();
    let first = bench.post("/api/v1/things", "one", &json!({ "name": "a" }));
    let mut holder = bench.runtime.block_on(bench.pool.begin()).unwrap();
    let lock = "SELECT count(pg_advisory_xact_lock(hashtextextended(current_schema() || '.idempotency_keys.' || id, 0))) \
                FROM idempotency_keys";
    let locked: Count = bench.runtime.block_on(sql_query(lock).get_result(&mut holder)).unwrap();
    assert_eq!(locked.count, 1);
    let again = bench.post("/api/v1/things", "one", &json!({ "name": "a" }));
    assert_eq!((again.status, again.is_replay, again.body), (201, true, first.body));
    bench.runtime.block_on(holder.rollback());
}

#[test]
fn a_key_names_one_request_of_one_caller() {
    let bench = Bench::open();
    let (things, a) = ("/api/v1/things", json!({ "name": "a" }));
    let first = bench.post(things, "k", &a);
    assert_eq!((first.status, first.is_replay), (201, false));
    for (path, body) in [
        (things, json!({ "name": "b" })),
        ("/api/v1/others", a.clone()),
        ("/api/v1/things?x=1", a.clone()),
        (things, json!({ "name": "a", "fail": false })),
    ] {
        let reply = bench.post(path, "k", &body);
        assert_eq!(
            (reply.status, &reply.body["code"]),
            (422, &json!("idempotency_key_reused")),
            "{path} {body}"
        );
    }
    assert_eq!(bench.count("effects"), 1);
    // Another user of the same credential is another caller.
    for caller in
        [json!({ "sub": "bob" }), json!({ "sub": "anna", "user_id": "x" }), json!({ "sub": "annax" })]
    {
        let reply = bench.post_as(&caller, things, "k", &a);
        assert_eq!((reply.status, reply.is_replay), (201, false), "{caller}");
        assert_ne!(reply.body["secret"], first.body["secret"], "{caller}");
    }
    assert_eq!(bench.count("effects"), 4);
}

#[test]
fn without_a_key_each_request_has_its_effect() {
    let bench = Bench::open();
    for _ in 0..2 {
        let request = bench.app.agent.post(bench.app.url("/api/v1/things"));
        let request = request.header("authorization", bearer(&json!({})));
        assert_eq!(request.send_json(json!({ "name": "a" })).unwrap().status(), 201);
    }
    assert_eq!((bench.count("effects"), bench.count("idempotency_keys")), (2, 0));
    for key in ["", &"k".repeat(256), "żółw", "a\tb"] {
        let reply = bench.post("/api/v1/things", key, &json!({ "name": "a" }));
        assert_eq!((reply.status, &reply.body["code"]), (400, &json!("idempotency_key_invalid")), "{key:?}");
    }
    assert_eq!(bench.post("/api/v1/things", &"k".repeat(255), &json!({ "name": "a" })).status, 201);
}

#[test]
fn a_failure_stores_nothing_and_the_key_stays_usable() {
    let bench = Bench::open();
    for _ in 0..2 {
        let reply = bench.post("/api/v1/things", "k", &json!({ "name": "a", "fail": true }));
        assert_eq!((reply.status, reply.is_replay), (503, false));
    }
    assert_eq!((bench.count("effects"), bench.count("idempotency_keys")), (0, 0));
    assert_eq!(bench.post("/api/v1/things", "k", &json!({ "name": "a" })).status, 201);
}

#[test]
fn a_crash_leaves_neither_effect_nor_answer() {
    let bench = Bench::open();
    let body = json!({ "name": "a" });
    bench.gate.0.send_replace(false);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| bench.post("/api/v1/things", "k", &body));
        bench.until_under_way();
        let second = bench.post("/api/v1/things", "k", &body);
        assert_eq!((second.status, &second.body["code"]), (409, &json!("request_running")));
        let killed = "(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
                      AND state = 'idle in transaction') AS killed";
        assert_eq!(bench.count(killed), 1);
        bench.gate.0.send_replace(true);
        assert_eq!(first.join().unwrap().status, 503);
    });
    assert_eq!((bench.count("effects"), bench.count("idempotency_keys")), (0, 0));
    let again = bench.post("/api/v1/things", "k", &body);
    assert_eq!((again.status, again.is_replay, bench.count("effects")), (201, false, 1));
}

#[test]
fn an_abandoned_request_can_be_repeated() {
    let bench = Bench::open_with(Duration::from_millis(500));
    let body = json!({ "name": "a" });
    bench.gate.0.send_replace(false);
    let reply = bench.post("/api/v1/things", "k", &body);
    assert_eq!((reply.status, &reply.body["code"]), (503, &json!("request_timeout")));
    bench.gate.0.send_replace(true);
    let deadline = Instant::now() + Duration::from_secs(20);
    // Postgres may need a moment to notice that the connection is closed and release its lock. A slow machine may
    // exceed the limit once more.
    let mut was_given_up_again = false;
    let again = loop {
        let again = bench.post("/api/v1/things", "k", &body);
        match again.status {
            409 => {}
            503 => was_given_up_again = true,
            _ => break again,
        }
        assert!(Instant::now() < deadline, "the lock is still held");
    };
    assert_eq!((again.status, bench.count("effects")), (201, 1));
    // A request that was abandoned during its commit has had its effect: then its answer is returned.
    assert!(was_given_up_again || !again.is_replay, "the first has left an answer");
}

#[test]
fn a_key_expires_after_a_day() {
    let bench = Bench::open();
    let body = json!({ "name": "a" });
    let later = |hours| {
        let mut now = bench.clock.0.lock().unwrap();
        *now += time::Duration::hours(hours);
        bench.runtime.block_on(bench.database.set_clock(*now));
    };
    let stop = CancellationToken::new();
    let sweep = || bench.runtime.block_on(web::RETAIN_ANSWERS.once(&bench.pool, &stop)).unwrap();
    assert!(!bench.post("/api/v1/things", "k", &body).is_replay);
    bench.post("/api/v1/things", "swept", &body);
    later(23);
    assert!(bench.post("/api/v1/things", "k", &body).is_replay);
    assert_eq!(sweep(), 0);
    later(1);
    let again = bench.post("/api/v1/things", "k", &json!({ "name": "another" }));
    assert_eq!((again.status, again.is_replay), (201, false));
    assert_eq!((sweep(), bench.count("idempotency_keys")), (1, 1));
    assert!(bench.post("/api/v1/things", "k", &json!({ "name": "another" })).is_replay);
}

#[test]
fn an_answer_whose_status_cannot_be_read_is_not_given() {
    let bench = Bench::open();
    let first = bench.post("/api/v1/things", "one", &json!({ "name": "a" }));
    assert_eq!(first.status, 201, "{}", first.body);
    let pool = bench.pool.clone();
    bench.runtime.block_on(async {
        let mut conn = pool.get().await.unwrap();
        sql_query("UPDATE idempotency_keys SET status = 99").execute(&mut *conn).await.unwrap();
    });
    let again = bench.post("/api/v1/things", "one", &json!({ "name": "a" }));
    assert_eq!((again.status, again.is_replay), (500, false), "{}", again.body);
    let other = bench.post("/api/v1/things", "two", &json!({ "name": "b" }));
    assert_eq!(other.status, 201, "{}", other.body);
    assert_eq!(pg::take_corrupt_rows().len(), 1);
}
