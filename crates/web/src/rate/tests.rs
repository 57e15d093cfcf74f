#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use std::net::SocketAddr;

use deadpool_redis::redis::AsyncCommands;
use quota::Verdict;
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use url::Url;
use uuid::Uuid;

use super::*;

const LIMIT: RateLimit = RateLimit { per_minute: 600, burst: 100, service_per_minute: 0 };

/// A long one for a busy machine, a short one to observe the time after it.
const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(200);

fn limiter(service: &str, url: &str, timeout: Duration, rest: Duration) -> Limiter {
    Limiter::over(
        LIMIT,
        Some(Shared::new(format!("{service}:rate:"), &SecretString::from(url), timeout, rest).unwrap()),
    )
}

/// Result of one request of the caller: whether it is admitted, and the remaining requests.
async fn ask(limiter: &Limiter, name: &str) -> (bool, u32) {
    let state = limiter.count(Account::Caller("token", name)).await.unwrap();
    (state.refusal().is_none(), state.left())
}

/// Requests until one is rejected; returns the number of admitted ones.
async fn flood(limiter: &Limiter, name: &str) -> u32 {
    let mut admitted = 0;
    while ask(limiter, name).await.0 {
        admitted += 1;
    }
    admitted
}

/// A separate prefix in Redis.
fn unique() -> String {
    format!("test-{}", Uuid::now_v7())
}

#[test]
fn a_bucket_holds_the_burst_and_grows_at_the_quota() {
    let policy = Policy::new(600, 100).unwrap();
    let start = Instant::now();
    let entry = Bucket::new(start);
    for taken in 1..=100 {
        assert_eq!(entry.take_own(policy, start), Verdict::Admitted { left: 100 - taken });
    }
    let wait = Duration::from_millis(100);
    assert_eq!(entry.take_own(policy, start), Verdict::Refused { wait });
    assert_eq!(entry.take_own(policy, start + wait), Verdict::Admitted { left: 0 });
    assert!(!entry.is_idle(start + Duration::from_secs(10)));
    assert!(entry.is_idle(start + Duration::from_millis(10_100)), "full again");
    assert_eq!(Policy::new(0, 100), None, "0 is no limit");
}

#[tokio::test]
async fn replicas_share_one_limit() {
    let (service, url, started) = (unique(), testkit::redis_url(), Instant::now());
    let replicas: Vec<Arc<Limiter>> = (0..3).map(|_| Arc::new(limiter(&service, &url, LONG, LONG))).collect();
    let mut floods = JoinSet::new();
    for replica in &replicas {
        for _ in 0..4 {
            let replica = Arc::clone(replica);
            floods.spawn(async move { flood(&replica, "anna").await });
        }
    }
    let admitted: u32 = floods.join_all().await.iter().sum();
    let grown = Policy::new(600, 100).unwrap().grown(started.elapsed());
    assert!((100..=101 + grown).contains(&admitted), "{admitted} admitted, {grown} grown");
    assert_eq!(ask(&replicas[0], "bob").await, (true, 99), "another caller has a bucket of its own");
}

#[tokio::test]
async fn a_lease_serves_many_requests_and_returns_unused_tokens() {
    let (service, url) = (unique(), testkit::redis_url());
    let replica = limiter(&service, &url, LONG, LONG);
    let key = format!("{service}:rate:{}", hex(Account::Caller("token", "anna").key()));
    let redis = deadpool_redis::Config::from_url(&url);
    let redis = redis.create_pool(Some(deadpool_redis::Runtime::Tokio1)).unwrap();
    let mut redis = redis.get().await.unwrap();

    assert!(ask(&replica, "anna").await.0);
    let after_one: String = redis.get(&key).await.unwrap();
    for _ in 0..9 {
        assert!(ask(&replica, "anna").await.0);
    }
    assert_eq!(redis.get::<_, String>(&key).await.unwrap(), after_one, "a lease is ten tokens");
    ask(&replica, "anna").await;
    assert_ne!(redis.get::<_, String>(&key).await.unwrap(), after_one, "the next lease");

    let policy = Policy::new(600, 100).unwrap();
    let shared = replica.shared.as_ref().unwrap();
    let (granted, left) = shared.lease("back", policy, 0).await.unwrap();
    assert_eq!((granted, left), (10, 90));
    let (granted, left) = shared.lease("back", policy, 10).await.unwrap();
    assert_eq!((granted, left), (10, 90), "ten back, ten out");
    assert_eq!(shared.lease("back", policy, 4_000).await.unwrap(), (10, 90), "never more than the burst");
}

