//! What people are told of.

use alerts::{Alert, Severity, Text};
use domain::{Language, SubscriptionId};

use super::health::DisabledFor;

/// Only its owner makes a subscription active again: until then it misses what happens.
#[derive(Debug)]
pub(crate) struct WebhookDisabled<'a> {
    /// The subscription.
    pub(crate) id: SubscriptionId,
    /// What its owner calls it, or where it leads; never the whole address, which may hold a secret.
    pub(crate) name: &'a str,
    pub(crate) reason: DisabledFor,
}

impl WebhookDisabled<'_> {
    /// The cause of a subscription's alert.
    pub(crate) fn cause_of(id: SubscriptionId) -> String {
        format!("webhook_disabled/{id}")
    }
}

impl Alert for WebhookDisabled<'_> {
    fn kind(&self) -> &'static str {
        "webhook_disabled"
    }

    fn cause(&self) -> String {
        Self::cause_of(self.id)
    }

    fn severity(&self) -> Severity {
        Severity::Warning
    }

    fn text(&self, language: Language) -> Text {
        let Self { id, name, reason } = self;
        let (title, why, what) = match language {
            Language::Ru => (
                format!("Вебхук «{name}» отключён"),
                match reason {
                    DisabledFor::Gone => "Получатель ответил 410 Gone.",
                    DisabledFor::OnlyFailures => "Пять дней подряд доставка только не удавалась.",
                },
                "Пока владелец не включит подписку снова, события ей не отправляются; пропущенное \
                 можно отправить позже (recover).",
            ),
            Language::Pl => (
                format!("Webhook „{name}” został wyłączony"),
                match reason {
                    DisabledFor::Gone => "Odbiorca odpowiedział 410 Gone.",
                    DisabledFor::OnlyFailures => "Od pięciu dni żadna próba się nie powiodła.",
                },
                "Dopóki właściciel nie włączy subskrypcji ponownie, zdarzenia nie są do niej wysyłane; pominięte \
                 można wysłać później (recover).",
            ),
            Language::En => (
                format!("The webhook \"{name}\" was disabled"),
                match reason {
                    DisabledFor::Gone => "Its receiver answered 410 Gone.",
                    DisabledFor::OnlyFailures => "For five days nothing but failures came.",
                },
                "Until its owner makes the subscription active again it is sent nothing; what it misses can be sent \
                 later (recover).",
            ),
        };
        Text { title, body: format!("{why} {what} ({id})") }
    }
}
