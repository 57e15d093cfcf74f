//! Where time and ids come from.

use std::fmt::Debug;

use time::OffsetDateTime;
use uuid::Uuid;

/// The present moment, in UTC.
pub trait Clock: Debug + Send + Sync {
    /// Now, in UTC and whole microseconds, so that the database returns exactly the stored value.
    fn now(&self) -> OffsetDateTime;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc().truncate_to_microsecond()
    }
}

/// Fresh ids.
pub trait IdSource: Debug + Send + Sync {
    /// An id that was never given before, sorted by the time it was given.
    fn next_id(&self) -> Uuid;
}

/// UUID version 7 (RFC 9562 §5.7).
#[derive(Debug, Clone, Copy, Default)]
pub struct UuidV7Source;

impl IdSource for UuidV7Source {
    fn next_id(&self) -> Uuid {
        Uuid::now_v7()
    }
}
