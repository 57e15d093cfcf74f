//! Types and rules that two or more services share.
//!
//! Pure: no runtime, no database, no network. Time and ids come from [`clock::Clock`] and [`clock::IdSource`], which a
//! test can replace.

pub mod backoff;
mod chain;
pub mod clock;
pub mod cron;
pub mod events;
pub mod ids;
pub mod instant;
mod language;
mod misconfigured;
pub mod money;
mod names;
mod panic;
mod permanent;
pub mod sku;
mod time_zone;
pub mod topology;

pub use chain::Chain;
pub use clock::{Clock, IdSource, SystemClock, UuidV7Source};
pub use cron::{Cron, CronError};
pub use ids::{
    AllegroOrderId, AuthorizationId, DeliveryId, EventId, OrderId, SubscriptionId, TaskId, TokenId,
};
pub use instant::{Instant, InstantError};
pub use language::{Language, NoLanguage};
pub use misconfigured::Misconfigured;
pub use money::{Currency, Money};
pub use names::{NameError, UserId, WarehouseName};
pub use panic::{Panic, catch_panic, catch_panic_in, panic_as_error};
pub use permanent::PermanentError;
pub use sku::Sku;
pub use time_zone::{NoQuietHours, NoTimeZone, QuietHours, TimeZone};
