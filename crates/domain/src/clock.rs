//! Sources of time and ids.

use std::fmt::Debug;

use time::OffsetDateTime;
use uuid::Uuid;

/// The current time.
pub trait Clock: Debug + Send + Sync {
    /// The current time in UTC, in whole microseconds, so that the database returns exactly the stored value.
    fn now(&self) -> OffsetDateTime;
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc().truncate_to_microsecond()
    }
}

/// Source of new ids.
pub trait IdSource: Debug + Send + Sync {
    /// A unique id. Later ids sort after earlier ones.
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
