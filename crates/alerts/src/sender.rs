//! Sends notices, and retries without a time limit.

use std::time::{Duration, Instant};

use domain::{Chain, Language, QuietHours, TimeZone, backoff, catch_panic, panic_as_error};
use futures_util::future::join_all;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::message::Writer;
use crate::model::{Notice, Stage};
use crate::store::claims::{self, Claim, Delivery, Ending};
use crate::store::{notices, upkeep};
use crate::telegram::{Answer, Client, TIMEOUT, Telegram};

/// Poll interval of new notices.
const POLL: Duration = Duration::from_millis(500);
/// A chat whose sender is silent for this time is claimed by another.
const LEASE: Duration = Duration::from_mins(1);
/// How long recording the outcome of a message is retried, before another sender repeats the message.
const RECORDING: Duration = Duration::from_secs(30);
const _: () = assert!(LEASE.as_secs() >= 2 * TIMEOUT.as_secs() + RECORDING.as_secs() + 10);
/// Telegram's limits (core.telegram.org/bots/faq): a message a second to a person, twenty a minute to a group. With the
/// maximum number of chats, the limit of thirty a second in total is kept too.
const BETWEEN_TO_PERSON: Duration = Duration::from_secs(1);
const BETWEEN_TO_GROUP: Duration = Duration::from_secs(3);
/// Maximum delay while Telegram is unavailable.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(5);
/// Retry interval of a chat that rejects messages. After the bot is admitted again, the chat gets the waiting notices.
const REFUSED_WAIT: Duration = Duration::from_hours(1);
/// Interval between measurements.
const GAUGE_PERIOD: Duration = Duration::from_secs(15);

/// Recipients and format of notices.
#[derive(Debug)]
pub struct Settings {
    /// Name of the service, shown in every message.
    pub service: &'static str,
    /// The recipients. Without them alerts are only logged.
    pub telegram: Option<Telegram>,
    /// The language of the texts.
    pub language: Language,
    /// Period in which warnings wait.
    pub quiet_hours: Option<QuietHours>,
    /// The time zone of quiet hours and of times in texts.
    pub time_zone: TimeZone,
}

/// Writes notices to the log and sends them to chats. Any number of processes may run one.
pub struct Sender {
    pool: pg::Pool,
    client: Option<Client>,
    writer: Writer,
    quiet_hours: Option<QuietHours>,
}

/// One message for a claimed chat.
struct Message {
    claim: Claim,
    notices: Vec<i64>,
    text: String,
}

impl Sender {
    /// A sender of the alerts of this schema.
    ///
    /// # Errors
    /// The HTTP client cannot be created.
    pub fn new(pool: pg::Pool, settings: Settings) -> Result<Self, egress::Error> {
        let Settings { service, telegram, language, quiet_hours, time_zone } = settings;
        let writer = Writer { service, language, zone: time_zone };
        let client = telegram.map(Client::new).transpose()?;
        Ok(Self { pool, client, writer, quiet_hours })
    }

