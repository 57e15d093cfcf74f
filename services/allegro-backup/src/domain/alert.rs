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

/// Orders of an account are quarantined: they are not stored, and stock does not follow them.
#[derive(Debug)]
pub(crate) struct OrdersQuarantined<'a> {
    /// The account.
    pub(crate) token_id: TokenId,
    /// Its name.
    pub(crate) name: &'a str,
    /// How many orders.
    pub(crate) orders: i64,
}

impl Alert for OrdersQuarantined<'_> {
    fn kind(&self) -> &'static str {
        "orders_quarantined"
    }

    fn cause(&self) -> String {
        format!("orders_quarantined/{}", self.token_id)
    }

    fn severity(&self) -> Severity {
        Severity::Warning
    }

    fn text(&self, language: Language) -> Text {
        let Self { name, orders, .. } = self;
        let (title, body) = match language {
            Language::Ru => (
                format!("Аккаунт Allegro «{name}»: заказов в карантине: {orders}"),
                "Их не удаётся прочитать. Они не сохранены, и остатки за ними не следуют. Чтение повторяется. \
                 Причины: GET /api/v1/orders/{user_id}/quarantine."
                    .to_owned(),
            ),
            Language::Pl => (
                format!("Konto Allegro „{name}”: zamówień w kwarantannie: {orders}"),
                "Nie udaje się ich odczytać. Nie są zapisane, a stany za nimi nie nadążają. Odczyt jest powtarzany. \
                 Przyczyny: GET /api/v1/orders/{user_id}/quarantine."
                    .to_owned(),
            ),
            Language::En => (
                format!("Allegro account \"{name}\": quarantined orders: {orders}"),
                "They cannot be read. They are not stored, and stock does not follow them. Reading them is retried. \
                 Reasons: GET /api/v1/orders/{user_id}/quarantine."
                    .to_owned(),
            ),
        };
        Text { title, body }
    }
}
