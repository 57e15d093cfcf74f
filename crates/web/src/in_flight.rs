//! Keeps a request in flight until the end of its streamed answer.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::HttpResponse;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::web::Bytes;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// A streamed body that counts as in flight until it is dropped.
struct Counted {
    body: BoxBody,
    _in_flight: Option<TaskTrackerToken>,
}

/// Counts a request with a streamed answer as in flight until its body was read. Other bodies are complete already, and
/// the connection's shutdown waits for them.
pub(crate) fn until_sent(answer: HttpResponse, in_flight: Option<TaskTrackerToken>) -> HttpResponse {
    match answer.body().size() {
        BodySize::Stream => answer.map_body(|_head, body| Counted { body, _in_flight: in_flight }.boxed()),
        BodySize::None | BodySize::Sized(_) => answer,
    }
}

impl MessageBody for Counted {
    type Error = Box<dyn Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.get_mut().body.as_pin_mut().poll_next(context)
    }
}