    /// Sends until `stop`. It checks for a stop between messages, because a message whose outcome is not recorded would
    /// be sent again.
    pub async fn run(self, stop: CancellationToken) {
        let (mut failures, mut gauged) = (0, None::<Instant>);
        while !stop.is_cancelled() {
            let worked = async {
                self.address().await?;
                self.deliver().await?;
                if gauged.is_none_or(|at| at.elapsed() >= GAUGE_PERIOD) {
                    self.gauge().await?;
                    gauged = Some(Instant::now());
                }
                Ok::<(), pg::Error>(())
            };
            match panic_as_error(worked).await {
                Ok(()) => failures = 0,
                Err(error) => {
                    failures += 1;
                    tracing::warn!(error = %Chain(&error), "sending alerts failed; will retry");
                }
            }
            let pause = backoff::exponential(POLL, failures.max(1), Duration::from_secs(15));
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn chats(&self) -> &[i64] {
        self.client.as_ref().map_or(&[], Client::chats)
    }

    /// Writes new notices to the log, and adds a delivery for each chat. If a process dies before the commit, another
    /// one logs the notices again.
    async fn address(&self) -> Result<(), pg::Error> {
        if !notices::is_any_unaddressed(&mut *self.pool.get().await?).await? {
            return Ok(());
        }
        self.pool
            .transaction(async |conn| {
                let now = pg::now(conn).await?;
                let found = notices::unaddressed(conn, self.writer.language, now).await?;
                found.iter().for_each(log);
                notices::address(conn, now, &found, self.chats()).await
            })
            .await
    }

    /// Sends one message to each chat with waiting deliveries.
    async fn deliver(&self) -> Result<(), pg::Error> {
        let Some(client) = &self.client else { return Ok(()) };
        let messages = self.claim(client.chats()).await?;
        join_all(messages.into_iter().map(async |message| {
            let sent = catch_panic(client.send(message.claim.chat_id, &message.text)).await;
            self.record(&message, sent.unwrap_or_else(|panic| Answer::Unknown(panic.to_string()))).await;
        }))
        .await;
        Ok(())
    }

    /// Claims chats, and records the deliveries that are about to be sent.
    async fn claim(&self, chats: &[i64]) -> Result<Vec<Message>, pg::Error> {
        self.pool
            .transaction(async |conn| {
                let now = pg::now(conn).await?;
                if let Some(end) = self.quiet_hours.and_then(|hours| hours.until(&self.writer.zone, now)) {
                    claims::hold(conn, chats, end).await?;
                }
                let mut messages = Vec::new();
                for claim in claims::claim(conn, chats, now, now + LEASE).await? {
                    let skipped = claims::skip(conn, claim.chat_id, now).await?;
                    count("skipped", skipped);
                    let waiting = claims::due(conn, self.writer.language, claim.chat_id, now).await?;
                    let (text, fitting) = self.writer.message(together(&waiting));
                    let notices: Vec<i64> = waiting.iter().take(fitting).map(|notice| notice.id).collect();
                    if notices.is_empty() {
                        let trouble = claim.trouble.as_deref();
                        let ending = ending(Delivery::Pending, now, claim.failures, trouble);
                        claims::end(conn, &claim, &[], now, &ending).await?;
                    } else {
                        claims::begin(conn, claim.chat_id, &notices).await?;
                        messages.push(Message { claim, notices, text });
                    }
                }
                Ok(messages)
            })
            .await
    }

    /// Records the outcome of a message. It retries as long as the claim lasts.
    async fn record(&self, message: &Message, answer: Answer) {
        let Message { claim, notices, .. } = message;
        log_change(message, &answer);
        let (outcome, deadline) = (outcome(&answer), Instant::now() + RECORDING);
        count(outcome, notices.len());
        loop {
            let recorded = async {
                let mut conn = self.pool.get().await?;
                let now = pg::now(&mut conn).await?;
                let ending = judge(message, &answer, now);
                claims::end(&mut conn, claim, notices, now, &ending).await
            };
            match recorded.await {
                Ok(()) => return,
                Err(error) if Instant::now() < deadline => {
                    tracing::warn!(error = %Chain(&error), outcome, "outcome of an alert could not be recorded; will retry");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                Err(error) => {
                    tracing::error!(error = %Chain(&error), outcome, "outcome of an alert was not recorded");
                    return;
                }
            }
        }
    }

    async fn gauge(&self) -> Result<(), pg::Error> {
        let mut conn = self.pool.get().await?;
        let now = pg::now(&mut conn).await?;
        let standing = upkeep::standing(&mut conn, self.chats(), now).await?;
        // The metric exists from the start, so that zero is reported.
        metrics::counter!("alert_deliveries_total", "channel" => "log", "outcome" => "sent").increment(0);
        metrics::gauge!("alerts_oldest_undelivered_age_seconds").set(standing.oldest_age);
        metrics::gauge!("alerts_open", "severity" => "warning").set(standing.warnings);
        metrics::gauge!("alerts_open", "severity" => "critical").set(standing.criticals);
        Ok(())
    }
}

/// The number of notices that one message may contain.
fn together(waiting: &[Notice]) -> &[Notice] {
    let count = waiting.iter().take_while(|notice| !notice.is_alone).count();
    waiting.get(..count.max(1)).unwrap_or_default()
}

/// The effect of an answer on the chat and its deliveries.
fn judge<'a>(message: &Message, answer: &'a Answer, now: OffsetDateTime) -> Ending<'a> {
    let claim = &message.claim;
    let between = if claim.chat_id < 0 { BETWEEN_TO_GROUP } else { BETWEEN_TO_PERSON };
    let failures = claim.failures.saturating_add(1);
    let later = || {
        let tries = u32::try_from(failures).unwrap_or(u32::MAX);
        now + backoff::exponential(FIRST_WAIT, tries, LONGEST_WAIT)
    };
    match answer {
        Answer::Sent => ending(Delivery::Sent, now + between, 0, None),
        Answer::Wait(wait) => ending(Delivery::Pending, now + *wait, 0, None),
        Answer::Unavailable(reason) => ending(Delivery::Pending, later(), failures, Some(reason)),
        // Not reset: it may have arrived, and then its clearing must be sent too.
        Answer::Unknown(reason) => ending(Delivery::Sending, later(), failures, Some(reason)),
        Answer::ChatRefused(reason) => ending(Delivery::Pending, now + REFUSED_WAIT, failures, Some(reason)),
        // One of them may be at fault.
        Answer::TextRefused(_) if message.notices.len() > 1 => {
            Ending { apart: true, ..ending(Delivery::Pending, now + between, 0, None) }
        }
        Answer::TextRefused(reason) => {
            Ending { error: Some(reason), ..ending(Delivery::Failed, now + between, 0, None) }
        }
    }
}

fn ending(
    status: Delivery,
    next_attempt_at: OffsetDateTime,
    failures: i32,
    trouble: Option<&str>,
) -> Ending<'_> {
    Ending { status, error: None, next_attempt_at, failures, trouble, apart: false }
}

