//! Outside systems only this service talks to.

pub(crate) mod allegro;
