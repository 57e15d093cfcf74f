//! Telegram's Bot API (core.telegram.org/bots/api): sending one message, and what the answers mean.

use std::time::Duration;

use domain::Chain;
use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use url::Url;

/// A request that takes longer may or may not have arrived.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);
/// Descriptions are for people; a page of HTML is not.
const DESCRIPTION_LETTERS: usize = 200;
/// Telegram has asked for hours, never for days.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// A bot of Telegram and those it writes to.
#[derive(Debug)]
pub struct Telegram {
    /// The Bot API's address: `https://api.telegram.org`.
    pub url: Url,
    /// The bot's token. Part of every request's address, which is therefore never shown.
    pub token: SecretString,
    /// Ids of people (positive), groups and channels (negative).
    pub chats: Vec<i64>,
}

/// What came of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is in the chat.
    Sent,
    /// Not now: Telegram says when.
    Wait(Duration),
    /// It has not arrived: Telegram is away, or does not know the bot.
    Unavailable(String),
    /// It may have arrived.
    Unknown(String),
    /// This chat does not take messages of ours: it is gone, or has blocked the bot.
    ChatRefused(String),
    /// No chat takes this text.
    TextRefused(String),
}

/// Sends messages.
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

    /// Those to write to.
    pub(crate) fn chats(&self) -> &[i64] {
        &self.telegram.chats
    }

    /// Sends HTML to a chat; to the one it became when Telegram says that the group was upgraded.
    pub(crate) async fn send(&self, chat_id: i64, html: &str) -> Answer {
        match self.post(chat_id, html).await {
            Ok((StatusCode::BAD_REQUEST, Some(Reply { parameters, .. })))
                if parameters.migrate_to_chat_id.is_some() =>
            {
                let moved_to = parameters.migrate_to_chat_id.unwrap_or(chat_id);
                tracing::warn!(
                    chat_id,
                    moved_to,
                    "the group has a new id: put it into ALERTS_TELEGRAM_CHATS"
                );
                self.post(moved_to, html).await.map_or_else(|answer| answer, |reply| self.meaning(reply))
            }
            Ok(reply) => self.meaning(reply),
            Err(answer) => answer,
        }
    }

    /// The status and, where it is Telegram's, the answer's body.
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
            return Answer::Unavailable(format!("{status}, and not in Telegram's words"));
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
            // 401 and 404: the token is wrong or was revoked, for every chat.
            _ => Answer::Unavailable(format!("{status}: {reason}")),
        }
    }

    /// An error without the address, which holds the token.
    fn shown(&self, error: reqwest::Error) -> String {
        self.clean(&Chain(&error.without_url()).to_string())
    }

    /// Without the token, should somebody in between have echoed the address.
    fn clean(&self, text: &str) -> String {
        let token = self.telegram.token.expose_secret();
        let clean = text.replace(token, "‹redacted›").replace('\0', "");
        clean.chars().take(DESCRIPTION_LETTERS).collect()
    }
}

/// Telegram tells what is wrong in words only. Those about the text begin so; all others are about the chat ("chat not
/// found", "not enough rights to send text messages to the chat", "PEER_ID_INVALID").
fn is_about_text(reason: &str) -> bool {
    ["can't parse", "message is", "message text", "text must be"]
        .iter()
        .any(|beginning| reason.trim_start_matches("Bad Request: ").starts_with(beginning))
}
