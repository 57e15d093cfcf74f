//! What every part of the service works with.

use std::sync::Arc;
use std::time::Duration;

use domain::events::{Envelope, Event, NewEvent};
use domain::{Clock, IdSource};
use pg::sealed::Keyring;
use time::OffsetDateTime;

use crate::clients::allegro::AllegroClient;
use crate::settings::SyncSettings;

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// The schema.
    pub(crate) pool: pg::Pool,
    /// The time.
    pub(crate) clock: Arc<dyn Clock>,
    /// Fresh ids.
    pub(crate) ids: Arc<dyn IdSource>,
    /// The keys of sealed columns.
    pub(crate) keyring: Keyring,
    /// Allegro.
    pub(crate) allegro: AllegroClient,
    /// How often what is read.
    pub(crate) sync: Arc<SyncSettings>,
    /// Access tokens that end within this are refreshed.
    pub(crate) refresh_margin: Duration,
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
    pub(crate) fn wrap<E: Event>(
        &self,
        event: &E,
        correlation_id: Option<&str>,
    ) -> Result<Envelope, pg::Error> {
        let new = NewEvent {
            id: self.ids.next_id().into(),
            time: self.now(),
            correlation_id: correlation_id.map(str::to_owned),
        };
        Envelope::wrap(event, new).map_err(pg::Error::unwritable)
    }
}
