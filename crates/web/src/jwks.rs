//! The public keys of the token issuer (RFC 7517), fetched from `AUTH_JWKS_URL`.
//!
//! Invariants: tokens cause at most one fetch per [`RETRY`], whatever keys they name and however many arrive. Fetched
//! keys remain valid while the address is down or publishes none. A key verifies only the one algorithm of its type.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{Chain, catch_panic};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::Client;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::token::Key;

/// Refresh interval of the keys.
const REFRESH: Duration = Duration::from_mins(5);

/// Minimum pause between two attempts, whether for an unknown key or after a failure.
const RETRY: Duration = Duration::from_secs(10);

/// Maximum time that a request waits for a fetch.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Minimum length of an RSA key in bits (RFC 7518 §3.3).
const MIN_RSA_BITS: usize = 2048;

/// Maximum size of the document in bytes.
const MAX_BYTES: usize = 1024 * 1024;

/// The issuer's keys. Shared by all workers.
pub(crate) struct Jwks {
    client: Client,
    url: Url,
    retry: Duration,
    /// `None` before the first successful fetch.
    keys: RwLock<Option<Arc<Keys>>>,
    attempted: Mutex<Option<Instant>>,
    /// Held during a fetch. Requests that need a key meanwhile wait for its result.
    fetching: tokio::sync::Mutex<()>,
}

type Keys = HashMap<Option<String>, Vec<Arc<Key>>>;

/// The reason why a token has no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// The issuer has no key of this id and algorithm.
    Unknown,
    /// The keys are not fetched yet.
    NotFetched,
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the keys' address does not answer")]
    Http(#[from] reqwest::Error),
    #[error("more than {MAX_BYTES} bytes")]
    TooLong,
    #[error("no set of keys")]
    Json(#[from] serde_json::Error),
    #[error("the set holds no key that verifies a signature")]
    Empty,
}

/// Parses the keys one by one: an unknown type of key must not invalidate the others.
#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwks").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

impl Jwks {
    /// The keys are not fetched yet.
    ///
    /// # Errors
    /// The HTTP client cannot be created.
    pub(crate) fn new(url: Url) -> Result<Self, egress::Error> {
        Self::with_retry(url, RETRY)
    }

    /// As `new`, with another pause between attempts.
    pub(crate) fn with_retry(url: Url, retry: Duration) -> Result<Self, egress::Error> {
        let client = egress::client(&egress::Settings {
            user_agent: concat!("Zaplecze/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: TIMEOUT,
            timeout: TIMEOUT,
        })?;
        Ok(Self {
            client,
            url,
            retry,
            keys: RwLock::default(),
            attempted: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        })
    }

    /// The key of this id. Without an id, the only key of this algorithm.
    ///
    /// # Errors
    /// There is no such key, also after a fetch if one was due.
    pub(crate) async fn find(&self, algorithm: Algorithm, id: Option<&str>) -> Result<Arc<Key>, NoKey> {
        if let Ok(key) = self.known(algorithm, id) {
            return Ok(key);
        }
        {
            let _one_at_a_time = self.fetching.lock().await;
            if self.may_attempt() {
                self.fetch().await;
            }
        }
        self.known(algorithm, id)
    }

    /// Fetches the keys now and at intervals, while it is polled.
    pub(crate) async fn keep_fresh(&self) {
        loop {
            let is_fresh = {
                let _one_at_a_time = self.fetching.lock().await;
                catch_panic(self.fetch()).await.unwrap_or(false)
            };
            tokio::time::sleep(if is_fresh { REFRESH } else { self.retry }).await;
        }
    }

    fn known(&self, algorithm: Algorithm, id: Option<&str>) -> Result<Arc<Key>, NoKey> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner).clone();
        let keys = keys.ok_or(NoKey::NotFetched)?;
        let fits = |key: &&Arc<Key>| key.algorithm == algorithm;
        let found = if let Some(id) = id {
            keys.get(&Some(id.to_owned())).and_then(|keys| keys.iter().find(fits))
        } else {
            let mut all = keys.values().flatten().filter(fits);
            all.next().filter(|_| all.next().is_none())
        };
        found.cloned().ok_or(NoKey::Unknown)
    }

    fn may_attempt(&self) -> bool {
        let attempted = *self.attempted.lock().unwrap_or_else(PoisonError::into_inner);
        attempted.is_none_or(|at| at.elapsed() >= self.retry)
    }

    /// Fetches the keys and returns whether that succeeded. Otherwise the old keys remain.
    async fn fetch(&self) -> bool {
        let fetched = self.try_fetch().await;
        *self.attempted.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        match fetched {
            Ok(keys) => {
                tracing::debug!(count = keys.len(), "fetched the issuer's keys");
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(keys));
                true
            }
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "fetching the issuer's keys failed; known keys remain valid");
                false
            }
        }
    }

    async fn try_fetch(&self) -> Result<Keys, FetchError> {
        let mut answer = self.client.get(self.url.clone()).send().await?.error_for_status()?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BYTES {
                return Err(FetchError::TooLong);
            }
        }
        let document: Document = serde_json::from_slice(&body)?;
        let mut keys = Keys::new();
        for key in document.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok()) {
            if let Some(usable) = usable(&key) {
                keys.entry(key.common.key_id).or_default().push(Arc::new(usable));
            }
        }
        if keys.is_empty() { Err(FetchError::Empty) } else { Ok(keys) }
    }
}

/// The keys that verify a signature we accept. A symmetric key in a public document is not one, nor is a key of another
/// algorithm (RFC 8725 §3.1).
fn usable(jwk: &Jwk) -> Option<Key> {
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(key) => {
            let bits = bits(&key.n);
            if bits < MIN_RSA_BITS {
                let kid = jwk.common.key_id.as_deref();
                tracing::warn!(
                    kid,
                    bits,
                    "refused an RSA key of the issuer: shorter than {MIN_RSA_BITS} bits"
                );
                return None;
            }
            Algorithm::RS256
        }
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        _ => return None,
    };
    let is_for_another = jwk.common.key_algorithm.is_some_and(|named| named != algorithm.into());
    let is_to_encrypt =
        jwk.common.public_key_use.as_ref().is_some_and(|usage| *usage != PublicKeyUse::Signature);
    if is_for_another || is_to_encrypt {
        return None;
    }
    Some(Key::new(algorithm, DecodingKey::from_jwk(jwk).ok()?))
}

/// The length of a base64url number in bits; 0 for other text.
fn bits(number: &str) -> usize {
    let bytes = URL_SAFE_NO_PAD.decode(number).unwrap_or_default();
    let mut significant = bytes.iter().skip_while(|byte| **byte == 0).peekable();
    let unused = significant.peek().map_or(0, |first| usize::try_from(first.leading_zeros()).unwrap_or(0));
    significant.count() * 8 - unused
}
