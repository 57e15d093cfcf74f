//! Sends what is to be said, for as long as it takes.

use std::time::{Duration, Instant};

use domain::{Chain, Language, QuietHours, TimeZone, backoff, catch_panic, panic_as_error};
use futures_util::future::join_all;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::message::Writer;
use crate::model::{Notice, Stage};
use crate::store::claims::{self, Claim, Ending};
use crate::store::{notices, upkeep};
use crate::telegram::{Answer, Client, TIMEOUT, Telegram};

/// How often something to say is looked for.
const POLL: Duration = Duration::from_millis(500);
/// A chat whose sender was silent for so long is another's.
const LEASE: Duration = Duration::from_mins(1);
/// How long writing down what was sent is tried, before another sends it again.
const RECORDING: Duration = Duration::from_secs(30);
const _: () = assert!(LEASE.as_secs() >= 2 * TIMEOUT.as_secs() + RECORDING.as_secs() + 10);
/// Telegram's limits (core.telegram.org/bots/faq): a message a second to a person, twenty a minute to a group. With
/// the number of chats there may be, the limit of thirty a second to all is kept too.
const BETWEEN_TO_PERSON: Duration = Duration::from_secs(1);
const BETWEEN_TO_GROUP: Duration = Duration::from_secs(3);
/// Waiting while Telegram is away.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(5);
/// How often a chat that refuses is tried: whoever lets the bot in again gets what has waited.
const REFUSED_WAIT: Duration = Duration::from_hours(1);
/// How often the figures are counted.
const GAUGE_PERIOD: Duration = Duration::from_secs(15);

/// Whom to tell, and how.
#[derive(Debug)]
pub struct Settings {
    /// Who tells: the service's name, below every message.
    pub service: &'static str,
    /// Where to; without it alerts stand in the log only.
    pub telegram: Option<Telegram>,
    /// The language of the texts.
    pub language: Language,
    /// When warnings wait.
    pub quiet_hours: Option<QuietHours>,
    /// The zone of quiet hours and of times in texts.
    pub time_zone: TimeZone,
}

/// Writes notices to the log and sends them to chats. Any number of processes may run one.
pub struct Sender {
    pool: pg::Pool,
    client: Option<Client>,
    writer: Writer,
    quiet_hours: Option<QuietHours>,
}

/// One message on its way to a claimed chat.
struct Message {
    claim: Claim,
    notices: Vec<i64>,
    text: String,
}

impl Sender {
    /// A sender of what the schema's alerts have to say.
    ///
    /// # Errors
    /// When there can be no HTTP client.
    pub fn new(pool: pg::Pool, settings: Settings) -> Result<Self, egress::Error> {
        let Settings { service, telegram, language, quiet_hours, time_zone } = settings;
        let writer = Writer { service, language, zone: time_zone };
        let client = telegram.map(Client::new).transpose()?;
        Ok(Self { pool, client, writer, quiet_hours })
    }

    /// Works until `stop`. A stop is heard between messages: what was sent and not yet written down would be sent
    /// again.
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
                    tracing::warn!(error = %Chain(&error), "sending alerts was interrupted; they wait");
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

    /// Writes new notices to the log, and puts them on their way to the chats there are. A process that dies before
    /// the commit leaves a line that another writes again.
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

    /// Sends one message to each chat that something waits for.
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

    /// Claims chats, and writes down what is about to be sent to each.
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
                        let ending = ending("pending", now, claim.failures, trouble);
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

