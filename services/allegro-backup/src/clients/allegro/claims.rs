//! What a token says of itself. Allegro publishes no key: it is read, never trusted; `/me` decides.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Instant;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use time::OffsetDateTime;

/// The claims we look at, as far as they are there.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Claims {
    /// The seller's id.
    pub(crate) user_name: Option<String>,
    /// The application it was given to.
    pub(crate) client_id: Option<String>,
    /// What was granted.
    scope: Vec<String>,
    /// When it ends, in seconds since the epoch.
    exp: Option<f64>,
    /// Its id.
    pub(crate) jti: Option<String>,
    /// Of a refresh token: the id of the access token it was given with.
    pub(crate) ati: Option<String>,
}

impl Claims {
    /// Reads a token; one that is no JWT says nothing.
    pub(crate) fn of(token: &SecretString) -> Self {
        let payload = token.expose_secret().split('.').nth(1);
        let payload = payload.and_then(|payload| URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok());
        payload.and_then(|payload| serde_json::from_slice(&payload).ok()).unwrap_or_default()
    }

    /// When it ends; `None` also if the value is not an [`Instant`].
    pub(crate) fn expires_at(&self) -> Option<OffsetDateTime> {
        self.exp.and_then(|exp| Instant::from_unix_seconds(exp).ok()).map(Into::into)
    }

    /// What was granted, separated by spaces.
    pub(crate) fn scopes(&self) -> String {
        self.scope.join(" ")
    }
}
