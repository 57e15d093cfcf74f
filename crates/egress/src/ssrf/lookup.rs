//! Detects whether a request that timed out was waiting for a name server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

tokio::task_local! {
    static CURRENT: Lookup;
}

/// The lookup of a name for one request. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Lookup(Arc<AtomicUsize>);

/// A running lookup; it ends when this value is dropped.
pub(super) struct UnderWay(Lookup);

impl Lookup {
    /// Runs a request and attributes its name lookups to this value.
    pub async fn watch<F: Future>(&self, request: F) -> F::Output {
        CURRENT.scope(self.clone(), request).await
    }

    /// Whether the request waits for a name server.
    pub fn is_under_way(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    /// Begins the lookup of the request that is being polled, if it is watched.
    pub(super) fn begin() -> Option<UnderWay> {
        let lookup = CURRENT.try_with(Self::clone).ok()?;
        lookup.0.fetch_add(1, Ordering::Relaxed);
        Some(UnderWay(lookup))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
