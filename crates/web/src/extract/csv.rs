//! CSV bodies.

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use futures_util::future::LocalBoxFuture;

use super::NUL;
use super::json::{check_headers, read};
use crate::problem::{INVALID_CONTENT, Problem};

/// A body of type `text/csv`, as text without its byte order mark. The handler parses it.
///
/// Rejects another content type, charset or encoding (415), more than [`super::MAX_BODY_BYTES`] (413), invalid UTF-8
/// and NUL characters (400).
#[derive(Debug)]
pub struct ApiCsv(pub String);

impl FromRequest for ApiCsv {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let accepted = check_headers(request.headers(), "text/csv");
        let payload = payload.take();
        Box::pin(async move {
            accepted?;
            let text = String::from_utf8(read(payload).await?).map_err(|error| {
                let at = error.utf8_error().valid_up_to();
                Problem::new(&INVALID_CONTENT).detail(format!("the body is not UTF-8 from byte {at} on"))
            })?;
            if text.contains('\0') {
                return Err(Problem::new(&INVALID_CONTENT).error("", NUL.0, NUL.1));
            }
            Ok(Self(text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned)))
        })
    }
}
