//! A new secret in the place of the old one.

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::SubscriptionId;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;
use web::{Answer, ApiJson, ApiPath, Caller, FieldErrors, Once, Problem};

use super::super::problems::{self, SECRET_KNOWN, TOO_MANY_SECRETS};
use super::{rules, visible};
use crate::app::subscriptions::{self, RotateRefusal};
use crate::state::State;

const OVERLAP_SECONDS: i64 = 24 * 3600;
const MAX_OVERLAP_SECONDS: i64 = 7 * 24 * 3600;

/// How to change a secret.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({ "overlap_seconds": 3600 }))]
#[serde(deny_unknown_fields)]
pub(crate) struct RotateSecret {
    /// `whsec_` and base64 of 24 to 64 bytes; made for you when absent.
    #[schema(value_type = Option<String>)]
    secret: Option<SecretString>,
    /// The same as `secret`.
    #[schema(value_type = Option<String>)]
    secret_key: Option<SecretString>,
    /// How long the secret before goes on signing too: 0 to 604800 (a week).
    #[schema(default = 86400, minimum = 0, maximum = 604_800)]
    overlap_seconds: Option<i64>,
}

/// The new secret, shown only now.
#[derive(Serialize, ToSchema)]
pub(crate) struct RotatedSecret {
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    secret: String,
    /// Until when requests carry a signature of the secret before, too.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(example = "2026-11-22T08:00:00Z")]
    previous_expires_at: OffsetDateTime,
}

/// Changes the secret. For a while requests are signed with both, the new one first.
#[utoipa::path(post, path = "/api/v1/webhooks/{id}/rotate-secret", tag = "webhooks", operation_id = "rotate_webhook_secret",
    params(("id" = SubscriptionId, Path, description = "The subscription's id", example = "0190c5a4-6f7e-7cc3-98c4-dc0c0c07398f")),
    request_body = RotateSecret,
    responses((status = 200, description = "Changed", body = RotatedSecret),
              (status = 404, description = "webhook_not_found"),
              (status = 409, description = "too_many_secrets, secret_known")))]
pub(crate) async fn rotate(
    state: Data<State>,
    caller: Caller,
    once: Once,
    id: ApiPath<SubscriptionId>,
    ApiJson(wish): ApiJson<RotateSecret>,
) -> Result<HttpResponse, Problem> {
    let overlap = wish.overlap_seconds.unwrap_or(OVERLAP_SECONDS);
    let mut errors = FieldErrors::default();
    let is_in_range = (0..=MAX_OVERLAP_SECONDS).contains(&overlap);
    errors.check(is_in_range, "/overlap_seconds", "out_of_range", "is between 0 and 604800");
    let key = rules::key(&mut errors, wish.secret.as_ref(), wish.secret_key.as_ref());
    errors.finish()?;
    visible(&state, &caller, *id).await?;
    let Some(key) = key else { return Err(Problem::new(&web::problem::INVALID_CONTENT)) };
    once.run(async |conn| {
        let rotated = subscriptions::rotate(conn, &state, *id, &key, Duration::seconds(overlap)).await;
        let (previous_expires_at, secret) = rotated.map_err(problems::of_write(|refusal| match refusal {
            RotateRefusal::TooMany => Problem::new(&TOO_MANY_SECRETS),
            RotateRefusal::Known => Problem::new(&SECRET_KNOWN),
        }))?;
        let secret = secret.expose_secret().to_owned();
        Answer::ok(&RotatedSecret { secret, previous_expires_at })
    })
    .await
}
