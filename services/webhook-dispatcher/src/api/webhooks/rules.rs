//! What settings must be like.

use std::ops::RangeInclusive;

use egress::ssrf::Guard;
use secrecy::{ExposeSecret, SecretString};
use web::FieldErrors;

use crate::app::subscriptions::{Malformed, NewKey, Scheme, Settings, SigningKey};
use crate::domain::filter::Filter;
use crate::domain::settings::is_pointer;
use crate::domain::{headers, pattern, receiver_url, tls};
use crate::state::State;

const MAX_EVENTS: usize = 100;
const MAX_NAME: usize = 100;
const MAX_DESCRIPTION: usize = 1000;
const RETRIES: RangeInclusive<usize> = 1..=20;
const MAX_RETRY_COUNT: i32 = 20;
/// A week.
const RETRY_SECONDS: RangeInclusive<i32> = 1..=604_800;
const MAX_POINTER: usize = 200;
const MAX_PEM: usize = 32 * 1024;
/// Where the signature of before the standard is asked for and the key makes none.
pub(super) const NEEDS_V1: &str = "needs_v1";

/// Checks settings, except the secret, which signs by this scheme, and adds every violation to `errors`. Normalises the
/// URL.
pub(super) fn check(errors: &mut FieldErrors, state: &State, settings: &mut Settings, scheme: Scheme) {
    check_url(errors, &state.guard, &mut settings.url);
    check_events(errors, &settings.events, &state.outside_types);
    if let Some(Err(mistake)) = settings.filter.as_deref().map(Filter::read) {
        errors.push(format!("/filter{}", mistake.pointer), mistake.code, mistake.message);
    }
    check_retries(errors, settings);
    in_range(errors, "/timeout_seconds", Some(settings.timeout_seconds), 1..=30);
    in_range(errors, "/rate_limit_per_second", settings.rate_limit_per_second, 1..=10_000);
    in_range(errors, "/max_concurrency", settings.max_concurrency, 1..=64);
    short(errors, "/name", settings.name.as_deref(), MAX_NAME);
    short(errors, "/description", settings.description.as_deref(), MAX_DESCRIPTION);
    errors.check(settings.knows_version(), "/api_version", "unknown_version", "is v1");
    if let Some(pointer) = &settings.ordering_key {
        let is_fine = pointer.chars().count() <= MAX_POINTER && is_pointer(pointer);
        errors.check(
            is_fine,
            "/ordering_key",
            "malformed",
            "is a JSON pointer (RFC 6901) of at most 200 characters",
        );
        let message = "is of use only where ordered is true";
        errors.check(settings.ordered, "/ordering_key", "not_ordered", message);
    }
    check_headers(errors, settings);
    let message = "needs a secret that signs v1; this one signs v1a";
    let has_key = !settings.seed_signature || scheme == Scheme::V1;
    errors.check(has_key, "/seed_signature", NEEDS_V1, message);
    if let Some(pem) = &settings.custom_ca {
        check_pem(errors, "/custom_ca", pem, tls::check_authorities);
    }
    if let Some(pem) = &settings.client_certificate {
        check_pem(errors, "/client_certificate", pem.expose_secret(), tls::check_identity);
    }
}

/// The key a wish names in one of two ways, or a fresh one of the kind it names; none when something is wrong with it.
pub(super) fn key(
    errors: &mut FieldErrors,
    secret: Option<&SecretString>,
    secret_key: Option<&SecretString>,
    signature: Option<Scheme>,
) -> Option<NewKey> {
    let (pointer, given) = match (secret, secret_key) {
        (Some(_), Some(_)) => {
            errors.push("/secret_key", "ambiguous", "is the same as secret; give one of them");
            return None;
        }
        (Some(secret), None) => ("/secret", secret),
        (None, Some(secret)) => ("/secret_key", secret),
        (None, None) => return Some(NewKey::Fresh(signature)),
    };
    match SigningKey::read(given.expose_secret()) {
        Err(malformed) => {
            let (code, message) = wrong_secret(malformed);
            errors.push(pointer, code, message);
            None
        }
        Ok(key) if signature.is_some_and(|named| named != key.scheme()) => {
            let message = "is not how the secret signs: whsec_ signs v1, whsk_ signs v1a; give one of them";
            errors.push("/signature", "contradiction", message);
            None
        }
        Ok(key) => Some(NewKey::Given(key)),
    }
}

