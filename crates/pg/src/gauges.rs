//! Metrics of a pool.
//!
//! A pool is created before the metrics recorder. Metrics are therefore looked up at each change, and not stored.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use metrics::{SharedString, gauge, histogram};

const IN_USE: &str = "db_pool_connections_in_use";
const WAITING: &str = "db_pool_waiting";

/// The metrics of one pool, labelled with its name.
#[derive(Clone)]
pub(crate) struct Gauges {
    pool: SharedString,
    max: u32,
    in_use: Arc<Mutex<u32>>,
    waiting: Arc<Mutex<u32>>,
}

/// Counts as one for the life of the value.
pub(crate) struct Counted {
    pool: SharedString,
    name: &'static str,
    number: Arc<Mutex<u32>>,
}

/// A caller that waits for a connection, and since when.
pub(crate) struct Waiting {
    counted: Counted,
    since: Instant,
}

impl Gauges {
    pub(crate) fn of(pool: &str, size: usize) -> Self {
        let pool = SharedString::from(Arc::<str>::from(pool));
        Self { pool, max: whole(size), in_use: Arc::default(), waiting: Arc::default() }
    }

    /// A caller begins to wait for a connection.
    pub(crate) fn wait(&self) -> Waiting {
        Waiting { counted: self.count(WAITING, &self.waiting), since: Instant::now() }
    }

    /// A caller got a connection; `open` connections exist.
    pub(crate) fn lend(&self, open: usize) -> Counted {
        gauge!("db_pool_connections_max", "pool" => self.pool.clone()).set(self.max);
        gauge!("db_pool_connections", "pool" => self.pool.clone()).set(whole(open));
        self.count(IN_USE, &self.in_use)
    }

    fn count(&self, name: &'static str, number: &Arc<Mutex<u32>>) -> Counted {
        let counted = Counted { pool: self.pool.clone(), name, number: Arc::clone(number) };
        counted.change(|number| number + 1);
        counted
    }
}

impl Counted {
    /// Updated under the lock, so that the last update reports the last change.
    fn change(&self, change: impl Fn(u32) -> u32) {
        let mut number = self.number.lock().unwrap_or_else(PoisonError::into_inner);
        *number = change(*number);
        gauge!(self.name, "pool" => self.pool.clone()).set(*number);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.change(|number| number.saturating_sub(1));
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        histogram!("db_pool_wait_seconds", "pool" => self.counted.pool.clone()).record(self.since.elapsed());
    }
}

/// No pool exceeds a u32.
fn whole(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
