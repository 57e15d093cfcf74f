//! A service that publishes events, and one that records them.

use std::time::Duration;

use diesel::sql_types::{Array, BigInt, Text, Uuid as SqlUuid};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::events::{AccountConnected, Envelope, NewEvent};
use domain::topology::{Role, Subscriber};
use domain::{IdSource, TokenId, UuidV7Source};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Queue};
use messaging::dead::DeadLetters;
use messaging::{Broker, Consumer, Failure, Handler, INBOX_SQL, OUTBOX_SQL, Relay};
use testkit::{Database, Vhost, eventually, eventually_within};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) const NOTES: Subscriber =
    Subscriber { service: "notes", bindings: &["account.*"], is_in_order: false };

/// One schema and one vhost, with the relays and consumers that run on them. All end when the value is dropped.
pub(crate) struct Bench {
    pub(crate) vhost: Vhost,
    pub(crate) database: Database,
    pub(crate) pool: pg::Pool,
    stop: CancellationToken,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let notes = "CREATE TABLE notes (event_id uuid NOT NULL, subject text NOT NULL, seq bigserial); \
             CREATE TABLE troubles (subject text PRIMARY KEY, left_over int NOT NULL); \
             CREATE SEQUENCE tries";
        let database =
            Database::create("webhook_dispatcher", &format!("{OUTBOX_SQL}{INBOX_SQL}{notes}")).await;
        let pool = database.pool();
        Self { vhost: Vhost::create(), database, pool, stop: CancellationToken::new() }
    }

    pub(crate) fn broker(&self) -> Broker {
        Broker::new(self.vhost.url(), "test").unwrap()
    }

    pub(crate) fn relay(&self) {
        self.relay_to(&[NOTES]);
    }

    pub(crate) fn relay_to(&self, subscribers: &'static [Subscriber]) {
        let relay = Relay::new("webhook-dispatcher", self.database.url().clone(), self.broker())
            .for_subscribers(subscribers);
        tokio::spawn(relay.run(self.stop.clone()));
    }

    /// Starts a consumer and returns when it consumes. Before that its queue may not be bound.
    pub(crate) async fn consume(&self) {
        self.consume_as(NOTES).await;
    }

    pub(crate) async fn consume_as(&self, subscriber: Subscriber) {
        self.begin_to_consume(subscriber);
        let queue = Role::Main.queue_of(subscriber.service);
        self.until_queue(&queue, |queue| queue.consumer_count() > 0).await;
    }

    /// Starts a consumer.
    pub(crate) fn begin_to_consume(&self, subscriber: Subscriber) {
        self.begin_to_handle(subscriber, Notes);
    }

    /// Starts a consumer with another handler.
    pub(crate) fn begin_to_handle(&self, subscriber: Subscriber, handler: impl Handler) {
        let consumer = Consumer { subscriber, batch: 100 };
        tokio::spawn(consumer.run(self.broker(), self.pool.clone(), handler, self.stop.clone()));
    }

    pub(crate) async fn push(&self, events: &[Envelope]) {
        let pushed: Result<(), pg::Error> =
            self.pool.transaction(async |conn| messaging::outbox::push(conn, events).await).await;
        pushed.unwrap();
    }

    pub(crate) async fn run(&self, sql: &str) {
        let mut conn = self.pool.get().await.unwrap();
        sql_query(sql).execute(&mut *conn).await.unwrap();
    }

    pub(crate) async fn count(&self, from: &str) -> i64 {
        let mut conn = self.pool.get().await.unwrap();
        let counted: Count =
            sql_query(format!("SELECT count(*) FROM {from}")).get_result(&mut *conn).await.unwrap();
        counted.count
    }

    /// Stops the consumers and returns when they have ended.
    pub(crate) async fn stop_consuming(&mut self) {
        std::mem::take(&mut self.stop).cancel();
        self.until_queue("notes.events", |queue| queue.consumer_count() == 0).await;
    }

    pub(crate) fn dead(&self) -> DeadLetters {
        DeadLetters::new(self.broker(), "notes")
    }

    /// Publishes events as a relay does.
    pub(crate) async fn publish(&self, events: &[Envelope]) {
        let channel = self.broker().channel().await.unwrap();
        // An unconfirmed event is not published: RabbitMQ may drop it when the channel closes.
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let mut published = Vec::with_capacity(events.len());
        for event in events {
            let properties = BasicProperties::default()
                .with_delivery_mode(2)
                .with_message_id(event.id.to_string().into())
                .with_type(event.kind.as_str().into());
            let (body, options) = (serde_json::to_vec(event).unwrap(), BasicPublishOptions::default());
            let key = event.kind.as_str().into();
            published.push(
                channel
                    .basic_publish("zaplecze.events".into(), key, options, &body, properties)
                    .await
                    .unwrap(),
            );
        }
        for confirm in published {
            assert!(confirm.await.unwrap().is_ack());
        }
    }

    pub(crate) async fn until(&self, from: &str, wanted: i64) {
        let what = format!("{wanted} rows in {from}");
        eventually(&what, async || (self.count(from).await == wanted).then_some(())).await;
    }

    /// As `until`, with a longer limit.
    pub(crate) async fn until_within(&self, limit: Duration, from: &str, wanted: i64) {
        let what = format!("{wanted} rows in {from}");
        eventually_within(limit, &what, async || (self.count(from).await == wanted).then_some(())).await;
    }

    /// Records the time at which the next event is published, for [`Bench::until_noted_after_a_wait`].
    pub(crate) async fn begin_to_send(&self) {
        self.run("CREATE TABLE sent AS SELECT clock_timestamp() AS at").await;
    }

    /// Waits until the one published event is recorded, after it failed once and waited for five seconds.
    pub(crate) async fn until_noted_after_a_wait(&self) {
        self.until("notes", 1).await;
        assert_eq!(self.count("tries WHERE last_value = 2").await, 1, "it was tried twice");
        let waited = "inbox JOIN notes USING (event_id), sent WHERE received_at >= at + interval '5 seconds'";
        assert_eq!(self.count(waited).await, 1, "it waited in between");
    }

    pub(crate) async fn until_queue(&self, name: &str, is_reached: impl Fn(&Queue) -> bool) {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let broker = self.broker();
        eventually(name, async || {
            // A passive declaration of a missing queue closes the channel.
            let channel = broker.channel().await.ok()?;
            let queue = channel.queue_declare(name.into(), passive, FieldTable::default()).await.ok()?;
            is_reached(&queue).then_some(())
        })
        .await;
    }
}

