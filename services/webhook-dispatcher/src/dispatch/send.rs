//! One attempt: a signed POST, bounded in time and in what is read back.

use std::time::{Duration, Instant};

use domain::backoff;
use egress::ssrf::Guard;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use telemetry::SpanExt;
use time::OffsetDateTime;
use tracing::{Instrument, Span};

use super::Job;
use super::endpoints::Endpoint;
use crate::domain::payload;
use crate::domain::settings::PayloadStyle;
use crate::store::outcomes::Outcome;

/// What is read of an answer's body.
const READ_BYTES: usize = 64 * 1024;
/// What is kept of it.
const KEPT_BYTES: usize = 4 * 1024;
/// The longest a receiver may ask us to wait.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// How the receiver answered, or why it did not.
struct Answer {
    status: Option<StatusCode>,
    body: Option<String>,
    retry_after: Option<Duration>,
    error: Option<(&'static str, String)>,
}

/// Sends a delivery once.
pub(super) async fn send(
    client: &Client,
    guard: &Guard,
    endpoint: &Endpoint,
    job: &Job,
    now: OffsetDateTime,
) -> Outcome {
    let started = Instant::now();
    // What was allowed when it was subscribed may not be allowed any more, and a literal is never looked up.
    let answer = if let Err(refused) = guard.check_url(&endpoint.url) {
        failed("address", refused.to_string())
    } else {
        let span = attempt_span(job);
        let posted = post(client, endpoint, job, now).instrument(span.clone());
        let answer = tokio::time::timeout(endpoint.timeout, posted).await.unwrap_or_else(|_elapsed| {
            failed("timeout", format!("no complete answer within {:?}", endpoint.timeout))
        });
        note(&span, &answer);
        answer
    };
    let duration = started.elapsed();
    let attempt = job.attempts + 1;
    let error = answer.error.or_else(|| match answer.status {
        Some(status) if status.is_success() => None,
        Some(status) if status.is_redirection() => {
            Some(("redirect", format!("answered {status}; redirects are not followed")))
        }
        Some(status) => Some(("status", format!("answered {status}"))),
        None => None,
    });
    let is_gone = answer.status == Some(StatusCode::GONE);
    let (status, next_attempt_at) = if error.is_none() {
        ("success", None)
    } else if is_gone {
        ("failed", None)
    } else {
        let attempts = usize::try_from(attempt - job.attempts_before).unwrap_or(usize::MAX);
        match endpoint.schedule.next_wait(attempts, rand::random()) {
            Some(wait) => {
                let wait = wait.max(answer.retry_after.unwrap_or_default());
                ("pending", Some(now + duration + wait))
            }
            None => ("failed", None),
        }
    };
    metrics::counter!("webhook_attempts_total", "outcome" => status).increment(1);
    metrics::histogram!("webhook_attempt_seconds").record(duration);
    let (error_class, error_message) = error.unzip();
    Outcome {
        delivery_id: job.delivery_id,
        subscription_id: job.subscription_id,
        claim: job.claim,
        attempt,
        attempted_at: now,
        duration_ms: i32::try_from(duration.as_millis()).unwrap_or(i32::MAX),
        status,
        next_attempt_at,
        response_status: answer.status.map(|status| i32::from(status.as_u16())),
        response_body: answer.body,
        error_class,
        error_message,
        is_gone,
    }
}

/// A delivery nobody wants any more.
pub(super) fn cancelled(job: &Job, now: OffsetDateTime) -> Outcome {
    Outcome {
        delivery_id: job.delivery_id,
        subscription_id: job.subscription_id,
        claim: job.claim,
        attempt: 0,
        attempted_at: now,
        duration_ms: 0,
        status: "cancelled",
        next_attempt_at: None,
        response_status: None,
        response_body: None,
        error_class: None,
        error_message: Some("the subscription is not active".to_owned()),
        is_gone: false,
    }
}

/// The span of one POST, in the trace the event belongs to. It names no address: that is the subscriber's own.
fn attempt_span(job: &Job) -> Span {
    let span =
        tracing::error_span!(parent: None, "webhook", otel.name = "POST webhook", otel.kind = "client");
    if let Some(trace) = &job.trace {
        trace.adopt(&span);
    }
    span.set_attribute("http.request.method", "POST");
    span.set_attribute("http.request.resend_count", i64::from(job.attempts));
    span
}

fn note(span: &Span, answer: &Answer) {
    if let Some(status) = answer.status {
        span.set_attribute("http.response.status_code", i64::from(status.as_u16()));
    }
    let class = answer.error.as_ref().map(|(class, _)| *class);
    if class.is_some() || !answer.status.is_some_and(|status| status.is_success()) {
        span.set_attribute("error.type", class.unwrap_or("status"));
        telemetry::failed(span, "not delivered");
    }
}

fn failed(class: &'static str, text: String) -> Answer {
    Answer { status: None, body: None, retry_after: None, error: Some((class, text)) }
}

async fn post(client: &Client, endpoint: &Endpoint, job: &Job, now: OffsetDateTime) -> Answer {
    let (id, timestamp) = (job.message_id.to_string(), now.unix_timestamp());
    let body = match endpoint.style {
        PayloadStyle::Standard => job.body.clone(),
        PayloadStyle::Legacy => match payload::legacy(&job.body) {
            Ok(body) => body,
            Err(error) => return failed("payload", error.to_string()),
        },
    };
    let signatures: Option<Vec<String>> =
        endpoint.keys.iter().map(|key| key.sign(&id, timestamp, &body)).collect();
    let seed_key = endpoint.keys.first().filter(|_| endpoint.seed_signature);
    let seed_signature = seed_key.and_then(|key| key.sign_body(&body));
    let Some(signatures) = signatures else {
        return failed("signature", "the message could not be signed".to_owned());
    };
    let mut request = egress::traced(client.post(endpoint.url.clone()))
        .headers(endpoint.headers.clone())
        .header(CONTENT_TYPE, "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", timestamp.to_string())
        .header("webhook-signature", signatures.join(" "))
        .body(body);
    if let Some(signature) = seed_signature {
        request = request.header("x-webhook-signature", signature);
    }
    match request.send().await {
        Ok(response) => {
            let status = response.status();
            let retry_after = retry_after(&response);
            let body = excerpt(response).await;
            Answer { status: Some(status), body, retry_after, error: None }
        }
        Err(error) => {
            let class = if error.is_connect() { "connect" } else { "network" };
            // The innermost cause says what happened; the outer ones repeat the address.
            let mut cause: &dyn std::error::Error = &error;
            while let Some(inner) = cause.source() {
                cause = inner;
            }
            failed(class, egress::redact(&cause.to_string()))
        }
    }
}

/// The first part of the body as text. A receiver that goes on for ever is not listened to.
async fn excerpt(mut response: Response) -> Option<String> {
    let mut read = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        read.extend_from_slice(&chunk);
        if read.len() >= READ_BYTES {
            break;
        }
    }
    // Postgres's text cannot hold U+0000.
    let text = String::from_utf8_lossy(&read).replace('\0', "\u{fffd}");
    let end = text.floor_char_boundary(KEPT_BYTES);
    text.get(..end).filter(|kept| !kept.is_empty()).map(str::to_owned)
}

/// RFC 9110 §10.2.3, in seconds; spread, as many may be told the same.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds: u64 = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    let wait = Duration::from_secs(seconds).min(LONGEST_WAIT);
    Some(wait.max(backoff::jitter(wait, 0.2, rand::random())))
}
