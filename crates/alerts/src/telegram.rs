//! Telegram's Bot API (core.telegram.org/bots/api): sends a message and classifies the answer.

use std::time::Duration;

use domain::Chain;
use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use url::Url;

/// Time limit of a request. A request that exceeds it may have arrived.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum length of a description. A proxy may return a page of HTML instead.
const DESCRIPTION_LETTERS: usize = 200;
/// Upper limit of `retry_after`. Telegram has asked for hours, never for days.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// A Telegram bot and its chats.
#[derive(Debug)]
pub struct Telegram {
    /// The Bot API's address: `https://api.telegram.org`.
    pub url: Url,
    /// The bot's token. Part of every request's address, which is therefore never shown.
    pub token: SecretString,
    /// Ids of people (positive), groups and channels (negative).
    pub chats: Vec<i64>,
}

/// The outcome of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The message is in the chat.
    Sent,
    /// Telegram asks for a delay.
    Wait(Duration),
    /// The message has not arrived: Telegram is unavailable, or rejects the token.
    Unavailable(String),
    /// The message may have arrived.
    Unknown(String),
    /// The chat rejects all messages: it was deleted, or has blocked the bot.
    ChatRefused(String),
    /// Every chat rejects this text.
    TextRefused(String),
}

/// Client of the Bot API.
pub(crate) struct Client {
    http: reqwest::Client,
    telegram: Telegram,
}

#[derive(Deserialize)]
struct Reply {
    ok: bool,
    #[serde(default)]
    description: String,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Deserialize, Default)]
struct Parameters {
    retry_after: Option<u64>,
    migrate_to_chat_id: Option<i64>,
}

impl Client {
    pub(crate) fn new(telegram: Telegram) -> Result<Self, egress::Error> {
        let http = egress::client(&egress::Settings {
            user_agent: concat!("Zaplecze/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: Duration::from_secs(5),
            timeout: TIMEOUT,
        })?;
        Ok(Self { http, telegram })
    }

    /// The recipients.
    pub(crate) fn chats(&self) -> &[i64] {
        &self.telegram.chats
    }

    /// Sends HTML to a chat. If the group was upgraded, sends it to the new chat id.
    pub(crate) async fn send(&self, chat_id: i64, html: &str) -> Answer {
        match self.post(chat_id, html).await {
            Ok((StatusCode::BAD_REQUEST, Some(Reply { parameters, .. })))
                if parameters.migrate_to_chat_id.is_some() =>
            {
                let moved_to = parameters.migrate_to_chat_id.unwrap_or(chat_id);
                tracing::warn!(chat_id, moved_to, "group has a new id: set it in ALERTS_TELEGRAM_CHATS");
                self.post(moved_to, html).await.map_or_else(|answer| answer, |reply| self.meaning(reply))
            }
            Ok(reply) => self.meaning(reply),
            Err(answer) => answer,
        }
    }

    /// The status and, if Telegram sent the answer, its body.
    async fn post(&self, chat_id: i64, html: &str) -> Result<(StatusCode, Option<Reply>), Answer> {
        let mut url = self.telegram.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty()
                .push(&format!("bot{}", self.telegram.token.expose_secret()))
                .push("sendMessage");
        }
        let message = json!({
            "chat_id": chat_id,
            "text": html,
            "parse_mode": "HTML",
            "link_preview_options": { "is_disabled": true },
        });
        let response = self.http.post(url).json(&message).send().await.map_err(|error| {
            let is_unsent = error.is_connect();
            let reason = self.shown(error);
            if is_unsent { Answer::Unavailable(reason) } else { Answer::Unknown(reason) }
        })?;
        let status = response.status();
        let body = response.bytes().await.map_err(|error| Answer::Unknown(self.shown(error)))?;
        Ok((status, serde_json::from_slice(&body).ok()))
    }

    fn meaning(&self, (status, reply): (StatusCode, Option<Reply>)) -> Answer {
        let Some(Reply { ok, description, parameters }) = reply else {
            return Answer::Unavailable(format!("{status}, not an answer of Telegram"));
        };
        let reason = self.clean(&description);
        match status {
            _ if ok && status.is_success() => Answer::Sent,
            StatusCode::TOO_MANY_REQUESTS => match parameters.retry_after {
                Some(seconds) => Answer::Wait(Duration::from_secs(seconds.max(1)).min(LONGEST_WAIT)),
                None => Answer::Unavailable(reason),
            },
            StatusCode::BAD_REQUEST if is_about_text(&reason) => Answer::TextRefused(reason),
            StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN => Answer::ChatRefused(reason),
            // 401 and 404: the token is wrong or was revoked, which affects every chat.
            _ => Answer::Unavailable(format!("{status}: {reason}")),
        }
    }

    /// An error without the address, which contains the token.
    fn shown(&self, error: reqwest::Error) -> String {
        self.clean(&Chain(&error.without_url()).to_string())
    }

    /// Removes the token, which a proxy may have repeated in its answer.
    fn clean(&self, text: &str) -> String {
        let token = self.telegram.token.expose_secret();
        let clean = text.replace(token, "‹redacted›").replace('\0', "");
        clean.chars().take(DESCRIPTION_LETTERS).collect()
    }
}

/// Telegram describes errors by text only. Those about the message begin with these words. All others concern the chat
/// ("chat not found", "not enough rights to send text messages to the chat", "PEER_ID_INVALID").
fn is_about_text(reason: &str) -> bool {
    ["can't parse", "message is", "message text", "text must be"]
        .iter()
        .any(|beginning| reason.trim_start_matches("Bad Request: ").starts_with(beginning))
}
