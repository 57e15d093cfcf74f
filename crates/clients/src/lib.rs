//! HTTP clients of our services.

mod allegro_backup;
mod error;

pub use allegro_backup::{AllegroBackup, StoredOrder, StoredOrders};
pub use error::Error;
