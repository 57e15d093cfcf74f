//! Points at which a test kills or panics a process, to check that its promises still hold.
//!
//! [`hit`] stands at every commit, publish, confirm, push and acknowledge. Without the feature `armed` it is nothing at
//! all. With it, a process started with `FAILPOINTS=relay.after_confirm` aborts the first time it comes there, and with
//! `FAILPOINTS=pg.after_commit@3` the third time; with `FAILPOINTS=consumer.handle=panic@2` it panics at the second visit
//! instead, and the process continues. Several are separated by commas. A process started without the variable never dies, so the one
//! started after the death lives.

#[cfg(feature = "armed")]
mod armed;

/// The process may die here, or panic, when a test wants it to. `point` is `<who>.<when>`.
#[cfg(feature = "armed")]
pub fn hit(point: &'static str) {
    armed::hit(point);
}

/// The process may die here, or panic, when a test wants it to; in this build it cannot.
#[cfg(not(feature = "armed"))]
#[inline]
pub const fn hit(_point: &'static str) {}
