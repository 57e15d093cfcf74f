//! What a pool is doing now, as metrics.
//!
//! A pool is older than the recorder of metrics, so that names are looked up when something changes, never kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use metrics::{SharedString, gauge, histogram};

const IN_USE: &str = "db_pool_connections_in_use";
const WAITING: &str = "db_pool_waiting";

/// The metrics of one pool, told apart by its name.
#[derive(Clone)]
pub(crate) struct Gauges {
    pool: SharedString,
    max: u32,
    in_use: Arc<AtomicU32>,
    waiting: Arc<AtomicU32>,
}

/// One that counts for as long as the value lives.
pub(crate) struct Counted {
    pool: SharedString,
    name: &'static str,
    number: Arc<AtomicU32>,
}

/// Somebody who waits, and since when.
pub(crate) struct Waiting {
    counted: Counted,
    since: Instant,
}

impl Gauges {
    pub(crate) fn of(pool: &str, size: usize) -> Self {
        let pool = SharedString::from(Arc::<str>::from(pool));
        Self { pool, max: whole(size), in_use: Arc::default(), waiting: Arc::default() }
    }

    /// Somebody wants a connection.
    pub(crate) fn wait(&self) -> Waiting {
        Waiting { counted: self.count(WAITING, &self.waiting), since: Instant::now() }
    }

    /// Somebody has got one, of so many that are open.
    pub(crate) fn lend(&self, open: usize) -> Counted {
        gauge!("db_pool_connections_max", "pool" => self.pool.clone()).set(self.max);
        gauge!("db_pool_connections", "pool" => self.pool.clone()).set(whole(open));
        self.count(IN_USE, &self.in_use)
    }

    fn count(&self, name: &'static str, number: &Arc<AtomicU32>) -> Counted {
        let now = number.fetch_add(1, Ordering::AcqRel) + 1;
        gauge!(name, "pool" => self.pool.clone()).set(now);
        Counted { pool: self.pool.clone(), name, number: Arc::clone(number) }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let now = self.number.fetch_sub(1, Ordering::AcqRel) - 1;
        gauge!(self.name, "pool" => self.pool.clone()).set(now);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        histogram!("db_pool_wait_seconds", "pool" => self.counted.pool.clone()).record(self.since.elapsed());
    }
}

/// No pool is larger than a u32.
fn whole(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
