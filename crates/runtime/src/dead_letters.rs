//! An alert while messages are dead-lettered.

use std::time::Duration;

use alerts::{Alert, Severity, Text};
use domain::{Chain, Clock, Language, SystemClock, panic_as_error};
use messaging::Broker;
use messaging::dead::DeadLetters;
use tokio_util::sync::CancellationToken;

/// Time between two looks at the queue.
const POLL: Duration = Duration::from_secs(5);

/// Messages of a service are dead-lettered. Its cause names the alert for [`alerts::is_open`].
#[derive(Debug)]
pub struct MessagesAreDead {
    /// The service.
    service: &'static str,
    count: u32,
}

impl MessagesAreDead {
    /// The cause of the alert; one for all messages.
    pub const CAUSE: &'static str = "dead_letters";
}

impl Alert for MessagesAreDead {
    fn kind(&self) -> &'static str {
        Self::CAUSE
    }

    fn cause(&self) -> String {
        Self::CAUSE.to_owned()
    }

    fn severity(&self) -> Severity {
        Severity::Critical
    }

    fn text(&self, language: Language) -> Text {
        let Self { service, count } = self;
        let (title, body) = match language {
            Language::Ru => (
                format!("Сообщений в очереди dead сервиса {service}: {count}"),
                format!("Причины: zaplecze-{service} dead list. После исправления: dead requeue."),
            ),
            Language::Pl => (
                format!("Komunikatów w kolejce dead usługi {service}: {count}"),
                format!("Przyczyny: zaplecze-{service} dead list. Po naprawie: dead requeue."),
            ),
            Language::En => (
                format!("Dead-lettered messages of {service}: {count}"),
                format!("Reasons: zaplecze-{service} dead list. After the repair: dead requeue."),
            ),
        };
        Text { title, body }
    }
}

/// Raises the alert while the service's dead queue has messages, and clears it when it has none, until `stop`.
pub(crate) async fn watch(service: &'static str, broker: Broker, pool: pg::Pool, stop: CancellationToken) {
    let letters = DeadLetters::new(broker, service);
    let mut noted = None;
    while !stop.is_cancelled() {
        match letters.count().await {
            Ok(count) if noted == Some(count) => {}
            Ok(count) => match panic_as_error(note(&pool, service, count)).await {
                Ok(()) => noted = Some(count),
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "dead letters not reported; will retry");
                }
            },
            Err(error) => tracing::debug!(error = %Chain(&error), "the number of dead letters is not known"),
        }
        let _stopped = stop.run_until_cancelled(tokio::time::sleep(POLL)).await;
    }
}

async fn note(pool: &pg::Pool, service: &'static str, count: u32) -> Result<(), pg::Error> {
    let now = SystemClock.now();
    pool.transaction(async |conn| {
        if count == 0 {
            alerts::clear(conn, now, MessagesAreDead::CAUSE).await?;
        } else {
            alerts::raise(conn, now, &MessagesAreDead { service, count }).await?;
        }
        Ok(())
    })
    .await
}