    /// Writes down what came of a message, trying for as long as the chat is ours.
    async fn record(&self, message: &Message, answer: Answer) {
        let Message { claim, notices, .. } = message;
        tell_of_trouble(message, &answer);
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
                    tracing::warn!(error = %Chain(&error), outcome, "what came of an alert waits to be written down");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                Err(error) => {
                    tracing::error!(error = %Chain(&error), outcome, "what came of an alert was not written down");
                    return;
                }
            }
        }
    }

    async fn gauge(&self) -> Result<(), pg::Error> {
        let mut conn = self.pool.get().await?;
        let now = pg::now(&mut conn).await?;
        let standing = upkeep::standing(&mut conn, self.chats(), now).await?;
        // Counters are there before they count.
        metrics::counter!("alert_deliveries_total", "channel" => "log", "outcome" => "sent").increment(0);
        metrics::gauge!("alerts_oldest_undelivered_age_seconds").set(standing.oldest_age);
        metrics::gauge!("alerts_open", "severity" => "warning").set(standing.warnings);
        metrics::gauge!("alerts_open", "severity" => "critical").set(standing.criticals);
        Ok(())
    }
}

/// The first notices that may stand in one message.
fn together(waiting: &[Notice]) -> &[Notice] {
    let count = waiting.iter().take_while(|notice| !notice.is_alone).count();
    waiting.get(..count.max(1)).unwrap_or_default()
}

/// What an answer means for the chat and for what was sent to it.
fn judge<'a>(message: &Message, answer: &'a Answer, now: OffsetDateTime) -> Ending<'a> {
    let claim = &message.claim;
    let between = if claim.chat_id < 0 { BETWEEN_TO_GROUP } else { BETWEEN_TO_PERSON };
    let failures = claim.failures.saturating_add(1);
    let later = || {
        let tries = u32::try_from(failures).unwrap_or(u32::MAX);
        now + backoff::exponential(FIRST_WAIT, tries, LONGEST_WAIT)
    };
    match answer {
        Answer::Sent => ending("sent", now + between, 0, None),
        Answer::Wait(wait) => ending("pending", now + *wait, 0, None),
        Answer::Unavailable(reason) => ending("pending", later(), failures, Some(reason)),
        // Not put back: it may have arrived, and then its end must be told too.
        Answer::Unknown(reason) => ending("sending", later(), failures, Some(reason)),
        Answer::ChatRefused(reason) => ending("pending", now + REFUSED_WAIT, failures, Some(reason)),
        // One of them may be at fault, and the others are not.
        Answer::TextRefused(_) if message.notices.len() > 1 => {
            Ending { apart: true, ..ending("pending", now + between, 0, None) }
        }
        Answer::TextRefused(reason) => {
            Ending { error: Some(reason), ..ending("failed", now + between, 0, None) }
        }
    }
}

fn ending<'a>(
    status: &'static str,
    next_attempt_at: OffsetDateTime,
    failures: i32,
    trouble: Option<&'a str>,
) -> Ending<'a> {
    Ending { status, error: None, next_attempt_at, failures, trouble, apart: false }
}

/// Each trouble of a chat is told when it begins, and its end.
fn tell_of_trouble(Message { claim, notices, .. }: &Message, answer: &Answer) {
    let chat_id = claim.chat_id;
    let is_new = |reason: &String| claim.trouble.as_ref() != Some(reason);
    match answer {
        Answer::Sent if claim.trouble.is_some() => tracing::info!(chat_id, "the chat gets its alerts again"),
        Answer::Unavailable(reason) | Answer::Unknown(reason) if is_new(reason) => {
            tracing::warn!(chat_id, reason, "Telegram cannot be reached; alerts wait");
        }
        Answer::ChatRefused(reason) if is_new(reason) => {
            tracing::error!(chat_id, reason, "the chat refuses alerts; it is tried again every hour");
        }
        Answer::TextRefused(reason) if notices.len() > 1 => {
            tracing::warn!(
                chat_id,
                reason,
                "Telegram takes no such text; each of its alerts is sent by itself"
            );
        }
        Answer::TextRefused(reason) => {
            tracing::error!(
                chat_id,
                reason,
                "Telegram takes no such text; these alerts stand in the log only"
            );
        }
        _ => {}
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

/// A line of the logger `alerts`.
fn log(notice: &Notice) {
    let Notice { kind, cause, times, text, .. } = notice;
    let (title, body) = (&text.title, &text.body);
    match notice.stage {
        Stage::Told => tracing::info!(target: "alerts", kind, cause, body, "{title}"),
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
