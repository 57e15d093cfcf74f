//! What our services ask each other over HTTP.

mod allegro_backup;
mod error;

pub use allegro_backup::{AllegroBackup, StoredOrder, StoredOrders};
pub use error::Error;
