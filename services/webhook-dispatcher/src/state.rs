//! What every part of the service works with.

use std::sync::Arc;

use domain::events::{Envelope, Event, NewEvent};
use domain::{Clock, IdSource};
use egress::ssrf::Guard;
use pg::sealed::Keyring;
use time::OffsetDateTime;

use crate::dispatch::Load;
use crate::tasks::Keep;

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) pool: pg::Pool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
    pub(crate) keyring: Keyring,
    /// Which addresses receivers may have.
    pub(crate) guard: Guard,
    /// How long payloads, attempts and deliveries are kept.
    pub(crate) keep: Keep,
    /// Patterns of the event types outside producers may tell.
    pub(crate) outside_types: Arc<[String]>,
    /// What this process has in hand to deliver. Whoever commits something that is due nudges it.
    pub(crate) load: Load,
}

impl State {
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
