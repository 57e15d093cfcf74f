//! What the service is told by its environment.

use std::time::Duration;

use chassis::config::{Reader, Redis};
use runtime::ServiceConfig;

use crate::clients::allegro::{Application, Quotas, UserAgent};
use crate::settings::SyncSettings;

/// The service's settings.
#[derive(Debug)]
pub struct Config {
    /// Shared pauses.
    pub(crate) redis: Redis,
    /// Who we are at Allegro.
    pub(crate) application: Application,
    /// Who we say we are.
    pub(crate) user_agent: UserAgent,
    /// How often Allegro may be asked.
    pub(crate) quotas: Quotas,
    /// How often what is read.
    pub(crate) sync: SyncSettings,
    /// How often access tokens that end soon are looked for.
    pub(crate) refresh_interval: Duration,
    /// How soon that is.
    pub(crate) refresh_margin: Duration,
    /// Tasks at once in this process.
    pub(crate) workers: usize,
    /// Silence after which another worker takes a task over.
    pub(crate) task_silence: Duration,
}

impl ServiceConfig for Config {
    fn read(reader: &mut Reader) -> Self {
        Self {
            redis: reader.redis(),
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
            user_agent: user_agent(reader),
            quotas: quotas(reader),
            sync: SyncSettings::read(reader),
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

    fn redis(&self) -> Option<&Redis> {
        Some(&self.redis)
    }
}

fn user_agent(reader: &mut Reader) -> UserAgent {
    let ours = concat!("Zaplecze/", env!("CARGO_PKG_VERSION"), " (+https://zaplecze.example/about)");
    #[expect(clippy::expect_used, reason = "a text of ours, read by every start")]
    let ours = ours.parse::<UserAgent>().expect("as Allegro wants it");
    reader.parsed(
        "ALLEGRO_USER_AGENT",
        "Name/version (+address)",
        ours,
        "Who we say we are: the registered application's name, and where people read about it.",
        str::parse,
    )
}

/// Allegro's own limit is 9000 for all; the others are for who wants to stay further below.
fn quotas(reader: &mut Reader) -> Quotas {
    let mut quota = |name, default, meaning| reader.number(name, default, 0..=1_000_000, meaning);
    Quotas {
        all: quota(
            "ALLEGRO_LIMIT_PER_MINUTE",
            9000,
            "Requests to Allegro a minute, of all replicas with this client id; 0 is no limit.",
        ),
        general: quota(
            "ALLEGRO_LIMIT_GENERAL_PER_MINUTE",
            0,
            "Of those, single orders, accounts and ends of journals; 0 is no limit of their own.",
        ),
        orders: quota(
            "ALLEGRO_LIMIT_ORDERS_PER_MINUTE",
            0,
            "Of those, pages of the list of orders; 0 is no limit of their own.",
        ),
        events: quota(
            "ALLEGRO_LIMIT_EVENTS_PER_MINUTE",
            0,
            "Of those, pages of the journal; 0 is no limit of their own.",
        ),
        device: quota(
            "ALLEGRO_LIMIT_DEVICE_PER_MINUTE",
            0,
            "Of those, requests of the device flow; 0 is no limit of their own.",
        ),
    }
}
