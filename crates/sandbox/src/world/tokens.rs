//! Device codes and token families (RFC 8628, RFC 6749 §6, Allegro's authentication tutorial).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::Rng;
use rand::distr::Alphanumeric;
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

const SCOPE: &str = "allegro:api:orders:read allegro:api:profile:read";
/// A device code lives an hour.
pub(crate) const DEVICE_CODE_LIFE: Duration = Duration::from_hours(1);
/// Letters a person does not confuse.
const USER_CODE_ALPHABET: &[u8] = b"abcdefghijkmnpqrstuvwxyz23456789";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Consent {
    Waiting,
    Approved { seller: String },
    Denied,
}

/// An authorization in progress.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub(crate) device_code: String,
    pub(crate) user_code: String,
    consent: Consent,
    is_used: bool,
    made_at: Instant,
    polled_at: Option<Instant>,
}

/// Why a token was not given: the `error` and its description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal(pub(crate) &'static str, pub(crate) String);

#[derive(Debug, Clone)]
struct Access {
    seller: String,
    expires_at: Instant,
}

#[derive(Debug, Clone)]
struct Refresh {
    seller: String,
    /// The access token that dies when this one is used.
    access: String,
    used_at: Option<Instant>,
    /// The access token its last use gave.
    given: Option<String>,
}

#[derive(Default)]
pub(crate) struct Tokens {
    /// Whose tokens they are: every token names its application.
    client_id: String,
    devices: Vec<Device>,
    access: HashMap<String, Access>,
    refresh: HashMap<String, Refresh>,
    pub(crate) issued: u64,
    pub(crate) refreshes: u64,
}

impl Tokens {
    /// Tokens given to this application.
    pub(crate) fn of(client_id: String) -> Self {
        Self { client_id, ..Self::default() }
    }

    /// Begins an authorization.
    pub(crate) fn begin(&mut self, consent: Consent) -> Device {
        let mut random = rand::rng();
        let letter = |random: &mut rand::rngs::ThreadRng| {
            let at = random.random_range(0..USER_CODE_ALPHABET.len());
            char::from(USER_CODE_ALPHABET.get(at).copied().unwrap_or(b'x'))
        };
        let device = Device {
            device_code: (&mut random).sample_iter(Alphanumeric).take(32).map(char::from).collect(),
            user_code: (0..9).map(|_| letter(&mut random)).collect(),
            consent,
            is_used: false,
            made_at: Instant::now(),
            polled_at: None,
        };
        self.devices.push(device.clone());
        device
    }

    /// A person decides; false when there is no such code waiting.
    pub(crate) fn decide(&mut self, user_code: &str, consent: Consent) -> bool {
        let written: String = user_code.chars().filter(|it| !it.is_whitespace()).collect();
        let waiting = self.devices.iter_mut().find(|device| {
            device.user_code.eq_ignore_ascii_case(&written) && device.consent == Consent::Waiting
        });
        waiting.map(|device| device.consent = consent).is_some()
    }