pub(crate) fn event(subject: u128) -> Envelope {
    let event = AccountConnected {
        token_id: TokenId::from(Uuid::from_u128(subject)),
        user_id: "sklep-ząbek".to_owned(),
        allegro_seller_id: "1".to_owned(),
        allegro_login: "login".to_owned(),
        account_name: None,
        connected_at: OffsetDateTime::UNIX_EPOCH,
        generation: 1,
    };
    let new =
        NewEvent { id: UuidV7Source.next_id().into(), time: OffsetDateTime::now_utc(), correlation_id: None };
    Envelope::wrap(&event, new).unwrap()
}

/// Records each event, unless the event must fail.
pub(crate) struct Notes;

#[derive(QueryableByName)]
struct Trouble {
    #[diesel(sql_type = Text)]
    subject: String,
}

impl Handler for Notes {
    const NAME: &'static str = "notes";
    type Effect = usize;

    async fn handle(&self, conn: &mut pg::Connection, events: &[&Envelope]) -> Result<usize, Failure> {
        let subjects: Vec<&str> = events.iter().map(|event| event.subject.as_str()).collect();
        let poison: Vec<Trouble> =
            sql_query("SELECT subject FROM troubles WHERE subject = ANY($1) AND left_over < 0")
                .bind::<Array<Text>, _>(&subjects)
                .load(conn)
                .await?;
        if let [poison, ..] = poison.as_slice() {
            return Err(Failure::Reject(format!("{} is poison", poison.subject)));
        }
        // Independent of the transaction: a sequence is never rolled back.
        let trouble: Vec<Trouble> = sql_query(
            "SELECT subject FROM troubles WHERE subject = ANY($1) AND nextval('tries') <= left_over",
        )
        .bind::<Array<Text>, _>(&subjects)
        .load(conn)
        .await?;
        if !trouble.is_empty() {
            return Err(Failure::Retry("not yet".to_owned()));
        }
        let ids: Vec<Uuid> = events.iter().map(|event| event.id.as_uuid()).collect();
        sql_query("INSERT INTO notes (event_id, subject) SELECT * FROM unnest($1, $2)")
            .bind::<Array<SqlUuid>, _>(ids)
            .bind::<Array<Text>, _>(&subjects)
            .execute(conn)
            .await?;
        Ok(events.len())
    }

    async fn committed(&self, _facts: usize) {}
}
