//! The tools of the tests, themselves tested.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod proxy;
