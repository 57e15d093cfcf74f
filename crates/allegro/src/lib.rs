//! Allegro's documents: the checkout form, its statuses and the events of the order journal.
//!
//! Invariant: a field that cannot be read never decides about the other fields. Each is read by itself; one that is of
//! another type or unreadable is absent, and a [`Note`] names it. Only the id of a form or an event is required.
//! Source: Allegro's OpenAPI document, schemas `CheckoutForm` and `OrderEvent`.

mod event;
mod form;
mod note;
mod read;
mod repair;
mod status;
mod timestamp;

pub use event::JournalEvent;
pub use form::{CheckoutForm, LineItem, NoId, Payment};
pub use note::{Fault, Note};
pub use repair::repair;
pub use status::{FormStatus, FulfillmentStatus, LineItemsSent};