/// Logs a change of a chat's state.
fn log_change(Message { claim, notices, .. }: &Message, answer: &Answer) {
    let chat_id = claim.chat_id;
    let is_new = |reason: &String| claim.trouble.as_ref() != Some(reason);
    match answer {
        Answer::Sent if claim.trouble.is_some() => tracing::info!(chat_id, "chat accepts alerts again"),
        Answer::Unavailable(reason) | Answer::Unknown(reason) if is_new(reason) => {
            tracing::warn!(chat_id, reason, "Telegram is unavailable; alerts will be retried");
        }
        Answer::ChatRefused(reason) if is_new(reason) => {
            tracing::error!(chat_id, reason, "chat rejects alerts; will retry every hour");
        }
        Answer::TextRefused(reason) if notices.len() > 1 => {
            tracing::warn!(chat_id, reason, "Telegram rejected a text; its alerts will be sent one by one");
        }
        Answer::TextRefused(reason) => {
            tracing::error!(chat_id, reason, "Telegram rejected a text; its alerts are only logged");
        }
        Answer::Sent
        | Answer::Wait(_)
        | Answer::Unavailable(_)
        | Answer::Unknown(_)
        | Answer::ChatRefused(_) => {}
    }
}

const fn outcome(answer: &Answer) -> &'static str {
    match answer {
        Answer::Sent => "sent",
        Answer::Wait(_) => "limited",
        Answer::Unavailable(_) => "unavailable",
        Answer::Unknown(_) => "unknown",
        Answer::ChatRefused(_) => "chat_refused",
        Answer::TextRefused(_) => "text_refused",
    }
}

fn count(outcome: &'static str, deliveries: usize) {
    metrics::counter!("alert_deliveries_total", "channel" => "telegram", "outcome" => outcome)
        .increment(u64::try_from(deliveries).unwrap_or(u64::MAX));
}

/// Writes a notice under the logger `alerts`.
fn log(notice: &Notice) {
    let Notice { kind, cause, times, text, .. } = notice;
    let (title, body) = (&text.title, &text.body);
    match notice.stage {
        Stage::Summary => tracing::info!(target: "alerts", kind, cause, body, "{title}"),
        Stage::Cleared => tracing::info!(target: "alerts", kind, cause, times, stage = "cleared", "{title}"),
        Stage::Raised | Stage::Escalated if notice.is_critical => {
            tracing::error!(target: "alerts", kind, cause, body, critical = true, stage = "raised", "{title}");
        }
        Stage::Raised | Stage::Escalated => {
            tracing::warn!(target: "alerts", kind, cause, body, stage = "raised", "{title}");
        }
    }
    metrics::counter!("alert_deliveries_total", "channel" => "log", "outcome" => "sent").increment(1);
}
