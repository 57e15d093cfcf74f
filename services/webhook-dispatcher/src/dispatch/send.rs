//! One attempt: a signed POST, bounded in time and in what is read back.

use std::pin::pin;
use std::time::{Duration, Instant};

use domain::catch_panic;
use egress::ssrf::{Guard, Lookup};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, RequestBuilder, StatusCode};
use telemetry::SpanExt;
use time::OffsetDateTime;
use tracing::Span;

use super::Job;
use super::answer::{self, SlowDown};
use super::endpoints::Endpoint;
use crate::domain::settings::PayloadStyle;
use crate::domain::signature::SigningKey;
use crate::domain::{payload, schedule};
use crate::store::outcomes::{Answer, Ending, Outcome};

/// Sends deliveries. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    guard: Guard,
}

/// A delivery that was tried.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) job: Job,
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
}

/// How the receiver answered, or why it did not.
#[derive(Default)]
struct Heard {
    status: Option<StatusCode>,
    answer: Answer,
    slow_down: Option<SlowDown>,
}

/// Why there is no request: of which kind, and in words.
type Unsendable = (&'static str, String);

impl Sender {
    /// A sender to where the guard permits.
    pub(super) const fn new(guard: Guard) -> Self {
        Self { guard }
    }

    /// Sends a delivery once. A panic is a failed attempt, recorded and repeated as any other.
    pub(super) async fn send(&self, endpoint: &Endpoint, job: Job, now: OffsetDateTime) -> Sent {
        let started = Instant::now();
        let tried = catch_panic(self.attempt(endpoint, &job, now)).await;
        let (outcome, took) = tried.unwrap_or_else(|_panic| {
            let mut heard = Heard::default();
            heard.fail("internal", "an internal error ended the attempt".to_owned());
            let took = started.elapsed();
            let outcome = heard.outcome(endpoint, &job, now, took);
            metrics::counter!("webhook_attempts_total", "outcome" => outcome.ending.name()).increment(1);
            (outcome, took)
        });
        Sent { job, outcome, took }
    }

    async fn attempt(&self, endpoint: &Endpoint, job: &Job, now: OffsetDateTime) -> (Outcome, Duration) {
        failpoint::hit("webhook.attempt");
        let started = Instant::now();
        let span = attempt_span(job);
        let mut heard = Heard::default();
        // What was allowed when it was subscribed may not be allowed any more, and a literal is never looked up.
        if let Err(refused) = self.guard.check_url(&endpoint.url) {
            heard.fail("address", refused.to_string());
        } else if let Some((class, text)) = post_in_time(&mut heard, endpoint, job, &span, now).await {
            heard.fail(class, text);
        }
        let took = started.elapsed();
        heard.judge();
        note(&span, &heard);
        let outcome = heard.outcome(endpoint, job, now, took);
        metrics::counter!("webhook_attempts_total", "outcome" => outcome.ending.name()).increment(1);
        metrics::histogram!("webhook_attempt_seconds").record(took);
        if let (Ending::Success, Some(accepted_at)) = (outcome.ending, job.accepted_at) {
            metrics::histogram!("webhook_end_to_end_seconds")
                .record((now + took - accepted_at).as_seconds_f64());
        }
        (outcome, took)
    }
}

impl Heard {
    /// The first thing that is wrong is what is told.
    fn fail(&mut self, class: &'static str, text: String) {
        self.answer.error.get_or_insert((class, text));
    }

    async fn post(&mut self, endpoint: &Endpoint, job: &Job, span: &Span, now: OffsetDateTime) {
        let request = |client: &Client| span.in_scope(|| request(client, endpoint, job, now));
        let mut response = match endpoint.client.send(request).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let (class, text) = egress::cause(&error.without_url());
                return self.fail(class, text);
            }
            Err((class, text)) => return self.fail(class, text),
        };
        let status = response.status();
        self.status = Some(status);
        self.answer.status = Some(i32::from(status.as_u16()));
        self.answer.ip = response.remote_addr().map(|address| address.ip().to_string());
        self.answer.headers = Some(answer::headers(response.headers(), &endpoint.redaction));
        self.slow_down = answer::slow_down(status, response.headers(), now);
        let (body, broken) = answer::excerpt(&mut response, &endpoint.redaction).await;
        self.answer.body = body;
        if let Some(error) = broken {
            let (_class, text) = egress::cause(&error.without_url());
            self.fail("incomplete", format!("the answer broke off: {text}"));
        }
    }

    /// Only a complete answer of 2xx is a success.
    fn judge(&mut self) {
        let Some(status) = self.status else { return };
        if status.is_redirection() {
            self.fail("redirect", format!("answered {status}; redirects are not followed"));
        } else if !status.is_success() {
            self.fail("status", format!("answered {status}"));
        }
    }

    fn outcome(self, endpoint: &Endpoint, job: &Job, now: OffsetDateTime, took: Duration) -> Outcome {
        let attempt = job.attempts + 1;
        let pause = self.slow_down.map(|it| it.pause);
        let ending = if self.answer.error.is_none() {
            Ending::Success
        } else if self.status == Some(StatusCode::GONE) {
            Ending::Gone
        } else if let Some(SlowDown { pause, is_throttling: true }) = self.slow_down {
            let is_kept = schedule::outlasts_throttling(now - job.run_started_at);
            if is_kept { Ending::Throttled(now + took + pause) } else { Ending::Failed }
        } else {
            let attempts = usize::try_from(attempt - job.attempts_before).unwrap_or(usize::MAX);
            endpoint.schedule.next_wait(attempts, rand::random()).map_or(Ending::Failed, |wait| {
                Ending::Again(now + took + wait.max(pause.unwrap_or_default()))
            })
        };
        Outcome {
            attempt,
            duration_ms: i32::try_from(took.as_millis()).unwrap_or(i32::MAX),
            answer: self.answer,
            pause_seconds: pause.map(whole_seconds),
            ..job.outcome(ending, now)
        }
    }
}

