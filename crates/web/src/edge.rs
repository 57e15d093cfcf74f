//! The outermost layer: it sees every request first and every answer last.
//!
//! Invariants: one log line and one measurement for each answer, both without the raw path, because a path may contain
//! a secret (a device code) or an unbounded set of ids. Every error answer is a problem.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{ConnectionType, Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpResponse, web};
use domain::catch_panic;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::in_flight;
use crate::metrics::REQUEST_DURATION;
use crate::problem::{ErrorCode, INTERNAL, Problem, REQUEST_TIMEOUT};
use crate::rate::Slot;
use crate::request_id::{self, RequestId};
use crate::trace;

/// State that all workers of one server share.
pub(crate) struct Shared {
    pub(crate) runtime: Handle,
    pub(crate) request_timeout: Duration,
    /// A stop is announced: the server is not ready, and connections close after their answer.
    pub(crate) draining: AtomicBool,
    /// Requests in flight, until the end of a streamed answer. Probes do not count.
    pub(crate) in_flight: TaskTracker,
}

/// Routes of the orchestrator's probes, which are requested frequently.
pub(crate) const PROBES: [&str; 4] = ["/livez", "/readyz", "/health", "/metrics"];

pub(crate) async fn edge<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(shared) = request.app_data::<web::Data<Shared>>().cloned() else {
        return Err(Problem::new(&INTERNAL).into());
    };
    let started = Instant::now();
    let id = RequestId::of(request.headers());
    let instance = request.path().to_owned();
    let route = request.match_pattern().unwrap_or_else(|| "unmatched".to_owned());
    let method = method_label(request.method());
    let is_probe = PROBES.contains(&route.as_str());
    let in_flight = (!is_probe).then(|| shared.in_flight.token());

    // RFC 9110 §9.3.2: HEAD is GET without the body. The HTTP layer omits the body.
    if request.method() == Method::HEAD {
        request.head_mut().method = Method::GET;
    }
    let limit = Slot::default();
    request.extensions_mut().insert(limit.clone());
    request.extensions_mut().insert(id.clone());

    let span = trace::request_span(request.headers(), &id, method, &route, is_probe);
    // Called inside `catch_panic`, because routing may panic too.
    let work = Box::pin(async move { next.call(request).await });
    let work = catch_panic(WithRuntime { runtime: &shared.runtime, work });
    let outcome = tokio::time::timeout(shared.request_timeout, work).instrument(span.clone()).await;
    let entered = span.entered();

    let finish = |mut answer: HttpResponse| {
        if let Ok(value) = HeaderValue::from_str(id.as_str()) {
            answer.headers_mut().insert(request_id::HEADER, value);
        }
        limit.write_to(answer.headers_mut());
        if shared.draining.load(Ordering::Relaxed) {
            answer.head_mut().set_connection_type(ConnectionType::Close);
        }
        let status = answer.status().as_u16();
        let seconds = started.elapsed().as_secs_f64();
        trace::answered(&entered, status);
        metrics::histogram!(
            REQUEST_DURATION,
            "http_route" => route.clone(),
            "http_request_method" => method,
            "http_response_status_code" => status.to_string()
        )
        .record(seconds);
        if is_probe {
            tracing::debug!(method, route, status, seconds, "request answered");
        } else {
            tracing::info!(method, route, status, seconds, "request answered");
        }
        answer
    };
    let refuse = |problem: &Problem| {
        let answer = finish(problem.render(&instance, id.as_str()));
        InternalError::from_response(problem.to_string(), answer).into()
    };
    match outcome {
        Ok(Ok(Ok(response))) => {
            let (request, response) = response.map_into_boxed_body().into_parts();
            let answer = as_problem(&response).map(|problem| problem.render(&instance, id.as_str()));
            let answer = in_flight::until_sent(finish(answer.unwrap_or(response)), in_flight);
            Ok(ServiceResponse::new(request, answer))
        }
        Ok(Ok(Err(error))) => Err(match error.as_error::<Problem>() {
            Some(problem) => refuse(problem),
            None => refuse(&Problem::new(ErrorCode::for_status(error.as_response_error().status_code()))),
        }),
        // The panic hook has logged the panic in this request's span. The caller does not get its message.
        Ok(Err(_panic)) => Err(refuse(&Problem::new(&INTERNAL))),
        Err(_) => Err(refuse(&Problem::new(&REQUEST_TIMEOUT).retry_after(Duration::from_secs(1)))),
    }
}

/// The problem to answer with, if the response is an error in another form: a [`Problem`] that a handler or extractor
/// returned, another library's error, or a bare status of the router.
fn as_problem(response: &HttpResponse) -> Option<Problem> {
    let status = response.status();
    if let Some(error) = response.error() {
        let Some(problem) = error.as_error::<Problem>() else {
            return Some(Problem::new(ErrorCode::for_status(status)));
        };
        return Some(problem.clone());
    }
    let is_bare = !response.headers().contains_key(header::CONTENT_TYPE);
    let is_error = status.is_client_error() || status.is_server_error();
    if !(is_bare && is_error) {
        return None;
    }
    let problem = Problem::new(ErrorCode::for_status(status));
    if status != StatusCode::METHOD_NOT_ALLOWED {
        return Some(problem);
    }
    let known =
        response.headers().get(header::ALLOW).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let allow = if known.contains("GET") { format!("{known}, HEAD") } else { known.to_owned() };
    Some(match HeaderValue::try_from(allow) {
        Ok(value) => problem.header(header::ALLOW, value),
        Err(_) => problem,
    })
}

/// Callers may invent methods. A metric needs few label values.
fn method_label(method: &Method) -> &'static str {
    const KNOWN: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("_OTHER")
}

/// Polls `work` inside the service's runtime.
///
/// Each HTTP worker has its own small runtime, which ends with the server. A database connection that is opened by a
/// request would belong to it, and die in the pool while tasks still drain. With this wrapper, everything that a
/// handler spawns or connects belongs to the runtime that outlives the server.
struct WithRuntime<'a, F> {
    runtime: &'a Handle,
    work: F,
}

impl<F: Future + Unpin> Future for WithRuntime<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let _entered = self.runtime.enter();
        pin!(&mut self.work).poll(context)
    }
}
