//! An answer that can be stored: a success with a JSON body.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{ContentType, HeaderName};
use serde::Serialize;

use crate::problem::Problem;

/// Header of an answer that is replayed.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// A successful answer, as JSON. It has no `Debug` output, because it may contain a secret that is shown once.
pub struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// 200: the request was carried out.
    ///
    /// # Errors
    /// The value cannot be serialized.
    pub fn ok(body: &impl Serialize) -> Result<Self, Problem> {
        Self::new(StatusCode::OK, body)
    }

    /// 201: the resource was created.
    ///
    /// # Errors
    /// The value cannot be serialized.
    pub fn created(body: &impl Serialize) -> Result<Self, Problem> {
        Self::new(StatusCode::CREATED, body)
    }

    /// 202: the work was started.
    ///
    /// # Errors
    /// The value cannot be serialized.
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

/// A stored answer.
pub(super) fn replay(status: StatusCode, body: Vec<u8>) -> HttpResponse {
    HttpResponse::build(status).content_type(ContentType::json()).insert_header((REPLAYED, "true")).body(body)
}
