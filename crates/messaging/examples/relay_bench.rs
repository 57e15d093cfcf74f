//! One round of `cargo xtask bench relay`: events of 1 KB from the outbox of one service to the inbox of another,
//! beside bare confirmed publishes of the same bodies. Prints one line of JSON, and fails when an event is missing or
//! was applied twice.
//!
//! It is part of this crate because it runs this crate's code, in release, against the servers that `xtask` starts.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that goes wrong is void")]

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use diesel::sql_types::BigInt;
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::events::{AccountConnected, Envelope, NewEvent};
use domain::topology::Subscriber;
use domain::{IdSource, TokenId, UuidV7Source};
use lapin::BasicProperties;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use messaging::{Broker, Consumer, Failure, Handler, INBOX_SQL, OUTBOX_SQL, Relay};
use testkit::{Database, Vhost};
use time::OffsetDateTime;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Maximum number of unconfirmed publishes in the bare run.
const WINDOW: usize = 1000;
/// Events per second while the delay is measured.
const STEADY_RATE: u64 = 500;
const READER: Subscriber = Subscriber { service: "reader", bindings: &["account.*"], is_in_order: false };

/// When each event was applied, and how often.
type Seen = Arc<Mutex<HashMap<Uuid, (Instant, u32)>>>;

/// A handler without effects except the inbox row.
struct Reader(Seen);

impl Handler for Reader {
    const NAME: &'static str = "reader";
    type Effect = Vec<Uuid>;

    async fn handle(&self, _conn: &mut pg::Connection, events: &[&Envelope]) -> Result<Vec<Uuid>, Failure> {
        Ok(events.iter().map(|event| event.id.as_uuid()).collect())
    }

    async fn committed(&self, ids: Vec<Uuid>) {
        let (now, mut seen) = (Instant::now(), self.0.lock().unwrap());
        for id in ids {
            seen.entry(id).or_insert((now, 0)).1 += 1;
        }
    }
}

/// Two services on their own databases, and a vhost.
struct Stage {
    teller: Database,
    pool: pg::Pool,
    reader: Database,
    vhost: Vhost,
    seen: Seen,
    stop: CancellationToken,
}

impl Stage {
    async fn new() -> Self {
        let teller = Database::create("allegro_backup", OUTBOX_SQL).await;
        let reader = Database::create("webhook_dispatcher", INBOX_SQL).await;
        let pool = teller.pool();
        Self {
            teller,
            pool,
            reader,
            vhost: Vhost::create(),
            seen: Seen::default(),
            stop: CancellationToken::new(),
        }
    }

    fn broker(&self) -> Broker {
        Broker::new(self.vhost.url(), "bench").unwrap()
    }

    fn relay(&self) -> Relay {
        Relay::new("teller", self.teller.url().clone(), self.broker()).for_subscribers(&[READER])
    }

