//! A new secret in the place of the old one.

use actix_web::HttpResponse;
use actix_web::web::Data;
use domain::SubscriptionId;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;
use web::{Answer, ApiJson, ApiPath, Caller, FieldErrors, Idempotent, Problem};

use super::super::problems::{self, SECRET_KNOWN, TOO_MANY_SECRETS};
use super::require_visible;
use super::rules::{self, NEEDS_V1};
use super::view::Signing;
use crate::app::subscriptions::{self, RotateRefusal, Scheme};
use crate::state::State;

const OVERLAP_SECONDS: i64 = 24 * 3600;
const MAX_OVERLAP_SECONDS: i64 = 7 * 24 * 3600;

/// How to change a secret.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({ "overlap_seconds": 3600 }))]
#[serde(deny_unknown_fields)]
pub(crate) struct RotateSecret {
    /// `whsec_` and base64 of 24 to 64 bytes, or `whsk_` and base64 of an ed25519 key and its public key, 32 bytes each; made for
    /// you when absent.
    #[schema(value_type = Option<String>)]
    secret: Option<SecretString>,
    /// The same as `secret`.
    #[schema(value_type = Option<String>)]
    secret_key: Option<SecretString>,
    /// How the secret that is made for you signs; as the one before when absent. One you give says so itself.
    signature: Option<Scheme>,
    /// How long the secret before goes on signing too: 0 to 604800 (a week).
    #[schema(default = 86400, minimum = 0, maximum = 604_800)]
    overlap_seconds: Option<i64>,
}

impl RotateSecret {
    /// Where the wish says how the new secret is to sign.
    const fn said_kind(&self) -> &'static str {
        match self {
            Self { secret: Some(_), .. } => "/secret",
            Self { secret_key: Some(_), .. } => "/secret_key",
            _ => "/signature",
        }
    }
}

/// The new secret, shown only now.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "signature": "v1", "public_key": null,
    "public_keys": ["whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="], "previous_expires_at": "2026-11-22T08:00:00Z",
}))]
pub(crate) struct RotatedSecret {
    /// `whsec_` or `whsk_` and base64.
    secret: String,
    /// How it signs.
    signature: Scheme,
    /// What receivers verify `v1a` with; null with `v1`.
    public_key: Option<String>,
    /// The same of every secret that signs now, the new one's first.
    public_keys: Vec<String>,
    /// Until when requests carry a signature of the secret before, too.
    #[serde(with = "time::serde::rfc3339")]
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
    idempotent: Idempotent,
    id: ApiPath<SubscriptionId>,
    ApiJson(wish): ApiJson<RotateSecret>,
) -> Result<HttpResponse, Problem> {
    let overlap = wish.overlap_seconds.unwrap_or(OVERLAP_SECONDS);
    let mut errors = FieldErrors::default();
    let is_in_range = (0..=MAX_OVERLAP_SECONDS).contains(&overlap);
    errors.check(is_in_range, "/overlap_seconds", "out_of_range", "is between 0 and 604800");
    let RotateSecret { secret, secret_key, signature, .. } = &wish;
    let key = rules::key(&mut errors, secret.as_ref(), secret_key.as_ref(), *signature);
    errors.finish()?;
    require_visible(&state, &caller, *id).await?;
    let Some(key) = key else { return Err(Problem::new(&web::problem::INVALID_CONTENT)) };
    idempotent
        .run(async |conn| {
            let rotated =
                subscriptions::rotate(conn, &state, *id, key.clone(), Duration::seconds(overlap)).await;
            let (webhook, previous_expires_at, secret) =
                rotated.map_err(problems::of_write(|refusal| match refusal {
                    RotateRefusal::TooMany => Problem::new(&TOO_MANY_SECRETS),
                    RotateRefusal::Known => Problem::new(&SECRET_KNOWN),
                    RotateRefusal::SeedSignature => {
                        let message = "signs v1a; while seed_signature is true the secret has to sign v1";
                        Problem::new(&web::problem::INVALID_CONTENT).error(
                            wish.said_kind(),
                            NEEDS_V1,
                            message,
                        )
                    }
                }))?;
            let Signing { signature, public_key, public_keys } = Signing::of(&state, &webhook)?;
            let secret = secret.expose_secret().to_owned();
            Answer::ok(&RotatedSecret { secret, signature, public_key, public_keys, previous_expires_at })
        })
        .await
}