/// Rounded up: a pause is a minimum.
fn whole_seconds(pause: Duration) -> i32 {
    let seconds = pause.as_secs().saturating_add(u64::from(pause.subsec_nanos() > 0));
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

/// Posts a request within the endpoint's time limit; otherwise returns the class and the message of the timeout.
async fn post_in_time(
    heard: &mut Heard,
    endpoint: &Endpoint,
    job: &Job,
    span: &Span,
    now: OffsetDateTime,
) -> Option<Unsendable> {
    let (lookup, limit) = (Lookup::default(), endpoint.timeout);
    // Pinned here, because dropping the request would also end its lookup.
    let posted = pin!(lookup.watch(heard.post(endpoint, job, span, now)));
    tokio::time::timeout(limit, posted).await.err()?;
    if lookup.is_under_way() {
        let host = endpoint.url.host_str().unwrap_or_default();
        Some((
            "dns",
            format!("the name {host:?} was not looked up: no name server answered within {limit:?}"),
        ))
    } else {
        Some(("timeout", format!("no complete answer within {limit:?}")))
    }
}

/// The request, signed with every live key.
fn request(
    client: &Client,
    endpoint: &Endpoint,
    job: &Job,
    now: OffsetDateTime,
) -> Result<RequestBuilder, Unsendable> {
    let (id, timestamp) = (job.message_id.to_string(), now.unix_timestamp());
    let body = match endpoint.style {
        PayloadStyle::Standard => job.body.clone(),
        PayloadStyle::Legacy => payload::legacy(&job.body).map_err(|error| ("payload", error.to_string()))?,
    };
    let unsigned = || ("signature", "the message could not be signed".to_owned());
    let sign = |key: &SigningKey| key.sign(&id, timestamp, &body);
    let signatures: Option<Vec<String>> = endpoint.keys.iter().map(sign).collect();
    let mut request = traced(client.post(endpoint.url.clone()), job)
        .headers(endpoint.headers.clone())
        .header(CONTENT_TYPE, "application/json")
        .header("webhook-id", &id)
        .header("webhook-timestamp", timestamp.to_string())
        .header("webhook-signature", signatures.ok_or_else(unsigned)?.join(" "));
    if let Some(key) = endpoint.keys.first().filter(|_| endpoint.seed_signature) {
        request = request.header("x-webhook-signature", key.sign_body(&body).ok_or_else(unsigned)?);
    }
    Ok(request.body(body))
}

/// Tells the receiver of the trace: of our span in it, or, where nobody keeps it, of what we were told ourselves.
fn traced(request: RequestBuilder, job: &Job) -> RequestBuilder {
    match &job.trace {
        Some(trace) if !trace.is_sampled() => {
            trace.headers().fold(request, |request, (name, value)| request.header(name, value))
        }
        Some(_) => egress::traced(request),
        None => request,
    }
}

/// The span of one POST, in the trace the event belongs to, where somebody keeps that trace; nothing otherwise. It names no
/// address: that is the subscriber's own.
fn attempt_span(job: &Job) -> Span {
    let Some(trace) = job.trace.as_ref().filter(|trace| trace.is_sampled()) else { return Span::none() };
    let span =
        tracing::error_span!(parent: None, "webhook", otel.name = "POST webhook", otel.kind = "client");
    trace.adopt(&span);
    span.set_attribute("http.request.method", "POST");
    span.set_attribute("http.request.resend_count", i64::from(job.attempts));
    span
}

fn note(span: &Span, heard: &Heard) {
    if let Some(status) = heard.status {
        span.set_attribute("http.response.status_code", i64::from(status.as_u16()));
    }
    if let Some((class, _)) = &heard.answer.error {
        span.set_attribute("error.type", *class);
        telemetry::failed(span, "not delivered");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::whole_seconds;

    #[test]
    fn a_pause_is_rounded_up_to_whole_seconds() {
        for (milliseconds, seconds) in [(1000, 1), (1001, 2), (119_400, 120), (86_400_000, 86_400)] {
            assert_eq!(whole_seconds(Duration::from_millis(milliseconds)), seconds, "{milliseconds}");
        }
        assert_eq!(whole_seconds(Duration::MAX), i32::MAX);
    }
}
