//! Formats notices for Telegram: HTML of the Bot API, short enough for one message.

use domain::{Language, TimeZone};
use time::OffsetDateTime;

use crate::model::{Notice, Stage};

/// Telegram's limit of a message's text in UTF-16 units. Telegram does not count the markup; this crate does.
const LIMIT: usize = 4096;
/// Telegram formats the first hundred entities of a message. A notice has two.
const MOST_NOTICES: usize = 50;
/// Maximum length of a title.
const TITLE_LIMIT: usize = 300;
const BETWEEN: &str = "\n\n";

/// Formats notices.
#[derive(Debug)]
pub(crate) struct Writer {
    /// Name of the service.
    pub(crate) service: &'static str,
    /// Language of the texts.
    pub(crate) language: Language,
    /// Time zone of the times in texts.
    pub(crate) zone: TimeZone,
}

impl Writer {
    /// One message with as many of the first notices as fit, and their number: at least one, unless there are none.
    pub(crate) fn message(&self, notices: &[Notice]) -> (String, usize) {
        let (mut message, mut length, mut count) = (String::new(), 0, 0);
        for notice in notices.iter().take(MOST_NOTICES) {
            let text = self.one(notice);
            let gap = if count == 0 { "" } else { BETWEEN };
            let added = units(gap) + units(&text);
            if length + added > LIMIT {
                break;
            }
            message.push_str(gap);
            message.push_str(&text);
            (length, count) = (length + added, count + 1);
        }
        (message, count)
    }

    /// One notice, cut to the limit.
    fn one(&self, notice: &Notice) -> String {
        let mark = match notice.stage {
            Stage::Cleared => "✅",
            Stage::Summary => "📋",
            Stage::Raised | Stage::Escalated if notice.is_critical => "🚨",
            Stage::Raised | Stage::Escalated => "⚠️",
        };
        let word = self.word(notice.stage);
        let title = escaped(&notice.text.title, TITLE_LIMIT);
        let head = format!("{mark} {word}<b>{title}</b>");
        let foot = format!("\n<i>{}</i>", self.foot(notice));
        // A cleared alert needs no explanation.
        if notice.text.body.is_empty() || notice.stage == Stage::Cleared {
            return head + &foot;
        }
        let room = LIMIT - units(&head) - units(&foot) - 1;
        format!("{head}\n{}{foot}", escaped(&notice.text.body, room))
    }

    /// The service, the period, and how often the alert was raised.
    fn foot(&self, notice: &Notice) -> String {
        let mut foot = format!("{} · {}", self.service, self.moment(notice.raised_at));
        if let (Stage::Cleared, Some(end)) = (notice.stage, notice.cleared_at) {
            foot = format!("{foot} – {}", self.moment(end));
        }
        if notice.times > 1 { format!("{foot} · ×{}", notice.times) } else { foot }
    }

    fn moment(&self, at: OffsetDateTime) -> String {
        let at = self.zone.local(at);
        format!("{} {:02}:{:02}", at.date(), at.hour(), at.minute())
    }

    const fn word(&self, stage: Stage) -> &'static str {
        match (stage, self.language) {
            (Stage::Raised | Stage::Summary, _) => "",
            (Stage::Escalated, Language::Ru) => "Теперь критично: ",
            (Stage::Escalated, Language::Pl) => "Teraz krytyczne: ",
            (Stage::Escalated, Language::En) => "Now critical: ",
            (Stage::Cleared, Language::Ru) => "Устранено: ",
            (Stage::Cleared, Language::Pl) => "Rozwiązane: ",
            (Stage::Cleared, Language::En) => "Resolved: ",
        }
    }
}

