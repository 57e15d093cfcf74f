//! Device codes and token families (RFC 8628, RFC 6749 §6, Allegro's authentication tutorial).

use std::collections::{HashMap, VecDeque};

use rand::Rng;
use rand::distr::Alphanumeric;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::clock::seconds;
use super::jwt;
use super::rules::AuthRules;

/// Letters that people do not confuse.
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
    scopes: Vec<String>,
    consent: Consent,
    is_used: bool,
    made_at: OffsetDateTime,
    polled_at: Option<OffsetDateTime>,
    /// Grows with every poll that was too early, if the rules say so.
    interval: Duration,
}

/// The reason why no token was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The `error` and its description.
    OAuth(String, String),
    /// Too many tokens were issued to the user.
    TooMany,
}

fn refusal<T>(error: &str, description: &str) -> Result<T, Refusal> {
    Err(Refusal::OAuth(error.to_owned(), description.to_owned()))
}

/// The parameters of a call that issues tokens.
pub(crate) struct Desk<'a> {
    pub(crate) rules: &'a AuthRules,
    pub(crate) random: &'a mut StdRng,
    pub(crate) now: OffsetDateTime,
    pub(crate) client_id: &'a str,
}

/// The grant of an access token.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) seller: String,
    pub(crate) scopes: Vec<String>,
    family: u64,
    expires_at: OffsetDateTime,
}

#[derive(Debug, Clone)]
struct Refresh {
    seller: String,
    scopes: Vec<String>,
    family: u64,
    expires_at: OffsetDateTime,
    /// The access token that is revoked when this one is used.
    access: String,
    used_at: Option<OffsetDateTime>,
    /// The access token that its last use issued.
    given: Option<String>,
}

#[derive(Default)]
pub(crate) struct Tokens {
    devices: Vec<Device>,
    access: HashMap<String, Access>,
    refresh: HashMap<String, Refresh>,
    /// The families of each seller, the oldest first: one for each authorization.
    sessions: HashMap<String, VecDeque<u64>>,
    /// Times of the tokens that were issued to each seller recently.
    given: HashMap<String, VecDeque<OffsetDateTime>>,
    families: u64,
    pub(crate) issued: u64,
    pub(crate) refreshes: u64,
}

impl Tokens {
    /// Begins an authorization. Without a requested scope, it grants all of the application's scopes.
    pub(crate) fn begin(&mut self, consent: Consent, scope: Option<&str>, desk: &mut Desk<'_>) -> Device {
        let letter = |random: &mut StdRng| {
            let at = random.random_range(0..USER_CODE_ALPHABET.len());
            char::from(USER_CODE_ALPHABET.get(at).copied().unwrap_or(b'x'))
        };
        let device = Device {
            device_code: (&mut *desk.random).sample_iter(Alphanumeric).take(32).map(char::from).collect(),
            user_code: (0..9).map(|_| letter(desk.random)).collect(),
            scopes: granted(&desk.rules.scopes, scope),
            consent,
            is_used: false,
            made_at: desk.now,
            polled_at: None,
            interval: seconds(desk.rules.device_interval_seconds),
        };
        self.devices.push(device.clone());
        device
    }

    /// Records a person's decision. False when no such code is waiting.
    pub(crate) fn decide(&mut self, user_code: &str, consent: Consent) -> bool {
        let written: String = user_code.chars().filter(|it| !it.is_whitespace()).collect();
        let waiting = self.devices.iter_mut().find(|device| {
            device.user_code.eq_ignore_ascii_case(&written) && device.consent == Consent::Waiting
        });
        waiting.map(|device| device.consent = consent).is_some()
    }

