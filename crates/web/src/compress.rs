//! Compresses answers with gzip.

use actix_http::encoding::Encoder;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    self, AcceptEncoding, ContentEncoding, Encoding, Header, HeaderMap, HeaderValue,
};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse};

/// Smaller answers fit into one or two packets.
const MIN_BYTES: u64 = 1024;

/// Compresses text over 1 KiB, or of unknown length, if the client accepts gzip. A stream remains a stream: compressed
/// output is flushed with each part. An event stream is not compressed: each event must arrive at once.
pub(crate) async fn compress<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let accepts = accepts_gzip(&request);
    let mut response = next.call(request).await?.map_into_boxed_body();
    if !is_worth_it(response.response()) {
        return Ok(response);
    }
    if !accepts {
        // Caches must not serve a compressed answer to a client that cannot read it, or the reverse.
        response.headers_mut().append(header::VARY, HeaderValue::from_static("accept-encoding"));
        return Ok(response);
    }
    Ok(response.map_body(|head, body| Encoder::response(ContentEncoding::Gzip, head, body).boxed()))
}

/// RFC 9110 §12.5.3. Without the header nothing is compressed.
fn accepts_gzip(request: &ServiceRequest) -> bool {
    let offered = [Encoding::gzip(), Encoding::identity()];
    request.headers().contains_key(header::ACCEPT_ENCODING)
        && AcceptEncoding::parse(request)
            .is_ok_and(|accepted| accepted.negotiate(offered.iter()) == Some(Encoding::gzip()))
}

fn is_worth_it(response: &HttpResponse) -> bool {
    let is_long = match response.body().size() {
        BodySize::None => false,
        BodySize::Sized(bytes) => bytes > MIN_BYTES,
        BodySize::Stream => true,
    };
    is_long && !response.headers().contains_key(header::CONTENT_ENCODING) && is_text(response.headers())
}

fn is_text(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = value.split(';').next().unwrap_or_default().trim();
    match kind.split_once('/') {
        Some(("text", subtype)) => subtype != "event-stream",
        Some((_, subtype)) => {
            matches!(subtype, "json" | "x-ndjson" | "xml" | "yaml" | "javascript")
                || subtype.ends_with("+json")
                || subtype.ends_with("+xml")
        }
        None => false,
    }
}
