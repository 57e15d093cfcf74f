//! Answers that are sent while they are produced.
//!
//! Invariant: an answer ends cleanly only when its producer has returned `Ok`. If the producer fails, panics or is dropped,
//! the connection ends without the last chunk (RFC 9112 §8), so that the reader detects an incomplete answer.

use std::error::Error;
use std::task::{Poll, ready};
use std::time::Duration;

use actix_web::web::Bytes;
use domain::Chain;
use futures_util::{Stream, stream};
use tokio::sync::mpsc;
use tracing::Instrument;

/// A reader that reads nothing for this long is disconnected.
const READ_TIMEOUT: Duration = Duration::from_secs(50);

enum Part {
    Bytes(Bytes),
    End,
}

/// The channel to which a producer sends the parts of an answer.
pub struct Parts(mpsc::Sender<Part>);

/// The reason for which an answer is incomplete.
#[derive(Debug, thiserror::Error)]
pub enum Incomplete {
    /// The reader closed the connection.
    #[error("the reader closed the connection")]
    ReaderGone,
    /// The reader read nothing for 50 s.
    #[error("the reader read nothing for {READ_TIMEOUT:?}")]
    ReaderStalled,
    /// The next part could not be produced.
    #[error("the next part could not be produced")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
    /// The producer panicked, or the process ends.
    #[error("the producer ended before the answer was complete")]
    Abandoned,
}

impl Incomplete {
    /// The error that prevented the next part.
    pub fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed(error.into())
    }
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Parts")
    }
}

impl Parts {
    /// Sends a part. At most one part is buffered while the previous one is sent.
    ///
    /// # Errors
    /// The reader is gone or stalled; the producer must return this error.
    pub async fn send(&self, bytes: Bytes) -> Result<(), Incomplete> {
        self.put(Part::Bytes(bytes)).await
    }

    async fn put(&self, part: Part) -> Result<(), Incomplete> {
        match tokio::time::timeout(READ_TIMEOUT, self.0.send(part)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_closed)) => Err(Incomplete::ReaderGone),
            Err(_elapsed) => Err(Incomplete::ReaderStalled),
        }
    }
}

/// The body of an answer that `produce` generates in its own task, for `HttpResponseBuilder::streaming`. The body is
/// complete when `produce` returns `Ok`. `produce` also ends when the reader is gone, and its values are then dropped.
pub fn streamed<F>(
    produce: impl FnOnce(Parts) -> F,
) -> impl Stream<Item = Result<Bytes, Incomplete>> + Unpin + 'static
where
    F: Future<Output = Result<(), Incomplete>> + Send + 'static,
{
    let (parts, mut taken) = mpsc::channel(1);
    let (end, produced) = (Parts(parts.clone()), produce(Parts(parts)));
    let work = async move {
        let ended = match produced.await {
            Ok(()) => end.put(Part::End).await,
            Err(incomplete) => Err(incomplete),
        };
        match ended {
            Ok(()) => {}
            Err(error @ (Incomplete::ReaderGone | Incomplete::ReaderStalled)) => {
                tracing::info!(%error, "streamed answer was not read to its end");
            }
            Err(error) => tracing::warn!(error = %Chain(&error), "streamed answer ended early"),
        }
    };
    tokio::spawn(work.in_current_span());
    stream::poll_fn(move |context| {
        Poll::Ready(match ready!(taken.poll_recv(context)) {
            Some(Part::Bytes(bytes)) => Some(Ok(bytes)),
            Some(Part::End) => None,
            // The producer was dropped before its end, for example by a panic.
            None => Some(Err(Incomplete::Abandoned)),
        })
    })
}
