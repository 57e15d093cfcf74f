//! Rules of delivery: what is signed and how, when it is tried again, who wants what.

pub(crate) mod pattern;
pub(crate) mod schedule;
pub(crate) mod signature;
