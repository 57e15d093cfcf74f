//! The settings that every service has.

use chassis::config::{Alerts, Amqp, Database, Encryption, Reader};

use crate::{Infra, Service};

/// The servers a service works with, its keys, and where its alerts are sent.
#[derive(Debug)]
pub struct Platform {
    /// The database of its schema.
    pub database: Database,
    /// RabbitMQ.
    pub amqp: Amqp,
    /// The keys of sealed columns.
    pub encryption: Encryption,
    /// Where alerts are sent.
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

/// The settings of a service: those that every service has, and its own.
#[derive(Debug)]
pub struct Settings<C> {
    /// What every service has.
    pub platform: Platform,
    /// Its own.
    pub own: C,
}

impl<C> Settings<C> {
    /// Opens what a command of the service works with. The database is not guarded.
    ///
    /// # Errors
    /// A URL or a key cannot be used.
    pub fn open<S: Service<Config = C>>(self) -> anyhow::Result<(C, Infra)> {
        let infra = Infra::open::<S>(&self.platform.database, self.platform.encryption)?;
        Ok((self.own, infra))
    }
}

/// The settings of the alerts' sender.
pub(crate) fn alert_settings(service: &'static str, alerts: Alerts) -> alerts::Settings {
    let Alerts { telegram, language, quiet_hours, time_zone } = alerts;
    let telegram = telegram.map(|it| alerts::Telegram { url: it.url, token: it.token, chats: it.chats });
    alerts::Settings { service, telegram, language, quiet_hours, time_zone }
}
