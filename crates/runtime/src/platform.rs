//! The settings of every service.

use chassis::config::{Alerts, Amqp, Database, Encryption, Reader, Redis};

use crate::{Infra, Service};

/// Postgres, RabbitMQ, the keys of sealed columns, and the recipients of alerts.
#[derive(Debug)]
pub struct Platform {
    /// Connection to the service's schema.
    pub database: Database,
    /// Connection to RabbitMQ.
    pub amqp: Amqp,
    /// The keys of sealed columns.
    pub encryption: Encryption,
    /// Settings of alerts.
    pub alerts: Alerts,
}

impl Platform {
    pub(crate) fn read(reader: &mut Reader) -> Self {
        Self {
            database: reader.database(),
            amqp: reader.amqp(),
            alerts: reader.alerts(),
            encryption: reader.encryption(),
        }
    }
}

/// The settings of one service only.
pub trait ServiceConfig: Send + Sync + 'static {
    /// Reads them. The settings of the [`Platform`] are read before them. The reader records mistakes.
    fn read(reader: &mut Reader) -> Self;

    /// The Redis in which replicas share rate limits, if one is configured.
    fn redis(&self) -> Option<&Redis>;
}

/// All settings of a service: the platform's and its own.
#[derive(Debug)]
pub struct Settings<C> {
    /// The settings of every service.
    pub platform: Platform,
    /// The settings of this service only.
    pub own: C,
}

impl<C> Settings<C> {
    /// Opens the infrastructure that a command of the service uses. The database guard is not run.
    ///
    /// # Errors
    /// A URL or a key cannot be used.
    pub fn open<S: Service<Config = C>>(self) -> anyhow::Result<(C, Infra)> {
        let infra = Infra::open::<S>(&self.platform.database, self.platform.encryption)?;
        Ok((self.own, infra))
    }
}

/// Reads the settings of the alert sender.
pub(crate) fn alert_settings(service: &'static str, alerts: Alerts) -> alerts::Settings {
    let Alerts { telegram, language, quiet_hours, time_zone } = alerts;
    let telegram = telegram.map(|it| alerts::Telegram { url: it.url, token: it.token, chats: it.chats });
    alerts::Settings { service, telegram, language, quiet_hours, time_zone }
}
