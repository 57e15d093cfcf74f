//! What every part of the service works with.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use runtime::{Infra, Settings};

use crate::AllegroBackup;
use crate::clients::allegro::{AllegroClient, Limits, Pause, REQUEST_TIMEOUT};
use crate::config::Config;
use crate::settings::SyncSettings;

/// The state of the service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct State {
    infra: Infra,
    /// Allegro.
    pub(crate) allegro: AllegroClient,
    /// The pause that replicas share.
    pub(crate) pause: Pause,
    /// How often what is read.
    pub(crate) sync: Arc<SyncSettings>,
    /// Access tokens that end within this are refreshed.
    pub(crate) refresh_margin: Duration,
}

impl State {
    pub(crate) fn new(config: Config, infra: Infra) -> anyhow::Result<Self> {
        let Config { redis, application, user_agent, quotas, sync, refresh_margin, .. } = config;
        let pause = Pause::new(&redis.url, &application.client_id)?;
        let limits = Limits::new(&redis.url, &application.client_id, quotas)?;
        let http = egress::client(&egress::Settings {
            user_agent: user_agent.to_string(),
            connect_timeout: Duration::from_secs(3),
            timeout: REQUEST_TIMEOUT,
        })?;
        let allegro = AllegroClient::new(http, application, pause.clone(), limits);
        Ok(Self { infra, allegro, pause, sync: Arc::new(sync), refresh_margin })
    }

    /// The state of a command.
    pub(crate) fn open(settings: Settings<Config>) -> anyhow::Result<Self> {
        let (config, infra) = settings.open::<AllegroBackup>()?;
        Self::new(config, infra)
    }
}

impl Deref for State {
    type Target = Infra;

    fn deref(&self) -> &Infra {
        &self.infra
    }
}
