//! What every part of the service works with.

use std::ops::Deref;
use std::sync::Arc;

use clients::AllegroBackup;
use runtime::{Infra, Service};
use tokio::sync::{Notify, OnceCell};

use crate::StockSync;
use crate::app::rush::Rush;
use crate::config::Config;
use crate::settings::Settings;

/// The state of the service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct State {
    infra: Infra,
    pub(crate) settings: Arc<Settings>,
    /// Who keeps the orders.
    pub(crate) backup: AllegroBackup,
    /// Told when allegro-backup is to be told something.
    pub(crate) to_mark: Arc<Notify>,
    /// Whether orders wait to be taken.
    pub(crate) rush: Arc<Rush>,
    /// Set when the default warehouse stands in the database as configured.
    pub(crate) default_is_there: Arc<OnceCell<()>>,
}

impl State {
    pub(crate) fn new(config: Config, infra: Infra) -> anyhow::Result<Self> {
        let Config { backup_url, backup_key, settings, .. } = config;
        Ok(Self {
            infra,
            settings: Arc::new(settings),
            backup: AllegroBackup::new(backup_url, backup_key, StockSync::NAME)?,
            to_mark: Arc::default(),
            rush: Arc::default(),
            default_is_there: Arc::default(),
        })
    }
}

impl Deref for State {
    type Target = Infra;

    fn deref(&self) -> &Infra {
        &self.infra
    }
}
