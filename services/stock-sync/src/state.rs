//! What every part of the service works with.

use std::sync::Arc;

use domain::events::{Envelope, Event, NewEvent};
use domain::{Clock, IdSource};
use time::OffsetDateTime;
use tokio::sync::{Notify, OnceCell};

use crate::app::rush::Rush;
use crate::settings::Settings;

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) pool: pg::Pool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
    pub(crate) settings: Arc<Settings>,
    /// Who keeps the orders.
    pub(crate) backup: clients::AllegroBackup,
    /// Told when allegro-backup is to be told something.
    pub(crate) to_mark: Arc<Notify>,
    /// Whether orders wait to be taken.
    pub(crate) rush: Arc<Rush>,
    /// Set when the default warehouse stands in the database as configured.
    pub(crate) default_is_there: Arc<OnceCell<()>>,
}

impl State {
    /// Now.
    pub(crate) fn now(&self) -> OffsetDateTime {
        self.clock.now()
    }

    /// Wraps a fact to be told.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub(crate) fn wrap<E: Event>(&self, event: &E) -> Result<Envelope, pg::Error> {
        let new = NewEvent { id: self.ids.next_id().into(), time: self.now(), correlation_id: None };
        Envelope::wrap(event, new).map_err(pg::Error::unwritable)
    }
}
