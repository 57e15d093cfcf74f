//! Facts taken from the broker.

mod fan_out;

pub(crate) use fan_out::FanOut;
