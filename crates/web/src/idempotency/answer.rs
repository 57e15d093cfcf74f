//! What can be kept: a success with a JSON body.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{ContentType, HeaderName};
use serde::Serialize;

use crate::problem::Problem;

/// Says of an answer that it was given before.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// A successful answer, as JSON. Not printable: it may hold a secret that is shown once.
pub struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// 200: it is done.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn ok(body: &impl Serialize) -> Result<Self, Problem> {
        Self::new(StatusCode::OK, body)
    }

    /// 201: it is there.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn created(body: &impl Serialize) -> Result<Self, Problem> {
        Self::new(StatusCode::CREATED, body)
    }

    /// 202: it has been started.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn accepted(body: &impl Serialize) -> Result<Self, Problem> {
        Self::new(StatusCode::ACCEPTED, body)
    }

    fn new(status: StatusCode, body: &impl Serialize) -> Result<Self, Problem> {
        let body = serde_json::to_vec(body).map_err(|error| Problem::internal(&error))?;
        Ok(Self { status, body })
    }
}

impl From<Answer> for HttpResponse {
    fn from(answer: Answer) -> Self {
        Self::build(answer.status).content_type(ContentType::json()).body(answer.body)
    }
}

/// An answer that was given before.
pub(super) fn replay(status: StatusCode, body: Vec<u8>) -> HttpResponse {
    HttpResponse::build(status).content_type(ContentType::json()).insert_header((REPLAYED, "true")).body(body)
}
