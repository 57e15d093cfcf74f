//! The log for people. It masks the same secrets as the log for machines.

use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::debug_fn;

use super::mask;

/// Formats the fields of an event or a span: the message, then `name=value`.
pub(super) fn fields() -> impl for<'writer> FormatFields<'writer> + Send + Sync + 'static {
    debug_fn(|out, field, value| {
        let name = field.name();
        if name == "message" {
            write!(out, "{}", mask::text(&format!("{value:?}")))
        } else if mask::is_secret(name) {
            write!(out, "{name}={}", mask::MASK)
        } else {
            write!(out, "{name}={}", mask::text(&format!("{value:?}")))
        }
    })
    .delimited(" ")
}
