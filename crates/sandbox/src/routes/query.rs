//! Query parameters and JSON lists.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use bytes::{Bytes, BytesMut};

use crate::answer;

/// A query string. A name may occur more than once. Unknown names are ignored, as at Allegro.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn of(request: &HttpRequest) -> Self {
        Self(serde_urlencoded::from_str(request.query_string()).unwrap_or_default())
    }

    pub(super) fn all(&self, parameter: &str) -> Vec<&str> {
        self.0.iter().filter(|(name, _)| name == parameter).map(|(_, value)| value.as_str()).collect()
    }

    pub(super) fn first(&self, parameter: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == parameter).map(|(_, value)| value.as_str())
    }

    /// A number within bounds, or the answer that rejects it.
    pub(super) fn number(
        &self,
        name: &str,
        default: usize,
        (least, most): (usize, usize),
        refused_with: u16,
    ) -> Result<usize, Box<HttpResponse>> {
        let Some(text) = self.first(name) else { return Ok(default) };
        text.parse().ok().filter(|number| (least..=most).contains(number)).ok_or_else(|| {
            let text = format!("{name} must be between {least} and {most}");
            let status = StatusCode::from_u16(refused_with).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
            Box::new(answer::error(status, "VALIDATION_ERROR", &text, Some(name)))
        })
    }
}

/// Joins serialized bodies to one JSON list.
pub(super) fn list_of(head: &str, bodies: &[Bytes], tail: &str) -> Bytes {
    let size: usize = bodies.iter().map(|body| body.len() + 1).sum();
    let mut page = BytesMut::with_capacity(head.len() + size + tail.len());
    page.extend_from_slice(head.as_bytes());
    for (at, body) in bodies.iter().enumerate() {
        if at > 0 {
            page.extend_from_slice(b",");
        }
        page.extend_from_slice(body);
    }
    page.extend_from_slice(tail.as_bytes());
    page.freeze()
}
