//! Tokens in the format of Allegro's: nobody can verify one (no key is published), everyone may decode it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::Value;

/// An id in the format of Allegro's tokens.
pub(crate) fn id(random: &mut StdRng) -> String {
    uuid::Builder::from_random_bytes(random.random()).into_uuid().to_string()
}

/// The claims as a token with a random signature.
pub(crate) fn written(claims: &Value, random: &mut StdRng) -> String {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","typ":"JWT"}"#);
    let signature: [u8; 32] = random.random();
    format!("{header}.{}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()), URL_SAFE_NO_PAD.encode(signature))
}

/// Whether a text has the format of Allegro's tokens: three parts, the first two JSON.
pub(crate) fn is_like(token: &str) -> bool {
    let parts: Vec<&str> = token.split('.').collect();
    let is_json = |part: &str| {
        let decoded = URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
        serde_json::from_slice::<Value>(&decoded).is_ok()
    };
    matches!(parts.as_slice(), [header, claims, _] if is_json(header) && is_json(claims))
}