    /// Codes that wait for a decision.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &str> {
        self.devices.iter().filter(|it| it.consent == Consent::Waiting).map(|it| it.user_code.as_str())
    }

    /// One poll of the device grant. A code is used once: a concurrent second poll is rejected as invalid.
    pub(crate) fn poll(&mut self, code: &str, desk: &mut Desk<'_>) -> Result<Value, Refusal> {
        let known = self.devices.iter_mut().find(|it| it.device_code == code && !it.is_used);
        let Some(device) = known else {
            return refusal(&desk.rules.unknown_code_error, "Invalid device code");
        };
        if desk.now - device.made_at > seconds(desk.rules.device_code_seconds) {
            return refusal(&desk.rules.expired_code_error, "The device code has expired");
        }
        let is_early = device.polled_at.is_some_and(|at| desk.now - at < device.interval);
        device.polled_at = Some(desk.now);
        match device.consent.clone() {
            Consent::Denied => refusal("access_denied", "User denied the authorization"),
            _ if is_early => {
                device.interval = device.interval.saturating_add(seconds(desk.rules.slow_down_seconds));
                refusal("slow_down", "Polling too fast")
            }
            Consent::Waiting => {
                refusal("authorization_pending", "User has not authorized the device code yet.")
            }
            Consent::Approved { seller } => {
                let scopes = device.scopes.clone();
                self.count(&seller, desk)?;
                if let Some(device) = self.devices.iter_mut().find(|it| it.device_code == code) {
                    device.is_used = true;
                }
                Ok(self.open(&seller, scopes, desk))
            }
        }
    }

    /// A new session: the first pair of a family. The oldest session above the limit ends.
    pub(crate) fn open(&mut self, seller: &str, scopes: Vec<String>, desk: &mut Desk<'_>) -> Value {
        self.families += 1;
        let family = self.families;
        let sessions = self.sessions.entry(seller.to_owned()).or_default();
        sessions.push_back(family);
        let dead: Vec<u64> = sessions.drain(..sessions.len().saturating_sub(desk.rules.sessions)).collect();
        for family in dead {
            self.access.retain(|_, token| token.family != family);
            self.refresh.retain(|_, token| token.family != family);
        }
        self.issue(seller, scopes, family, desk).1
    }

    /// The refresh grant: a new pair, and the old access token is revoked at once. A used token still works for a grace
    /// period. It then gives another pair of the same family, and revokes only the access token issued before.
    pub(crate) fn renew(&mut self, token: &str, desk: &mut Desk<'_>) -> Result<Value, Refusal> {
        let grace = seconds(desk.rules.refresh_grace_seconds);
        let is_good = |it: &Refresh| {
            it.expires_at > desk.now && it.used_at.is_none_or(|used_at| desk.now - used_at <= grace)
        };
        let Some(used) = self.refresh.get(token).filter(|it| is_good(it)).cloned() else {
            return refusal(&desk.rules.refused_refresh_error, &format!("Invalid refresh token: {token}"));
        };
        self.count(&used.seller, desk)?;
        self.access.remove(used.given.as_ref().unwrap_or(&used.access));
        self.refreshes += 1;
        let (access, body) = self.issue(&used.seller, used.scopes, used.family, desk);
        if let Some(used) = self.refresh.get_mut(token) {
            used.used_at.get_or_insert(desk.now);
            used.given = Some(access);
        }
        Ok(body)
    }

    /// The grant of a token, while it is valid.
    pub(crate) fn allowed(&self, access: &str, now: OffsetDateTime) -> Option<&Access> {
        self.access.get(access).filter(|token| now < token.expires_at)
    }

    /// Revokes all of a seller's tokens, as after a change of password.
    pub(crate) fn revoke(&mut self, seller: &str) {
        self.access.retain(|_, token| token.seller != seller);
        self.refresh.retain(|_, token| token.seller != seller);
        self.sessions.remove(seller);
    }

    /// Expires a seller's access tokens. The refresh tokens remain valid.
    pub(crate) fn expire(&mut self, seller: &str) {
        self.access.retain(|_, token| token.seller != seller);
    }

    /// Counts a token against the user's limit.
    fn count(&mut self, seller: &str, desk: &Desk<'_>) -> Result<(), Refusal> {
        let given = self.given.entry(seller.to_owned()).or_default();
        let since = desk.now - seconds(desk.rules.tokens_per_user_seconds);
        given.retain(|at| *at > since);
        if desk.rules.tokens_per_user > 0 && given.len() >= desk.rules.tokens_per_user {
            return Err(Refusal::TooMany);
        }
        given.push_back(desk.now);
        Ok(())
    }

    fn issue(
        &mut self,
        seller: &str,
        scopes: Vec<String>,
        family: u64,
        desk: &mut Desk<'_>,
    ) -> (String, Value) {
        let (life, long_life) = (desk.rules.access_token_seconds, desk.rules.refresh_token_seconds);
        let (jti, refresh_jti) = (jwt::id(desk.random), jwt::id(desk.random));
        let claims = |life: u64, jti: &str| {
            json!({
                "user_name": seller, "scope": scopes, "allegro_api": true, "jti": jti, "client_id": desk.client_id,
                "exp": desk.now.unix_timestamp().saturating_add_unsigned(life),
            })
        };
        let (access_claims, mut refresh_claims) = (claims(life, &jti), claims(long_life, &refresh_jti));
        if let Some(claims) = refresh_claims.as_object_mut() {
            claims.insert("ati".to_owned(), json!(jti));
        }
        let access = jwt::written(&access_claims, desk.random);
        let refresh = jwt::written(&refresh_claims, desk.random);
        let body = json!({
            "access_token": access, "token_type": "bearer", "refresh_token": refresh, "expires_in": life,
            "scope": scopes.join(" "), "allegro_api": true, "jti": jti,
        });
        let seller = seller.to_owned();
        let state = Access {
            seller: seller.clone(),
            scopes: scopes.clone(),
            family,
            expires_at: desk.now.saturating_add(seconds(life)),
        };
        self.access.insert(access.clone(), state);
        let expires_at = desk.now.saturating_add(seconds(long_life));
        let access_of = access.clone();
        let state =
            Refresh { seller, scopes, family, expires_at, access: access_of, used_at: None, given: None };
        self.refresh.insert(refresh, state);
        self.issued += 1;
        (access, body)
    }
}

/// The requested scopes for which the application is registered.
pub(crate) fn granted(registered: &str, asked: Option<&str>) -> Vec<String> {
    let asked: Option<Vec<&str>> =
        asked.map(|it| it.split_whitespace().collect::<Vec<_>>()).filter(|it| !it.is_empty());
    let is_wanted = |scope: &&str| asked.as_ref().is_none_or(|asked| asked.contains(scope));
    registered.split_whitespace().filter(is_wanted).map(str::to_owned).collect()
}
