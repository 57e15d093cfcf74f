//! Rules of the stock: what an order takes, what it gives back, and when allegro-backup is asked again.

pub(crate) mod alert;
pub(crate) mod book;
pub(crate) mod desired;
pub(crate) mod difference;
pub(crate) mod line_state;
pub(crate) mod movement;
pub(crate) mod operation;
pub(crate) mod order_view;
pub(crate) mod retry;
pub(crate) mod shortage;
pub(crate) mod wish;
mod words;

use words::words;