    /// Codes that wait for a person.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &str> {
        self.devices.iter().filter(|it| it.consent == Consent::Waiting).map(|it| it.user_code.as_str())
    }

    /// One poll of the device grant.
    pub(crate) fn poll(&mut self, code: &str, interval: Duration, life: u64) -> Result<Value, Refusal> {
        let now = Instant::now();
        let unknown = || Refusal("invalid_request", "Invalid device code".to_owned());
        let device = self.devices.iter_mut().find(|it| it.device_code == code).ok_or_else(unknown)?;
        if device.is_used {
            return Err(unknown());
        }
        if now.duration_since(device.made_at) > DEVICE_CODE_LIFE {
            return Err(Refusal("expired_token", "The device code has expired".to_owned()));
        }
        let too_fast = device.polled_at.is_some_and(|at| now.duration_since(at) < interval);
        device.polled_at = Some(now);
        match device.consent.clone() {
            Consent::Waiting | Consent::Approved { .. } if too_fast => {
                Err(Refusal("slow_down", "Polling too fast".to_owned()))
            }
            Consent::Waiting => Err(Refusal(
                "authorization_pending",
                "User has not authorized the device code yet.".to_owned(),
            )),
            Consent::Denied => Err(Refusal("access_denied", "User denied the authorization".to_owned())),
            Consent::Approved { seller } => {
                device.is_used = true;
                Ok(self.issue(&seller, life).1)
            }
        }
    }

    /// The refresh grant: a new pair, the old access token dead at once. A used token still works for the grace;
    /// it then gives another pair of the same family, and takes back only the access token given before.
    pub(crate) fn renew(&mut self, token: &str, grace: Duration, life: u64) -> Result<Value, Refusal> {
        let refused = || Refusal("invalid_grant", format!("Invalid refresh token: {token}"));
        let used = self.refresh.get_mut(token).ok_or_else(refused)?;
        if used.used_at.is_some_and(|at| at.elapsed() > grace) {
            return Err(refused());
        }
        used.used_at.get_or_insert_with(Instant::now);
        let (seller, dead) = (used.seller.clone(), used.given.take().unwrap_or_else(|| used.access.clone()));
        self.access.remove(&dead);
        self.refreshes += 1;
        let (access, body) = self.issue(&seller, life);
        if let Some(used) = self.refresh.get_mut(token) {
            used.given = Some(access);
        }
        Ok(body)
    }

    /// Whose token it is, while it lives.
    pub(crate) fn seller_of(&self, access: &str) -> Option<&str> {
        let token = self.access.get(access)?;
        (Instant::now() < token.expires_at).then_some(token.seller.as_str())
    }

    /// A seller's access tokens die before their time.
    pub(crate) fn expire(&mut self, seller: &str) {
        self.access.retain(|_, token| token.seller != seller);
    }

    /// All of a seller's tokens die, as after a change of password.
    pub(crate) fn revoke(&mut self, seller: &str) {
        self.access.retain(|_, token| token.seller != seller);
        self.refresh.retain(|_, token| token.seller != seller);
    }

    fn issue(&mut self, seller: &str, life: u64) -> (String, Value) {
        let (jti, refresh_jti) = (random_id(), random_id());
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let expires = now.saturating_add_unsigned(life);
        let scopes: Vec<&str> = SCOPE.split(' ').collect();
        let access = jwt(&json!({
            "user_name": seller, "scope": scopes, "allegro_api": true, "exp": expires, "jti": jti, "client_id": self.client_id,
        }));
        let refresh = jwt(&json!({
            "user_name": seller, "scope": scopes, "allegro_api": true, "ati": jti, "exp": now + 90 * 86_400,
            "jti": refresh_jti, "client_id": self.client_id,
        }));
        let expires_at = Instant::now() + Duration::from_secs(life);
        self.access.insert(access.clone(), Access { seller: seller.to_owned(), expires_at });
        let state = Refresh { seller: seller.to_owned(), access: access.clone(), used_at: None, given: None };
        self.refresh.insert(refresh.clone(), state);
        self.issued += 1;
        let body = json!({
            "access_token": access, "token_type": "bearer", "refresh_token": refresh, "expires_in": life,
            "scope": SCOPE, "allegro_api": true, "jti": jti,
        });
        (access, body)
    }
}

fn random_id() -> String {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid().to_string()
}

/// Looks like Allegro's: nobody can verify it (no key is published), everybody may decode it.
fn jwt(payload: &Value) -> String {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","typ":"JWT"}"#);
    let signature: [u8; 32] = rand::random();
    let tail: [u8; 16] = Uuid::now_v7().into_bytes();
    let signature = URL_SAFE_NO_PAD.encode([signature.as_slice(), &tail].concat());
    format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(payload.to_string()))
}
