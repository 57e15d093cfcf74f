//! Answers that are streamed are in flight until their end.

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

/// Lets a request count as in flight until the body of its answer is read, where that is streamed. Any other is there
/// already, and the end of the connection waits for it.
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
