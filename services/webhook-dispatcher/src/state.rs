//! What every part of the service works with.

use std::ops::Deref;
use std::sync::Arc;

use egress::ssrf::Guard;
use runtime::Infra;

use crate::config::Keep;
use crate::dispatch::Load;

/// The state of the service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct State {
    pub(crate) infra: Infra,
    /// Which addresses receivers may have.
    pub(crate) guard: Guard,
    /// How long payloads, attempts and deliveries are kept.
    pub(crate) keep: Keep,
    /// Patterns of the event types outside producers may tell.
    pub(crate) outside_types: Arc<[String]>,
    /// What this process has in hand to deliver. Whoever commits something that is due nudges it.
    pub(crate) load: Load,
}

impl Deref for State {
    type Target = Infra;

    fn deref(&self) -> &Infra {
        &self.infra
    }
}
