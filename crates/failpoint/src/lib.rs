//! Points at which a test kills or panics a process, to check that its guarantees hold.
//!
//! [`hit`] is called at every commit, publish, confirm, push and acknowledge. Without the feature `armed` it does
//! nothing. With it, a process started with `FAILPOINTS=relay.after_confirm` aborts at its first visit of that point,
//! and with `FAILPOINTS=pg.after_commit@3` at the third. With `FAILPOINTS=consumer.handle=panic@2` it panics at the
//! second visit instead, and the process continues. Several points are separated by commas. A process that is started
//! without the variable never dies, so that the restarted process survives.

#[cfg(feature = "armed")]
mod armed;

/// Aborts or panics here if a test requires it. `point` is `<component>.<moment>`.
#[cfg(feature = "armed")]
pub fn hit(point: &'static str) {
    armed::hit(point);
}

/// Aborts or panics here if a test requires it. This build ignores it.
#[cfg(not(feature = "armed"))]
#[inline]
pub const fn hit(_point: &'static str) {}