    /// Returns when the consumer's queue is bound.
    async fn start_reader(&self) {
        let consumer = Consumer { subscriber: READER, batch: 500 };
        let reader = Reader(Arc::clone(&self.seen));
        tokio::spawn(consumer.run(self.broker(), self.reader.pool(), reader, self.stop.clone()));
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        loop {
            let channel = self.broker().channel().await.unwrap();
            let asked = channel.queue_declare("reader.events".into(), passive, FieldTable::default()).await;
            if asked.is_ok_and(|queue| queue.consumer_count() > 0) {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn until_seen(&self, count: usize) {
        while self.seen.lock().unwrap().len() < count {
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Checks that every event is in the inbox and was handled once, and that the outbox is empty.
    async fn verify(&self, count: usize) {
        let inbox = rows(&self.reader.pool(), "inbox").await;
        assert_eq!(inbox, i64::try_from(count).unwrap(), "the inbox");
        assert!(self.seen.lock().unwrap().values().all(|(_, times)| *times == 1), "an event came twice");
        while rows(&self.pool, "outbox").await > 0 {
            sleep(Duration::from_millis(10)).await;
        }
        self.stop.cancel();
    }
}

async fn push(pool: &pg::Pool, events: &[Envelope]) {
    let pushed: Result<(), pg::Error> =
        pool.transaction(async |conn| messaging::outbox::push(conn, events).await).await;
    pushed.unwrap();
}

async fn rows(pool: &pg::Pool, table: &str) -> i64 {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    let mut conn = pool.get().await.unwrap();
    sql_query(format!("SELECT count(*) FROM {table}")).get_result::<Count>(&mut *conn).await.unwrap().count
}

/// An event with an envelope of about 1 KB.
fn event() -> Envelope {
    let event = AccountConnected {
        token_id: TokenId::from(UuidV7Source.next_id()),
        user_id: "sklep-bench".to_owned(),
        allegro_seller_id: "1".to_owned(),
        allegro_login: "x".repeat(350),
        account_name: None,
        connected_at: OffsetDateTime::UNIX_EPOCH,
        generation: 1,
    };
    let new =
        NewEvent { id: UuidV7Source.next_id().into(), time: OffsetDateTime::now_utc(), correlation_id: None };
    Envelope::wrap(&event, new).unwrap()
}

/// Bare confirmed publishes per second to a quorum queue.
async fn raw(events: &[Envelope]) -> f64 {
    let vhost = Vhost::create();
    let channel = Broker::new(vhost.url(), "bench").unwrap().channel().await.unwrap();
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString(LongString::from("quorum")));
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare("raw".into(), durable, arguments).await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let bodies: Vec<Vec<u8>> = events.iter().map(|event| serde_json::to_vec(event).unwrap()).collect();
    let properties = BasicProperties::default().with_delivery_mode(2);
    let (started, mut open) = (Instant::now(), VecDeque::with_capacity(WINDOW));
    for body in &bodies {
        if open.len() == WINDOW {
            let confirm: lapin::PublisherConfirm = open.pop_front().unwrap();
            assert!(confirm.await.unwrap().is_ack());
        }
        let options = BasicPublishOptions::default();
        open.push_back(
            channel.basic_publish("".into(), "raw".into(), options, body, properties.clone()).await.unwrap(),
        );
    }
    for confirm in open {
        assert!(confirm.await.unwrap().is_ack());
    }
    let rate = per_second(events.len(), started.elapsed());
    channel.queue_delete("raw".into(), QueueDeleteOptions::default()).await.unwrap();
    rate
}

/// Events per second from a full outbox to the inbox.
async fn throughput(events: &[Envelope]) -> f64 {
    let stage = Stage::new().await;
    for some in events.chunks(1000) {
        push(&stage.pool, some).await;
    }
    stage.start_reader().await;
    let started = Instant::now();
    let relay = stage.relay();
    tokio::spawn(relay.run(stage.stop.clone()));
    stage.until_seen(events.len()).await;
    let rate = per_second(events.len(), started.elapsed());
    stage.verify(events.len()).await;
    rate
}

/// Milliseconds from a commit to the commit of the effect, sorted.
async fn delays(count: usize) -> Vec<f64> {
    let stage = Stage::new().await;
    stage.start_reader().await;
    let relay = stage.relay();
    tokio::spawn(relay.run(stage.stop.clone()));
    // All connections of the pool and the relay are opened before the measurement.
    push(&stage.pool, &[event()]).await;
    stage.until_seen(1).await;
    let mut ticks = interval(Duration::from_micros(1_000_000 / STEADY_RATE));
    let mut pushes = JoinSet::new();
    for _ in 0..count {
        ticks.tick().await;
        let (pool, event) = (stage.pool.clone(), event());
        pushes.spawn(async move {
            let id = event.id.as_uuid();
            push(&pool, &[event]).await;
            (id, Instant::now())
        });
    }
    let told = pushes.join_all().await;
    stage.until_seen(count + 1).await;
    stage.verify(count + 1).await;
    let seen = stage.seen.lock().unwrap();
    let mut delays: Vec<f64> = told
        .iter()
        .map(|(id, at)| seen.get(id).unwrap().0.saturating_duration_since(*at).as_secs_f64() * 1000.0)
        .collect();
    delays.sort_by(f64::total_cmp);
    delays
}

fn per_second(count: usize, elapsed: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap()) / elapsed.as_secs_f64()
}

#[tokio::main]
async fn main() {
    let count: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let events: Vec<Envelope> = (0..count).map(|_| event()).collect();
    let body = serde_json::to_vec(events.as_slice().first().unwrap()).unwrap().len();
    let (raw, relay) = (raw(&events).await, throughput(&events).await);
    let delays = delays(count / 10).await;
    let at = |percent: usize| delays.get(delays.len() * percent / 100).copied().unwrap();
    let figures = serde_json::json!({
        "body": body, "raw": raw, "relay": relay, "p50": at(50), "p99": at(99),
    });
    println!("{figures}");
}
