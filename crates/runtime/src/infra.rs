//! What every part of every service works with.

use std::sync::Arc;

use chassis::config::{Database, Encryption};
use domain::events::{Envelope, Event, NewEvent};
use domain::{Clock, IdSource, SystemClock, UuidV7Source};
use pg::Pool;
use pg::sealed::Keyring;
use time::OffsetDateTime;

use crate::Service;

/// The base of a service's state. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Infra {
    /// Connections to its schema.
    pub pool: Pool,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Fresh ids.
    pub ids: Arc<dyn IdSource>,
    /// The keys of sealed columns.
    pub keyring: Keyring,
}

impl Infra {
    /// With the system's clock, and UUIDs of version 7.
    pub fn new(pool: Pool, keyring: Keyring) -> Self {
        Self { pool, clock: Arc::new(SystemClock), ids: Arc::new(UuidV7Source), keyring }
    }

    pub(crate) fn open<S: Service>(database: &Database, encryption: Encryption) -> anyhow::Result<Self> {
        let open = if S::BY_INDEX { Pool::by_index } else { Pool::new };
        let pool = open(&database.url, database.pool_size, S::NAME)?;
        Ok(Self::new(pool, Keyring::new(encryption.into_keys())?))
    }

    /// The time now.
    pub fn now(&self) -> OffsetDateTime {
        self.clock.now()
    }

    /// Wraps an event to publish, with a fresh id and the time now.
    ///
    /// # Errors
    /// The event cannot be written as JSON.
    pub fn wrap<E: Event>(&self, event: &E) -> Result<Envelope, pg::Error> {
        self.wrap_correlated(event, None)
    }

    /// As [`Infra::wrap`], for an event that a request or a task of this correlation id caused.
    ///
    /// # Errors
    /// The event cannot be written as JSON.
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