/// Escapes HTML and returns at most `room` UTF-16 units, without cutting an entity or a character.
fn escaped(text: &str, room: usize) -> String {
    let (mut out, mut used) = (String::new(), 0);
    // Where to cut if the text does not fit: the last position that leaves room for the mark.
    let mut cut = 0;
    for letter in text.chars() {
        let mut own = [0; 4];
        let written = match letter {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '"' => "&quot;",
            other => other.encode_utf8(&mut own),
        };
        used += units(written);
        if used > room {
            out.truncate(cut);
            out.push('…');
            return out;
        }
        out.push_str(written);
        if used < room {
            cut = out.len();
        }
    }
    out
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use domain::Language;
    use time::macros::datetime;

    use super::{LIMIT, Writer, units};
    use crate::model::{Notice, Stage, Text};

    fn writer(language: Language) -> Writer {
        Writer { service: "stock-sync", language, zone: "Europe/Warsaw".parse().unwrap() }
    }

    fn notice(stage: Stage, title: &str, body: &str) -> Notice {
        Notice {
            id: 1,
            kind: "shortage".to_owned(),
            cause: "shortage/1".to_owned(),
            stage,
            is_critical: false,
            is_alone: false,
            text: Text { title: title.to_owned(), body: body.to_owned() },
            times: 1,
            raised_at: datetime!(2026-11-21 22:05 UTC),
            cleared_at: None,
        }
    }

    #[test]
    fn each_stage_has_its_prefix_and_markup_is_escaped() {
        let raised = notice(Stage::Raised, "Zabrakło „świec” <L>", "a < b && \"c\"\nЩука");
        assert_eq!(
            writer(Language::Pl).message(std::slice::from_ref(&raised)),
            (
                "⚠️ <b>Zabrakło „świec” &lt;L&gt;</b>\na &lt; b &amp;&amp; &quot;c&quot;\nЩука\n\
                 <i>stock-sync · 2026-11-21 23:05</i>"
                    .to_owned(),
                1
            )
        );
        let cleared = Notice {
            stage: Stage::Cleared,
            times: 3,
            cleared_at: Some(datetime!(2026-11-21 23:30 UTC)),
            ..raised.clone()
        };
        let worse = Notice { stage: Stage::Escalated, is_critical: true, ..raised };
        assert_eq!(
            writer(Language::Ru).message(&[worse, cleared]),
            (
                "🚨 Теперь критично: <b>Zabrakło „świec” &lt;L&gt;</b>\na &lt; b &amp;&amp; &quot;c&quot;\nЩука\n\
                 <i>stock-sync · 2026-11-21 23:05</i>\n\n\
                 ✅ Устранено: <b>Zabrakło „świec” &lt;L&gt;</b>\n\
                 <i>stock-sync · 2026-11-21 23:05 – 2026-11-22 00:30 · ×3</i>"
                    .to_owned(),
                2
            )
        );
    }

    #[test]
    fn a_message_never_exceeds_telegrams_limit() {
        let writer = writer(Language::En);
        // Two bytes each, one unit; four bytes each, two units; one byte that is escaped to five units.
        for letters in ["ж", "🛒", "&", "a🛒&"] {
            let long = notice(Stage::Raised, &letters.repeat(5000), &letters.repeat(5000));
            let (message, count) = writer.message(std::slice::from_ref(&long));
            assert_eq!(count, 1, "{letters}");
            let length = units(&message);
            assert!((LIMIT - 10..=LIMIT).contains(&length), "{letters}: {length}");
            assert!(message.ends_with("…\n<i>stock-sync · 2026-11-21 23:05</i>"), "{letters}");
            let entity = message.rfind('&').map(|at| message.get(at..).unwrap());
            assert!(entity.is_none_or(|text| text.starts_with("&amp;")), "{letters}: half an entity");
        }
        let short = notice(Stage::Raised, "щ", &"щ".repeat(1000));
        let (message, count) = writer.message(&vec![short; 10]);
        assert_eq!((count, message.matches("<b>").count()), (3, 3));
        let tiny = notice(Stage::Raised, "щ", "");
        assert_eq!(writer.message(&vec![tiny; 200]).1, 50);
        assert_eq!(writer.message(&[]), (String::new(), 0));
    }

    #[test]
    fn a_text_that_just_fits_is_not_cut() {
        assert_eq!(super::escaped("żółć", 4), "żółć");
        assert_eq!(super::escaped("żółć", 3), "żó…");
        assert_eq!(super::escaped("a&b", 6), "a…");
        assert_eq!(super::escaped("a&b", 7), "a&amp;b");
        assert_eq!(super::escaped("🛒🛒", 3), "🛒…");
    }
}
