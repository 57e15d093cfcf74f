//! Signed tokens (RFC 7515), made without the library by which services read them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};

/// A token with this header and these claims; `sign` returns the signature of the bytes it is given.
pub fn token(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// A token signed with HS256.
pub fn hs256(claims: &Value, secret: &[u8]) -> String {
    token(&json!({ "alg": "HS256", "typ": "JWT" }), claims, |message| hmac_sha256(secret, message))
}

/// The signature of HS256.
pub fn hmac_sha256(secret: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message).as_ref().to_vec()
}

/// Now, in seconds since 1970, as in a token.
pub fn now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}
