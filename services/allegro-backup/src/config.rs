//! What the service is told by its environment.

use std::time::Duration;

use chassis::config::{Alerts, Amqp, Database, Encryption, Reader, Redis};

use crate::clients::allegro::Application;

/// The service's settings.
#[derive(Debug)]
pub struct Config {
    /// The schema's database.
    pub(crate) database: Database,
    /// Shared pauses.
    pub(crate) redis: Redis,
    /// Where facts are told.
    pub(crate) amqp: Amqp,
    /// Whom to tell what needs them.
    pub(crate) alerts: Alerts,
    /// The keys of sealed columns.
    pub(crate) encryption: Encryption,
    /// Who we are at Allegro.
    pub(crate) application: Application,
    /// Who we say we are.
    pub(crate) user_agent: String,
    /// How often each account's journal is read.
    pub(crate) events_interval: Duration,
    /// How often access tokens that end soon are looked for.
    pub(crate) refresh_interval: Duration,
    /// How soon that is.
    pub(crate) refresh_margin: Duration,
    /// Tasks at once in this process.
    pub(crate) workers: usize,
    /// Silence after which another worker takes a task over.
    pub(crate) task_silence: Duration,
}

impl Config {
    /// Reads the settings; mistakes are kept by the reader.
    pub(crate) fn read(reader: &mut Reader) -> Self {
        Self {
            database: reader.database(),
            redis: reader.redis(),
            amqp: reader.amqp(),
            alerts: reader.alerts(),
            encryption: reader.encryption(),
            application: Application {
                client_id: reader.required_text(
                    "ALLEGRO_CLIENT_ID",
                    "The application's id at Allegro; register it as a device application.",
                ),
                client_secret: reader
                    .required_secret("ALLEGRO_CLIENT_SECRET", "The application's secret at Allegro."),
                api_url: reader.url("ALLEGRO_API_URL", "https://api.allegro.pl", "Allegro's API."),
                auth_url: reader.url("ALLEGRO_AUTH_URL", "https://allegro.pl", "Allegro's OAuth host."),
            },
            user_agent: reader.text(
                "ALLEGRO_USER_AGENT",
                concat!("Zaplecze/", env!("CARGO_PKG_VERSION"), " (+https://zaplecze.example/about)"),
                "Who we say we are; Allegro wants `Name/version (+address)` of the registered application.",
            ),
            events_interval: reader.seconds(
                "ALLEGRO_BACKUP_EVENTS_INTERVAL_SECONDS",
                180,
                1..=86_400,
                "How often each account's journal is read.",
            ),
            refresh_interval: reader.seconds(
                "ALLEGRO_BACKUP_REFRESH_INTERVAL_SECONDS",
                1800,
                1..=21_600,
                "How often access tokens that end soon are looked for.",
            ),
            refresh_margin: reader.seconds(
                "ALLEGRO_BACKUP_REFRESH_MARGIN_SECONDS",
                5400,
                0..=39_600,
                "Access tokens that end within this are refreshed; Allegro's live twelve hours.",
            ),
            workers: reader.number("ALLEGRO_BACKUP_WORKERS", 16, 1..=256, "Tasks at once in this process."),
            task_silence: reader.seconds(
                "ALLEGRO_BACKUP_TASK_SILENCE_SECONDS",
                60,
                2..=3600,
                "How long a task's worker may be silent before another takes the task over.",
            ),
        }
    }
}
