//! The HTTP layer that every service shares: server, problem details, authentication, content checks, idempotency,
//! audit, paging, health, metrics, OpenAPI.
//!
//! Invariants, enforced here for all services:
//! - nothing below `/api` can be reached without a credential and the scope of its method ([`auth`]);
//! - every write request is logged under the logger `audit`, without its body;
//! - a repeated request with the same `Idempotency-Key` has no second effect ([`idempotency`]);
//! - every error answer is `application/problem+json` and exposes no internals ([`problem`]);
//! - every answer has its request id, is counted and is logged once, never with its raw path ([`Server`]);
//! - a panic ends its request with a 500, and an incomplete streamed answer ends its connection ([`streamed()`]).

mod audit;
pub mod auth;
mod compress;
mod configured;
mod docs;
mod edge;
pub mod extract;
pub mod health;
pub mod idempotency;
mod in_flight;
mod jwks;
mod metrics;
pub mod openapi;
pub mod page;
mod probes;
pub mod problem;
mod rate;
mod request_id;
mod routes;
mod server;
mod store;
mod streamed;
mod tls;
mod token;
mod trace;
mod validate;

pub use auth::{Access, Authenticator, Caller};
pub use configured::{SetupError, listen};
pub use extract::{ApiCsv, ApiJson, ApiPath, ApiQuery, OptionalJson};
pub use health::{Health, Requirement};
pub use idempotency::{Answer, Idempotency, Idempotent, RETAIN_ANSWERS};
pub use page::{Cursor, Limit, Page, Paging};
pub use problem::{ErrorCode, Problem};
pub use rate::Limiter;
pub use request_id::RequestId;
pub use routes::Routes;
pub use server::{BoundServer, Server};
pub use streamed::{Incomplete, Parts, streamed};
pub use validate::FieldErrors;
