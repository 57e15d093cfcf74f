//! Resends requests whose reused connection the server was closing.

use std::cell::Cell;
use std::error::Error;
use std::io;
use std::iter;
use std::pin::Pin;
use std::task::{Context, Poll};

use reqwest::{Client, ClientBuilder, RequestBuilder, Response};
use tower_layer::Layer;
use tower_service::Service;

tokio::task_local! {
    /// Whether a connection was opened for the current request.
    static IS_OPENED: Cell<bool>;
}

/// A client for addresses that users supply. Cheap to clone.
#[derive(Debug, Clone)]
pub struct GuardedClient {
    /// Keeps connections open between requests.
    pooled: Client,
    /// Opens a connection for each request.
    unpooled: Client,
}

impl GuardedClient {
    pub(crate) fn new(
        builder: impl Fn() -> Result<ClientBuilder, reqwest::Error>,
    ) -> Result<Self, reqwest::Error> {
        let pooled = builder()?.connector_layer(NoteOpened).build()?;
        Ok(Self { pooled, unpooled: builder()?.pool_max_idle_per_host(0).build()? })
    }

    /// Sends the request that `request` builds; `request` must build the same one each time. The request is sent once more,
    /// on a new connection, when the server closes a reused connection before the head of an answer.
    ///
    /// # Errors
    /// The outer error is that of `request`, the inner one that of sending.
    pub async fn send<E>(
        &self,
        request: impl Fn(&Client) -> Result<RequestBuilder, E>,
    ) -> Result<Result<Response, reqwest::Error>, E> {
        let first = request(&self.pooled)?.send();
        let noted = async { (first.await, IS_OPENED.with(Cell::get)) };
        match IS_OPENED.scope(Cell::new(false), noted).await {
            (Err(error), false) if is_closed(&error) => Ok(request(&self.unpooled)?.send().await),
            (sent, _) => Ok(sent),
        }
    }
}

/// Whether the server closed the connection instead of answering.
fn is_closed(error: &reqwest::Error) -> bool {
    let mut causes = iter::successors(Some::<&(dyn Error + 'static)>(error), |&cause| cause.source());
    !error.is_connect() && !error.is_timeout() && causes.any(says_closed)
}

fn says_closed(cause: &(dyn Error + 'static)) -> bool {
    if let Some(error) = cause.downcast_ref::<h2::Error>() {
        // Streams that the server declared unprocessed (RFC 9113 §6.8 and §8.7).
        let is_unprocessed = match error.reason() {
            Some(h2::Reason::NO_ERROR) => error.is_go_away(),
            Some(h2::Reason::REFUSED_STREAM) => error.is_reset(),
            _ => false,
        };
        return error.is_remote() && is_unprocessed || error.get_io().is_some_and(is_end);
    }
    cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message)
        || cause.downcast_ref::<io::Error>().is_some_and(is_end)
}

fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

/// Records in [`IS_OPENED`] that a connection was opened.
#[derive(Debug, Clone)]
struct NoteOpened;

impl<S> Layer<S> for NoteOpened {
    type Service = Noting<S>;

    fn layer(&self, connector: S) -> Noting<S> {
        Noting(connector)
    }
}

#[derive(Debug, Clone)]
struct Noting<S>(S);

impl<S, R> Service<R> for Noting<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, target: R) -> Self::Future {
        let opening = self.0.call(target);
        Box::pin(async move {
            let opened = opening.await;
            if opened.is_ok() {
                // A connection that lost the race to another one is opened outside any request.
                let _outside = IS_OPENED.try_with(|it| it.set(true));
            }
            opened
        })
    }
}