/// A proxy in front of Redis that can be shut down.
struct Gate {
    listener: Arc<TcpListener>,
    address: SocketAddr,
    open: AbortHandle,
}

impl Gate {
    async fn open() -> Self {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let address = listener.local_addr().unwrap();
        let open = Self::serve(Arc::clone(&listener));
        Self { listener, address, open }
    }

    fn serve(listener: Arc<TcpListener>) -> AbortHandle {
        let target = Url::parse(&testkit::redis_url()).unwrap();
        let target = format!("{}:{}", target.host_str().unwrap(), target.port().unwrap_or(6379));
        let accept = async move {
            let mut pipes = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let mut far = TcpStream::connect(&target).await.unwrap();
                pipes.spawn(async move { copy_bidirectional(&mut near, &mut far).await.map(|_| ()) });
            }
        };
        tokio::spawn(accept).abort_handle()
    }

    /// Closes all connections. New ones are accepted, but nothing answers.
    fn hang(&self) {
        self.open.abort();
    }

    fn reopen(&mut self) {
        self.open = Self::serve(Arc::clone(&self.listener));
    }

    fn url(&self) -> String {
        let mut url = Url::parse(&testkit::redis_url()).unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(self.address.port())).unwrap();
        url.to_string()
    }
}

#[tokio::test]
async fn without_redis_each_replica_counts_alone() {
    let mut gate = Gate::open().await;
    let service = unique();
    let direct = limiter(&service, &testkit::redis_url(), LONG, LONG);
    let replica = limiter(&service, &gate.url(), SHORT, SHORT);
    // The other replica has emptied the shared bucket.
    flood(&direct, "anna").await;
    testkit::eventually("Redis refuses what the other has used", async || {
        (!ask(&replica, "anna").await.0).then_some(())
    })
    .await;

    gate.hang();
    let started = Instant::now();
    let admitted = flood(&replica, "bob").await;
    let grown = Policy::new(600, 100).unwrap().grown(started.elapsed());
    assert!((100..=101 + grown).contains(&admitted), "{admitted} admitted alone, {grown} grown");

    gate.reopen();
    flood(&direct, "eve").await;
    testkit::eventually("the replica counts with the other again", async || {
        flood(&direct, "eve").await;
        (!ask(&replica, "eve").await.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_rediss_address_begins_a_tls_handshake() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("rediss://localhost:{}/0", listener.local_addr().unwrap().port());
    let replica = Arc::new(limiter(&unique(), &url, LONG, LONG));
    let asked = tokio::spawn(async move { ask(&replica, "anna").await });
    let (mut peer, _) = listener.accept().await.unwrap();
    let mut head = [0; 6];
    peer.read_exact(&mut head).await.unwrap();
    // RFC 8446 §5.1 and §4: a handshake record, which begins with the client's hello.
    assert_eq!((head[0], head[1], head[5]), (22, 3, 1), "{head:?}");
    drop(peer);
    assert!(asked.await.unwrap().0, "counted by the replica itself");
}

#[test]
fn idle_callers_are_removed_and_excess_ones_share_a_bucket() {
    let policy = Policy::new(600, 100).unwrap();
    let mut entries = Entries::default();
    let key = |number: u128| number.to_be_bytes();
    let start = Instant::now();
    for number in 1..=10_000 {
        let now = start + Duration::from_millis(10) * u32::try_from(number).unwrap();
        entries.get(key(number), now).take_own(policy, now);
    }
    assert!(entries.known.len() < 3 * MIN_SWEEP, "{} kept", entries.known.len());

    let now = start + Duration::from_mins(10);
    for number in 1..=200_000 {
        entries.get(key(number), now).take_own(policy, now);
    }
    assert!(entries.known.len() <= MAX_ENTRIES + 1, "{} kept", entries.known.len());
    let (one, other) = (entries.get(key(300_000), now), entries.get(key(300_001), now));
    assert!(Arc::ptr_eq(&one, &other));
    assert!(!Arc::ptr_eq(&one, &entries.get(key(200), now)), "a known caller keeps its own bucket");
}

#[test]
fn an_address_is_a_network_of_one_subscriber() {
    let key = |text: &str| Account::Address(Some(text.parse().unwrap())).key();
    assert_eq!(key("2001:db8:0:1::1"), key("2001:db8:0:1:ffff::2"));
    assert_ne!(key("2001:db8:0:1::1"), key("2001:db8:0:2::1"));
    assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
    assert_ne!(Account::Caller("key", "x").key(), Account::Caller("token", "x").key());
}
