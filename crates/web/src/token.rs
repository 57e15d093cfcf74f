//! Tokens (RFC 7519), signed with our secret or with a key of an issuer.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use domain::Instant;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;

use crate::auth::{AUDIENCE, invalid};
use crate::jwks::{Jwks, NoKey};
use crate::problem::{DEPENDENCY_UNAVAILABLE, Problem, RETRY_AFTER};

/// Allowed clock difference between issuer and service in seconds.
const LEEWAY_SECONDS: u64 = 30;

/// The claims of a valid token.
#[derive(Deserialize)]
pub(crate) struct Claims {
    /// Its presence is checked with the other required claims, which have a better error.
    pub(crate) sub: Option<String>,
    pub(crate) user_id: Option<String>,
    #[serde(default)]
    pub(crate) scope: String,
    /// Expiry, beginning and issue of the token, in seconds since 1970. The library compares the first two with the
    /// clock.
    #[serde(default)]
    exp: Value,
    #[serde(default)]
    nbf: Value,
    #[serde(default)]
    iat: Value,
}

/// A key that verifies signatures of one algorithm. The token's own `alg` is compared with it, never followed (RFC 8725
/// §3.1).
pub(crate) struct Key {
    pub(crate) algorithm: Algorithm,
    key: DecodingKey,
    rules: Validation,
}

/// The keys that may verify a token.
#[derive(Default)]
pub(crate) struct Verifiers {
    secret: Option<Key>,
    jwks: Option<Arc<Jwks>>,
}

impl Key {
    pub(crate) fn new(algorithm: Algorithm, key: DecodingKey) -> Self {
        chassis::jwt::install();
        let mut rules = Validation::new(algorithm);
        rules.set_audience(&[AUDIENCE]);
        rules.set_required_spec_claims(&["exp", "aud", "sub"]);
        rules.validate_nbf = true;
        rules.leeway = LEEWAY_SECONDS;
        Self { algorithm, key, rules }
    }
}

impl Verifiers {
    pub(crate) fn set_secret(&mut self, secret: Option<&SecretString>) {
        self.secret = secret.map(|secret| {
            Key::new(Algorithm::HS256, DecodingKey::from_secret(secret.expose_secret().as_bytes()))
        });
    }

    pub(crate) fn set_jwks(&mut self, jwks: Option<Arc<Jwks>>) {
        self.jwks = jwks;
    }

    pub(crate) fn jwks(&self) -> Option<&Arc<Jwks>> {
        self.jwks.as_ref()
    }

    pub(crate) fn are_any(&self) -> bool {
        self.secret.is_some() || self.jwks.is_some()
    }

    /// # Errors
    /// The token is not valid, or the issuer's keys could not be fetched yet.
    pub(crate) async fn check(&self, token: &str) -> Result<Claims, Problem> {
        if !self.are_any() {
            return Err(invalid("this service takes API keys only"));
        }
        let header = jsonwebtoken::decode_header(token).map_err(|error| self.refuse(error.kind()))?;
        // RFC 7515 §4.1.11: a token with an extension unknown to its recipient is invalid.
        if header.crit.is_some() {
            return Err(invalid("the token needs extensions (crit) that this service does not know"));
        }
        // The token's `alg` selects the kind of key, not how a key verifies.
        match (header.alg, &self.secret, &self.jwks) {
            (Algorithm::HS256, Some(key), _) => self.decode(token, key),
            (Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA, _, Some(jwks)) => {
                let found = jwks.find(header.alg, header.kid.as_deref()).await;
                self.decode(token, &*found.map_err(no_key)?)
            }
            _ => Err(self.refuse(&ErrorKind::InvalidAlgorithm)),
        }
    }

    fn decode(&self, token: &str, key: &Key) -> Result<Claims, Problem> {
        let claims = jsonwebtoken::decode::<Claims>(token, &key.key, &key.rules)
            .map_err(|error| self.refuse(error.kind()))?
            .claims;
        let is_instant = |at: &Value| at.as_f64().is_some_and(|at| Instant::from_unix_seconds(at).is_ok());
        if [&claims.exp, &claims.nbf, &claims.iat].into_iter().all(|at| at.is_null() || is_instant(at)) {
            Ok(claims)
        } else {
            Err(invalid("exp, nbf and iat of the token must be numbers of seconds in the years 0001 to 9999"))
        }
    }

    fn refuse(&self, kind: &ErrorKind) -> Problem {
        invalid(match kind {
            ErrorKind::ExpiredSignature => "the token has expired",
            ErrorKind::ImmatureSignature => "the token is not valid yet",
            ErrorKind::InvalidAudience => "the token is meant for another audience",
            ErrorKind::InvalidSignature => "the signature of the token is wrong",
            ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => {
                match (&self.secret, &self.jwks) {
                    (_, None) => "the token must be signed with HS256",
                    (None, Some(_)) => "the token must be signed with RS256, ES256 or EdDSA",
                    (Some(_), Some(_)) => "the token must be signed with HS256, RS256, ES256 or EdDSA",
                }
            }
            ErrorKind::MissingRequiredClaim(_) => "the token lacks exp, aud or sub",
            _ => "the token cannot be read",
        })
    }
}

fn no_key(lack: NoKey) -> Problem {
    match lack {
        NoKey::Unknown => invalid("the key of the token is unknown"),
        NoKey::NotFetched => Problem::new(&DEPENDENCY_UNAVAILABLE)
            .detail("the keys of the tokens' issuer cannot be fetched")
            .retry_after(RETRY_AFTER),
    }
}
