//! Consumers of events.

mod fan_out;

pub(crate) use fan_out::FanOut;
