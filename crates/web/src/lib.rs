//! The HTTP face every service shares: server, problem details, authentication, content checks,
//! idempotency, audit, paging, health, metrics, OpenAPI.
//!
//! Invariants kept here, so that no service can forget them:
//! - nothing below `/api` is reached without a credential and the scope its method needs ([`auth`]);
//! - every write request is told under logger `audit`, without its body ([`auth`] says by whom);
//! - a request sent again under its `Idempotency-Key` has no second effect ([`idempotency`]);
//! - every error answer is `application/problem+json` and shows nothing of our inside ([`problem`]);
//! - every answer carries its request id, is counted and is logged once, never with its raw path ([`Server`]);
//! - a panic ends its request with a 500, and a streamed answer that is not complete ends its connection ([`streamed()`]).

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
