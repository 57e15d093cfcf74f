//! What the service is told by its environment.

use chassis::config::{Reader, Redis};
use runtime::ServiceConfig;
use secrecy::SecretString;
use url::Url;

use crate::settings::Settings;

/// The service's settings.
#[derive(Debug)]
pub struct Config {
    /// Where replicas share rate limits.
    pub(crate) redis: Option<Redis>,
    /// Where allegro-backup is.
    pub(crate) backup_url: Url,
    /// How it knows us.
    pub(crate) backup_key: SecretString,
    pub(crate) workers: usize,
    pub(crate) settings: Settings,
}

impl ServiceConfig for Config {
    fn read(reader: &mut Reader) -> Self {
        Self {
            redis: reader.optional_redis(),
            backup_url: reader.url(
                "ALLEGRO_BACKUP_URL",
                "http://127.0.0.1:8001",
                "Where allegro-backup is: it is told which orders are taken from the stock.",
            ),
            backup_key: reader.required_secret(
                "ALLEGRO_BACKUP_API_KEY",
                "An API key (`zk_…`) that allegro-backup knows, with the scopes allegro-backup:read and :write.",
            ),
            workers: reader.number("STOCK_SYNC_TASK_WORKERS", 2, 1..=64, "Tasks at once: comparing and looking over."),
            settings: Settings::read(reader),
        }
    }

    fn redis(&self) -> Option<&Redis> {
        self.redis.as_ref()
    }
}
