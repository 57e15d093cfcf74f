//! One request: its place within the limits, its answer, and what is told of it.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{RequestBuilder, Response, StatusCode};
use time::OffsetDateTime;

use super::head;
use super::pause::{Halt, PAUSE, Scope, Subject};
use super::route::Route;
use super::{AllegroClient, AllegroError};

/// Nothing Allegro sends is larger: a thousand events or a hundred orders.
const MAX_BYTES: usize = 32 << 20;
/// Nobody is waited for longer, whatever Allegro says.
const LONGEST: Duration = Duration::from_hours(1);
/// How long requests took, by `route`.
const DURATION: &str = "allegro_request_duration_seconds";
/// Requests, by `route` and `status`; `none` where there was no answer.
const REQUESTS: &str = "allegro_requests_total";

/// A success's body, or a refusal's with its status.
pub(super) enum Answered {
    Success(Bytes),
    Refusal { status: StatusCode, json: Option<Bytes>, trace: String },
}

impl AllegroClient {
    /// Sends a request on behalf of `subject` once. Waits for its place within the limits no longer than `patience`.
    pub(super) async fn once(
        &self,
        route: Route,
        subject: Subject,
        request: RequestBuilder,
        patience: Duration,
    ) -> Result<Answered, AllegroError> {
        if let Some(halt) = self.pause.remaining(subject).await {
            return Err(AllegroError::Paused(halt));
        }
        self.limits.admit(route, patience).await?;
        let started = Instant::now();
        let sent = egress::traced(request).send().await;
        self.reach.saw(sent.is_ok());
        let response = sent.map_err(|error| {
            count(route, "none");
            AllegroError::network(&error)
        })?;
        let status = response.status();
        count(route, status.as_str());
        let wait = retry_after(response.headers());
        if status == StatusCode::TOO_MANY_REQUESTS {
            let halt = self.pause.begin(subject, wait.unwrap_or_default()).await;
            log_pause(route, subject, halt, "met");
            return Err(AllegroError::Paused(halt));
        }
        self.pause.was_answered(subject);
        if is_last(response.headers()) {
            let halt = self.pause.begin(subject, wait.unwrap_or_default()).await;
            log_pause(route, subject, halt, "used up");
        }
        let (kind, trace) =
            (text(response.headers(), CONTENT_TYPE.as_str()), text(response.headers(), "trace-id"));
        let body = read(route, response).await?;
        metrics::histogram!(DURATION, "route" => route.label()).record(started.elapsed());
        let is_json = kind.contains("json");
        if status.is_server_error() {
            let text = format!("it answered {} (trace {trace})", status.as_u16());
            return Err(AllegroError::Unavailable { network: false, text, retry_after: wait });
        }
        if !status.is_success() {
            return Ok(Answered::Refusal { status, json: is_json.then_some(body), trace });
        }
        if !is_json {
            // A gateway speaks in Allegro's place.
            let text = format!("it answered with {kind:?} instead of JSON (trace {trace})");
            return Err(AllegroError::Unavailable { network: false, text, retry_after: None });
        }
        Ok(Answered::Success(body))
    }
}

/// Logs that a limit was `how` ("met"), and who pauses.
fn log_pause(route: Route, subject: Subject, halt: Halt, how: &str) {
    let (route, wait_seconds) = (route.label(), halt.wait.as_secs());
    let who = match halt.scope {
        Scope::Subject => "its calls",
        Scope::Everyone => "all calls",
    };
    tracing::warn!(route, account = %subject, wait_seconds, "Allegro's limit was {how}; {who} pause");
}

/// Reads a body to its end, unless it is too large.
async fn read(route: Route, mut response: Response) -> Result<Bytes, AllegroError> {
    let mut body = BytesMut::new();
    while let Some(piece) = response.chunk().await.map_err(|error| AllegroError::broken(&error))? {
        if body.len() + piece.len() > MAX_BYTES {
            tracing::warn!(route = route.label(), "an answer of Allegro is larger than {MAX_BYTES} bytes");
            let first = head::first_id(&body);
            return Err(AllegroError::Malformed { text: "is larger than any should be", first });
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

fn count(route: Route, status: &str) {
    metrics::counter!(REQUESTS, "route" => route.label(), "status" => status.to_owned()).increment(1);
}

/// A header as text, cut where it is longer than any of use.
fn text(headers: &HeaderMap, name: &str) -> String {
    let value = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("none");
    value.chars().take(64).collect()
}

/// Allegro says that this was the last request it takes for now.
fn is_last(headers: &HeaderMap) -> bool {
    headers.get("x-ratelimit-remaining").and_then(|value| value.to_str().ok()?.trim().parse().ok())
        == Some(0_u64)
}

/// How long Allegro asks us to wait, up to the longest wait.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    Some(egress::retry_after(headers, OffsetDateTime::now_utc())?.min(LONGEST))
}

/// A pause after 429 is never shorter than this.
const _: () = assert!(PAUSE.as_secs() >= 60);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::Duration;

    use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc2822;

    use super::{LONGEST, retry_after};

    #[test]
    fn retry_after_is_seconds_or_a_date_and_never_too_long() {
        let read = |text: &str| {
            let value = HeaderValue::from_str(text).unwrap();
            retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value)]))
        };
        assert_eq!(read(" 90 "), Some(Duration::from_secs(90)));
        assert_eq!(read("999999"), Some(LONGEST));
        assert_eq!(read("99999999999999999999"), Some(LONGEST));
        assert_eq!(read("Wednesday, 21-Oct-15 07:28:00 GMT"), Some(Duration::ZERO), "it has come");
        assert_eq!(read("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO), "it has come");
        let soon = OffsetDateTime::now_utc() + Duration::from_secs(100);
        let wait = read(&soon.format(&Rfc2822).unwrap()).unwrap();
        assert!((90..=100).contains(&wait.as_secs()), "{wait:?}");
        assert_eq!(read("soon"), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
