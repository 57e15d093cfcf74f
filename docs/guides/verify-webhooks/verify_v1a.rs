//! Verifies `v1a` signatures of Standard Webhooks: `cargo add base64 ring`.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};

/// Seconds: what was sent longer ago, or is of the future, may be somebody else's repetition.
const TOLERANCE: u64 = 5 * 60;

/// Whether a request is genuine. `public_keys` are those of the subscription; `id`, `timestamp` and `signatures` are the
/// headers `webhook-id`, `webhook-timestamp` and `webhook-signature` (empty where one is missing); `body` is as it came,
/// before anything parsed it.
pub(crate) fn is_genuine(
    public_keys: &[&str],
    (id, timestamp, signatures): (&str, &str, &str),
    body: &[u8],
    now: SystemTime,
) -> bool {
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if !timestamp.parse::<u64>().is_ok_and(|sent| sent.abs_diff(now) <= TOLERANCE) {
        return false;
    }
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    let decoded = |text: &str, prefix| STANDARD.decode(text.strip_prefix(prefix)?).ok();
    let keys: Vec<Vec<u8>> = public_keys.iter().filter_map(|key| decoded(key, "whpk_")).collect();
    // What begins otherwise is of another version.
    signatures.split(' ').filter_map(|entry| decoded(entry, "v1a,")).any(|signature| {
        keys.iter().any(|key| UnparsedPublicKey::new(&ED25519, key).verify(&signed, &signature).is_ok())
    })
}
