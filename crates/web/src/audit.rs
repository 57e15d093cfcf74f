//! The audit log: one line under the logger `audit` for each accepted write request.
//!
//! It contains no body, and of the path only the ids.

use actix_router::{Path, ResourceDef};
use actix_web::Error;
use actix_web::HttpMessage;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next;

use crate::auth::Caller;

/// Logs when it is dropped. A request that was abandoned, or whose handler panicked, has no status.
struct Line {
    caller: Caller,
    method: Method,
    route: String,
    ids: String,
    status: Option<u16>,
}

impl Drop for Line {
    fn drop(&mut self) {
        // The request's id comes from its span, as `correlation_id`.
        tracing::info!(
            target: "audit",
            subject = self.caller.subject,
            user_id = self.caller.user_id,
            method = self.method.as_str(),
            route = self.route,
            ids = self.ids,
            status = self.status,
            "write"
        );
    }
}

/// Logs every request whose method may change something. It runs after authentication.
pub(crate) async fn audit<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let line = if request.method() == Method::GET { None } else { line(&request) };
    let outcome = next.call(request).await;
    if let Some(mut line) = line {
        line.status = Some(match &outcome {
            Ok(response) => response.status().as_u16(),
            Err(error) => error.as_response_error().status_code().as_u16(),
        });
    }
    outcome
}

fn line(request: &ServiceRequest) -> Option<Line> {
    let caller = request.extensions().get::<Caller>()?.clone();
    let route = request.match_pattern().unwrap_or_else(|| "unmatched".to_owned());
    // The router has not run yet.
    let mut path = Path::new(request.path());
    let ids = if ResourceDef::new(route.as_str()).capture_match_info(&mut path) {
        path.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    } else {
        String::new()
    };
    Some(Line { caller, method: request.method().clone(), route, ids, status: None })
}
