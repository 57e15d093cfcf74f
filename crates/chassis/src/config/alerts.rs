//! Settings of alerts: recipients, language, quiet hours.

use std::collections::HashSet;

use domain::{Language, QuietHours, TimeZone};
use secrecy::SecretString;
use url::Url;

use super::reader::{Absent, Declaration, Reader};

/// Telegram limits a bot to 30 messages a second. One message a second to each of these chats stays below the limit.
const MOST_CHATS: usize = 25;

/// Where and how alerts are sent.
#[derive(Debug)]
pub struct Alerts {
    /// The recipients. Without them alerts are only logged.
    pub telegram: Option<Telegram>,
    /// The language of the texts.
    pub language: Language,
    /// When only critical alerts are sent.
    pub quiet_hours: Option<QuietHours>,
    /// The time zone of quiet hours and of times in texts.
    pub time_zone: TimeZone,
}

/// A Telegram bot and its chats.
#[derive(Debug)]
pub struct Telegram {
    /// The Bot API's address.
    pub url: Url,
    /// The bot's token.
    pub token: SecretString,
    /// Ids of people (positive), groups and channels (negative).
    pub chats: Vec<i64>,
}

impl Reader {
    /// `ALERTS_TELEGRAM_TOKEN`, `_CHATS`, `_URL`, `ALERTS_LANGUAGE`, `ALERTS_QUIET_HOURS`, `ALERTS_TIME_ZONE`.
    pub fn alerts(&mut self) -> Alerts {
        let declaration = Declaration {
            name: "ALERTS_TELEGRAM_TOKEN",
            kind: "secret".to_owned(),
            absent: Absent::Optional,
            meaning: "Token of the Telegram bot that sends alerts; without it alerts are only logged.",
            is_secret: true,
        };
        let token = self.declare(declaration, bot_token);
        let declaration = Declaration {
            name: "ALERTS_TELEGRAM_CHATS",
            kind: "id,id…".to_owned(),
            absent: Absent::Optional,
            meaning: "Ids of the chats alerts are sent to; those of groups are negative.",
            is_secret: false,
        };
        let chats = self.declare(declaration, parse_chats);
        let url = self.url("ALERTS_TELEGRAM_URL", "https://api.telegram.org", "Telegram's Bot API.");
        let language = self.parsed(
            "ALERTS_LANGUAGE",
            "ru, pl or en",
            Language::En,
            "The language alerts are written in.",
            |text| text.parse().map_err(|error: domain::NoLanguage| error.to_string()),
        );
        let declaration = Declaration {
            name: "ALERTS_QUIET_HOURS",
            kind: "HH:MM-HH:MM".to_owned(),
            absent: Absent::Optional,
            meaning: "When only critical alerts are sent; the others wait for the end.",
            is_secret: false,
        };
        let quiet_hours = self.declare(declaration, |text| {
            text.parse().map_err(|error: domain::NoQuietHours| error.to_string())
        });
        let time_zone = self.time_zone("ALERTS_TIME_ZONE", "The zone of quiet hours and of times in alerts.");
        let is_wrong = ["ALERTS_TELEGRAM_TOKEN", "ALERTS_TELEGRAM_CHATS"]
            .map(|name| self.has_mistake(name))
            .contains(&true);
        let telegram = match (token, chats) {
            (Some(token), Some(chats)) => Some(Telegram { url, token, chats }),
            (Some(_), None) if !is_wrong => {
                self.mistake("ALERTS_TELEGRAM_CHATS", "set it too: ALERTS_TELEGRAM_TOKEN is set");
                None
            }
            (None, Some(_)) if !is_wrong => {
                self.mistake("ALERTS_TELEGRAM_TOKEN", "set it too: ALERTS_TELEGRAM_CHATS is set");
                None
            }
            _ => None,
        };
        Alerts { telegram, language, quiet_hours, time_zone }
    }

    /// Time zone by its IANA name. The default is `Europe/Warsaw`.
    ///
    /// # Panics
    /// Never: the default exists in every tz database.
    pub fn time_zone(&mut self, name: &'static str, meaning: &'static str) -> TimeZone {
        let parse =
            |text: &str| text.parse::<TimeZone>().map_err(|error: domain::NoTimeZone| error.to_string());
        #[expect(clippy::expect_used, reason = "the default is in the database that is compiled in")]
        let default = parse("Europe/Warsaw").expect("a known zone");
        self.parsed(name, "IANA time zone", default, meaning, parse)
    }
}

/// The format of @BotFather: the bot's id, a colon, and letters.
fn bot_token(text: &str) -> Result<SecretString, String> {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    text.split_once(':')
        .filter(|(id, rest)| {
            !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()) && rest.len() >= 20
        })
        .filter(|(_, rest)| rest.bytes().all(is_letter))
        .map(|_fine| text.into())
        .ok_or_else(|| {
            "must be a bot's token as Telegram's @BotFather gives it: digits, a colon, letters".to_owned()
        })
}

fn parse_chats(text: &str) -> Result<Vec<i64>, String> {
    let mut known = HashSet::new();
    let chats = text.split(',').map(str::trim).map(|word| {
        let id = word.parse().ok().filter(|id| *id != 0);
        let id = id.ok_or_else(|| "must be whole numbers separated by commas".to_owned())?;
        if known.insert(id) { Ok(id) } else { Err(format!("must name each chat once, names {id} twice")) }
    });
    let chats: Vec<i64> = chats.collect::<Result<_, String>>()?;
    if chats.len() > MOST_CHATS {
        return Err(format!("must name {MOST_CHATS} chats at most"));
    }
    Ok(chats)
}