const fn wrong_secret(malformed: Malformed) -> (&'static str, &'static str) {
    match malformed {
        Malformed::Symmetric => (
            "weak_secret",
            "is whsec_ and the base64 of 24 to 64 bytes, or whsk_ and the base64 of an ed25519 key and its public key",
        ),
        Malformed::Asymmetric => {
            ("malformed", "is whsk_ and the base64 of 64 bytes: an ed25519 key, then its public key")
        }
        Malformed::Halves => (
            "halves_differ",
            "has a public half, its last 32 bytes, that does not belong to its private half",
        ),
    }
}

fn check_url(errors: &mut FieldErrors, guard: &Guard, text: &mut String) {
    match receiver_url::normalise(text) {
        Err((code, message)) => errors.push("/url", code, message),
        Ok(url) => {
            if let Err(refused) = guard.check_url(&url) {
                errors.push("/url", "address_refused", refused.to_string());
            }
            *text = url.into();
        }
    }
}

fn check_events(errors: &mut FieldErrors, events: &[String], outside: &[String]) {
    let is_well_sized = (1..=MAX_EVENTS).contains(&events.len());
    errors.check(is_well_sized, "/events", "wrong_length", "holds 1 to 100 event types");
    for (at, event) in events.iter().enumerate().take(MAX_EVENTS) {
        if !pattern::is_known(event, outside) {
            let message = "is no event type; GET /api/v1/event-types lists them; noun.* and * are understood";
            errors.push(format!("/events/{at}"), "unknown_event_type", message);
        }
    }
}

fn check_retries(errors: &mut FieldErrors, settings: &Settings) {
    in_range(errors, "/retry_count", settings.retry_count, 0..=MAX_RETRY_COUNT);
    let Some(waits) = &settings.retry_schedule else { return };
    errors.check(RETRIES.contains(&waits.len()), "/retry_schedule", "wrong_length", "holds 1 to 20 waits");
    for (at, wait) in waits.iter().enumerate().take(*RETRIES.end()) {
        in_range(errors, &format!("/retry_schedule/{at}"), Some(*wait), RETRY_SECONDS);
    }
}

fn check_headers(errors: &mut FieldErrors, settings: &Settings) {
    let Some(given) = &settings.headers else { return };
    errors.check(given.len() <= headers::MAX_HEADERS, "/headers", "wrong_length", "holds at most 20 headers");
    for (name, code, message) in headers::check(given).into_iter().take(headers::MAX_HEADERS) {
        let token = name.replace('~', "~0").replace('/', "~1");
        errors.push(format!("/headers/{token}"), code, message);
    }
}

fn check_pem(
    errors: &mut FieldErrors,
    pointer: &str,
    pem: &str,
    check: impl FnOnce(&str) -> Result<(), String>,
) {
    if pem.len() > MAX_PEM {
        errors.push(pointer, "too_long", "is at most 32 KiB long");
    } else if let Err(wrong) = check(pem) {
        errors.push(pointer, "malformed", wrong);
    }
}

fn in_range(errors: &mut FieldErrors, pointer: &str, value: Option<i32>, range: RangeInclusive<i32>) {
    let message = format!("is between {} and {}", range.start(), range.end());
    errors.check(value.is_none_or(|value| range.contains(&value)), pointer, "out_of_range", &message);
}

fn short(errors: &mut FieldErrors, pointer: &str, text: Option<&str>, limit: usize) {
    let is_short = text.is_none_or(|text| text.chars().count() <= limit);
    errors.check(is_short, pointer, "too_long", &format!("is at most {limit} characters long"));
}
