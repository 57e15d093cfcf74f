//! The base of every service's state.

use std::sync::Arc;

use chassis::config::{Database, Encryption};
use domain::events::{Envelope, Event, NewEvent};
use domain::{Clock, IdSource, SystemClock, UuidV7Source};
use pg::Pool;
use pg::sealed::Keyring;
use time::OffsetDateTime;

use crate::Service;

/// Database, clock, ids and keys. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Infra {
    /// Connections to the service's schema.
    pub pool: Pool,
    /// Source of the current time.
    pub clock: Arc<dyn Clock>,
    /// Source of new ids.
    pub ids: Arc<dyn IdSource>,
    /// The keys of sealed columns.
    pub keyring: Keyring,
}

impl Infra {
    /// Uses the system's clock, and UUIDs of version 7.
    pub fn new(pool: Pool, keyring: Keyring) -> Self {
        Self { pool, clock: Arc::new(SystemClock), ids: Arc::new(UuidV7Source), keyring }
    }

    pub(crate) fn open<S: Service>(database: &Database, encryption: Encryption) -> anyhow::Result<Self> {
        let open = if S::BY_INDEX { Pool::by_index } else { Pool::new };
        let pool = open(&database.url, database.pool_size, S::NAME)?;
        Ok(Self::new(pool, Keyring::new(encryption.into_keys())?))
    }

    /// The current time.
    pub fn now(&self) -> OffsetDateTime {
        self.clock.now()
    }

    /// Wraps an event to publish, with a new id and the current time.
    ///
    /// # Errors
    /// The event cannot be serialized.
    pub fn wrap<E: Event>(&self, event: &E) -> Result<Envelope, pg::Error> {
        self.wrap_correlated(event, None)
    }

    /// As [`Infra::wrap`], for an event that a request or a task with this correlation id caused.
    ///
    /// # Errors
    /// The event cannot be serialized.
    pub fn wrap_correlated<E: Event>(
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
