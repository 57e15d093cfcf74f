//! The server as clients see it: real sockets, one server for each test.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

mod audit;
mod auth;
mod content;
mod docs;
mod http;
mod idempotency;
mod life;
mod limits;
mod streamed;
mod support;
mod tls;
