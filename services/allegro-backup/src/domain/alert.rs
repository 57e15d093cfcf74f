//! What people are told of.

use alerts::{Alert, Severity, Text};
use domain::{Language, TokenId};

/// Only the owner can connect an account again: until then its orders are not backed up, and stock does not follow.
#[derive(Debug)]
pub(crate) struct NeedsReauthorization<'a> {
    /// The account.
    pub(crate) token_id: TokenId,
    /// What its owner calls it.
    pub(crate) name: &'a str,
    /// Allegro's word for why.
    pub(crate) reason: &'a str,
}

impl NeedsReauthorization<'_> {
    /// The cause of an account's alert.
    pub(crate) fn cause_of(token_id: TokenId) -> String {
        format!("account_needs_reauthorization/{token_id}")
    }
}

impl Alert for NeedsReauthorization<'_> {
    fn kind(&self) -> &'static str {
        "account_needs_reauthorization"
    }

    fn cause(&self) -> String {
        Self::cause_of(self.token_id)
    }

    fn severity(&self) -> Severity {
        Severity::Critical
    }

    fn text(&self, language: Language) -> Text {
        let Self { name, reason, .. } = self;
        let (title, body) = match language {
            Language::Ru => (
                format!("Аккаунт Allegro «{name}» нужно подключить заново"),
                format!(
                    "Allegro больше не принимает его токен ({reason}). Пока владелец не подключит аккаунт, \
                     его заказы не сохраняются, и остатки не следуют за продажами."
                ),
            ),
            Language::Pl => (
                format!("Konto Allegro „{name}” trzeba połączyć ponownie"),
                format!(
                    "Allegro nie przyjmuje już jego tokenu ({reason}). Dopóki właściciel nie połączy konta, \
                     jego zamówienia nie są zapisywane, a stany nie nadążają za sprzedażą."
                ),
            ),
            Language::En => (
                format!("The Allegro account \"{name}\" must be connected again"),
                format!(
                    "Allegro no longer takes its token ({reason}). Until its owner connects the account, its orders \
                     are not backed up, and stock does not follow sales."
                ),
            ),
        };
        Text { title, body }
    }
}
