//! `token issue`: creates a signed token for trials.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use time::OffsetDateTime;

/// Claims of the token.
#[derive(Debug, clap::Args)]
pub(crate) struct Claims {
    /// Subject (`sub`)
    #[arg(long, value_parser = filled)]
    sub: String,
    /// Scopes, separated by spaces, e.g. "allegro-backup:read allegro-backup:write"
    #[arg(long, value_parser = filled)]
    scope: String,
    /// Restrict the token to this user's data
    #[arg(long, value_parser = filled)]
    user_id: Option<String>,
    /// Lifetime in seconds
    #[arg(long, default_value_t = 3600, value_parser = clap::value_parser!(i64).range(1..=31_536_000))]
    ttl: i64,
}

/// Services reject a token with an empty claim.
fn filled(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.to_owned()) }
}

/// Creates an HS256 token with `aud` zaplecze.
///
/// # Errors
/// The token cannot be signed.
pub(crate) fn issue(claims: &Claims, secret: &SecretString) -> anyhow::Result<String> {
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let mut content = json!({
        "aud": "zaplecze",
        "sub": claims.sub,
        "scope": claims.scope,
        "iat": now,
        "exp": now + claims.ttl,
    });
    if let (Some(user_id), Some(fields)) = (&claims.user_id, content.as_object_mut()) {
        fields.insert("user_id".to_owned(), user_id.as_str().into());
    }
    crate::jwt::install();
    let key = EncodingKey::from_secret(secret.expose_secret().as_bytes());
    Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &content, &key)?)
}
