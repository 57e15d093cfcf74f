//! A service with alerts, and chats that receive them.

use std::sync::Mutex;

use alerts::{ALERTS_SQL, Alert, Sender, Settings, Severity, Text};
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use domain::Language;
use testkit::{Database, Telegram, eventually};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const TOKEN: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";
/// Chat of a person.
pub(crate) const OWNER: i64 = 42;
/// Chat of a group.
pub(crate) const CREW: i64 = -1_001_234_567_890;

/// A schema with alerts, a Telegram, and a clock that only a test moves. It ends when the value is dropped.
pub(crate) struct Desk {
    pub(crate) telegram: Telegram,
    pub(crate) pool: pg::Pool,
    now: Mutex<OffsetDateTime>,
    database: Database,
}

/// The alerts of this service.
pub(crate) struct Shortage {
    pub(crate) sku: &'static str,
    pub(crate) severity: Severity,
}

pub(crate) const fn warning(sku: &'static str) -> Shortage {
    Shortage { sku, severity: Severity::Warning }
}

pub(crate) const fn critical(sku: &'static str) -> Shortage {
    Shortage { sku, severity: Severity::Critical }
}

impl Alert for Shortage {
    fn kind(&self) -> &'static str {
        "stock_shortage"
    }

    fn cause(&self) -> String {
        format!("stock_shortage/{}", self.sku)
    }

    fn severity(&self) -> Severity {
        self.severity
    }

    fn text(&self, language: Language) -> Text {
        let title = match language {
            Language::Ru => format!("Не хватает: {}", self.sku),
            Language::Pl => format!("Zabrakło świec: {}", self.sku),
            Language::En => format!("Out of stock: {}", self.sku),
        };
        Text { title, body: "3 < 5 & \"zażółć\"\0".to_owned() }
    }
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// One sender. It ends when the value is dropped, as a killed process does.
pub(crate) struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// Stops it gracefully.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        (&mut self.task).await.unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Desk {
    pub(crate) async fn open() -> Self {
        let database = Database::create("stock_sync", ALERTS_SQL).await;
        // Saturday at noon in Warsaw.
        let now = datetime!(2026-11-21 11:00 UTC);
        database.stop_clock(now).await;
        Self { telegram: Telegram::start(), pool: database.pool(), now: Mutex::new(now), database }
    }

    pub(crate) fn now(&self) -> OffsetDateTime {
        *self.now.lock().unwrap()
    }

    pub(crate) async fn set(&self, now: OffsetDateTime) {
        *self.now.lock().unwrap() = now;
        self.database.set_clock(now).await;
    }

    pub(crate) async fn wait(&self, time: Duration) {
        self.set(self.now() + time).await;
    }

    pub(crate) fn sender(&self, chats: &[i64]) -> Running {
        self.sender_to(&self.telegram.url(), chats, Language::Pl)
    }

    pub(crate) fn sender_to(&self, url: &str, chats: &[i64], language: Language) -> Running {
        let telegram =
            alerts::Telegram { url: url.parse().unwrap(), token: TOKEN.into(), chats: chats.to_vec() };
        let settings = Settings {
            service: "stock-sync",
            telegram: Some(telegram),
            language,
            quiet_hours: Some("22:00-07:00".parse().unwrap()),
            time_zone: "Europe/Warsaw".parse().unwrap(),
        };
        let sender = Sender::new(self.pool.clone(), settings).unwrap();
        let stop = CancellationToken::new();
        Running { stop: stop.clone(), task: tokio::spawn(sender.run(stop)) }
    }

    /// Raises an alert in its own transaction. Returns whether a notice will be sent.
    pub(crate) async fn raise(&self, alert: Shortage) -> bool {
        let now = self.now();
        let raised: Result<bool, pg::Error> =
            self.pool.transaction(async |conn| alerts::raise(conn, now, &alert).await).await;
        raised.unwrap()
    }

    /// Raises all in one transaction: a sender finds all of them or none.
    pub(crate) async fn raise_together(&self, shortages: &[Shortage]) {
        let now = self.now();
        let raised: Result<(), pg::Error> = self
            .pool
            .transaction(async |conn| {
                for alert in shortages {
                    alerts::raise(conn, now, alert).await?;
                }
                Ok(())
            })
            .await;
        raised.unwrap();
    }

    pub(crate) async fn clear(&self, sku: &str) -> bool {
        let mut conn = self.pool.get().await.unwrap();
        alerts::clear(&mut conn, self.now(), &format!("stock_shortage/{sku}")).await.unwrap()
    }

    /// Updates rows.
    pub(crate) async fn run(&self, sql: &str) {
        sql_query(sql).execute(&mut *self.pool.get().await.unwrap()).await.unwrap();
    }

    pub(crate) async fn count(&self, from: &str) -> i64 {
        let mut conn = self.pool.get().await.unwrap();
        let counted: Count =
            sql_query(format!("SELECT count(*) FROM {from}")).get_result(&mut *conn).await.unwrap();
        counted.count
    }

    pub(crate) async fn until(&self, from: &str, wanted: i64) {
        eventually(&format!("{wanted} rows in {from}"), async || {
            (self.count(from).await == wanted).then_some(())
        })
        .await;
    }

    /// Waits until this number of messages is in a chat, and returns them.
    pub(crate) async fn texts(&self, chat_id: i64, wanted: usize) -> Vec<String> {
        eventually(&format!("{wanted} messages in {chat_id}"), async || {
            let texts = self.telegram.texts(chat_id);
            (texts.len() >= wanted).then_some(texts)
        })
        .await
    }

    /// Waits until Telegram gets another request.
    pub(crate) async fn until_asked_more_than(&self, before: usize) {
        eventually("another request", async || (self.telegram.posts().len() > before).then_some(())).await;
    }

    /// Waits until all due notices are sent and their outcomes are recorded.
    pub(crate) async fn until_settled(&self) {
        self.until("alert_notices WHERE addressed_at IS NULL", 0).await;
        self.until("alert_deliveries WHERE status IN ('pending', 'sending')", 0).await;
    }
}
