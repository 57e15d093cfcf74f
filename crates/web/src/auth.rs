//! Authentication and authorization.
//!
//! Invariant: `guard` wraps the whole `/api` scope, so that a route below it cannot be reached, or be shown to exist,
//! without a valid credential that holds the scope of its method.

use std::collections::HashMap;
use std::fmt;
use std::future::{Ready, ready};
use std::sync::Arc;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use url::Url;

use crate::jwks::Jwks;
use crate::problem::{CREDENTIAL_INVALID, CREDENTIAL_MISSING, Problem, SCOPE_MISSING};
use crate::rate::{self, Account};
use crate::token::Verifiers;

/// The required `aud` of a token.
pub const AUDIENCE: &str = "zaplecze";

/// The scope of programs, which have a higher rate limit than people.
const SERVICE: &str = "service";

/// Maximum length of a token's `sub` and `user_id` in characters (OpenID Connect Core 1.0 §2, `sub`). Both are stored.
const MAX_NAME_CHARS: usize = 255;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Access to one service. Each level includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Read.
    Read,
    /// Write.
    Write,
    /// Administer.
    Admin,
}

impl Access {
    fn of(method: &Method) -> Self {
        if method == Method::GET || method == Method::HEAD { Self::Read } else { Self::Write }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// The caller of a request; an extractor for handlers below `/api`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The token's `sub`, or the API key's id.
    pub subject: String,
    /// If set, the caller sees only this user's data.
    pub user_id: Option<String>,
    /// The kind of the credential. A token's `sub` may equal an API key's id; they are two callers.
    pub(crate) kind: &'static str,
    access: Access,
}

impl Caller {
    /// Whether the caller may see and change data of this owner. A user-scoped credential sees only that user's data,
    /// and no data without an owner.
    pub fn may_see(&self, owner: Option<&str>) -> bool {
        self.user_id.is_none() || self.user_id.as_deref() == owner
    }

    /// Whether the caller's scopes include this level for this service.
    pub fn may(&self, access: Access) -> bool {
        self.access >= access
    }
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    /// A route outside `/api` has no caller: the extractor rejects the request.
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(request.extensions().get::<Self>().cloned().ok_or_else(|| Problem::new(&CREDENTIAL_MISSING)))
    }
}

/// The identity of a request's credential.
struct Identity {
    /// The kind of the credential. A token's `sub` may equal an API key's id.
    kind: &'static str,
    subject: String,
    user_id: Option<String>,
    scopes: Vec<String>,
}

impl Identity {
    fn account(&self) -> Account<'_> {
        if self.scopes.iter().any(|scope| scope == SERVICE) {
            Account::Service(self.kind, &self.subject)
        } else {
            Account::Caller(self.kind, &self.subject)
        }
    }
}

struct KeyRecord {
    sha256: [u8; 32],
    scopes: Vec<String>,
}

/// Checks credentials: tokens (RFC 7519), signed with our secret (HS256) or by an issuer (RS256, ES256, EdDSA), and API
/// keys `zk_<id>_<secret>`.
///
/// It rejects everything until a secret, an issuer or a key is configured.
pub struct Authenticator {
    service: &'static str,
    tokens: Verifiers,
    keys: HashMap<String, KeyRecord>,
    insecure_local: bool,
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator")
            .field("service", &self.service)
            .field("tokens", &self.tokens.are_any())
            .field("keys", &self.keys.len())
            .field("insecure_local", &self.insecure_local)
            .finish()
    }
}

impl Authenticator {
    /// An authenticator of a service whose scopes are `<service>:read
    /// write
    /// admin`.
    pub fn new(service: &'static str) -> Self {
        Self { service, tokens: Verifiers::default(), keys: HashMap::new(), insecure_local: false }
    }

    /// Accepts tokens signed with the bytes of this secret.
    #[must_use]
    pub fn jwt_secret(mut self, secret: Option<&SecretString>) -> Self {
        self.tokens.set_secret(secret);
        self
    }

    /// Accepts tokens signed with the keys published at this address. The server that uses this authenticator refreshes
    /// them.
    ///
    /// # Errors
    /// The HTTP client cannot be created.
    pub fn jwks(mut self, url: Option<Url>) -> Result<Self, egress::Error> {
        self.tokens.set_jwks(url.map(Jwks::new).transpose()?.map(Arc::new));
        Ok(self)
    }

    /// Accepts these keys: id (without `_`), SHA-256 of the whole key `zk_<id>_<secret>`, scopes.
    #[must_use]
    pub fn api_keys(mut self, keys: impl IntoIterator<Item = (String, [u8; 32], Vec<String>)>) -> Self {
        self.keys = keys.into_iter().map(|(id, sha256, scopes)| (id, KeyRecord { sha256, scopes })).collect();
        self
    }

    /// Accepts all requests, with every scope. Only for a server bound to loopback.
    #[must_use]
    pub fn insecure_local(mut self, yes: bool) -> Self {
        self.insecure_local = yes;
        self
    }

    /// The issuer's keys, for the task that refreshes them.
    pub(crate) fn issuer(&self) -> Option<Arc<Jwks>> {
        self.tokens.jwks().cloned()
    }

    fn admit(&self, identity: Identity, needed: Access) -> Result<Caller, Problem> {
        let Identity { kind, subject, user_id, scopes } = identity;
        if self.insecure_local {
            return Ok(Caller { subject, user_id, kind, access: Access::Admin });
        }
        let held = [Access::Admin, Access::Write, Access::Read]
            .into_iter()
            .find(|access| scopes.iter().any(|scope| *scope == self.scope(*access)));
        match held {
            Some(access) if access >= needed => Ok(Caller { subject, user_id, kind, access }),
            _ => Err(self.lacks(needed)),
        }
    }

    async fn identify(&self, headers: &HeaderMap) -> Result<Identity, Problem> {
        if self.insecure_local {
            let scopes = vec![SERVICE.to_owned()];
            return Ok(Identity { kind: "local", subject: "local".to_owned(), user_id: None, scopes });
        }
        let mut bearers = headers.get_all(header::AUTHORIZATION);
        let mut keys = headers.get_all(API_KEY);
        match (bearers.next(), keys.next(), bearers.next().or(keys.next())) {
            (None, None, _) => Err(missing()),
            (Some(value), None, None) => self.bearer(value).await,
            (None, Some(value), None) => self.api_key(value),
            _ => Err(invalid("send one credential, not several")),
        }
    }

    async fn bearer(&self, value: &HeaderValue) -> Result<Identity, Problem> {
        let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).unwrap_or_default();
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(invalid("the Authorization header must be `Bearer <token>`"));
        }
        let claims = self.tokens.check(token.trim()).await?;
        let subject = claims.sub.unwrap_or_default();
        // An empty user id is an error of the issuer. Treated as "no user" it would expose every user's data.
        if subject.is_empty() || claims.user_id.as_deref() == Some("") {
            return Err(invalid("the token's sub or user_id is empty"));
        }
        for name in [Some(&subject), claims.user_id.as_ref()].into_iter().flatten() {
            if name.chars().count() > MAX_NAME_CHARS {
                return Err(invalid("the token's sub or user_id is longer than 255 characters"));
            }
            if name.chars().any(char::is_control) {
                return Err(invalid("the token's sub or user_id contains a control character"));
            }
        }
        let scopes = claims.scope.split_ascii_whitespace().map(str::to_owned).collect();
        Ok(Identity { kind: "token", subject, user_id: claims.user_id, scopes })
    }

    fn api_key(&self, value: &HeaderValue) -> Result<Identity, Problem> {
        let sha256: [u8; 32] = Sha256::digest(value.as_bytes()).into();
        value
            .to_str()
            .ok()
            .and_then(|text| text.strip_prefix("zk_")?.split_once('_'))
            .and_then(|(id, _)| self.keys.get_key_value(id))
            .filter(|(_, record)| bool::from(record.sha256.ct_eq(&sha256)))
            .map(|(id, record)| Identity {
                kind: "key",
                subject: id.clone(),
                user_id: None,
                scopes: record.scopes.clone(),
            })
            .ok_or_else(|| invalid("the API key is unknown"))
    }

    fn scope(&self, access: Access) -> String {
        format!("{}:{}", self.service, access.name())
    }

    fn lacks(&self, needed: Access) -> Problem {
        let scope = self.scope(needed);
        challenge(
            Problem::new(&SCOPE_MISSING).detail(format!("the scope `{scope}` is needed")),
            &format!(r#", error="insufficient_scope", scope="{scope}""#),
        )
    }
}

/// Accepts a request below `/api` if its credential permits its method and its rate limit is not exceeded.
///
/// Rejected requests count too: by the credential if it is valid, otherwise by the address.
pub(crate) async fn guard<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let Some(authenticator) = request.app_data::<web::Data<Authenticator>>().cloned() else {
        return Ok(request.error_response(missing()));
    };
    let identified = authenticator.identify(request.headers()).await;
    let account = match &identified {
        Ok(identity) => identity.account(),
        Err(_refused) => Account::Address(request.peer_addr().map(|address| address.ip())),
    };
    if let Some(refusal) = rate::count(&request, account).await {
        return Ok(request.error_response(refusal));
    }
    match identified.and_then(|identity| authenticator.admit(identity, Access::of(request.method()))) {
        Ok(caller) => {
            if let Some(user_id) = &caller.user_id {
                tracing::Span::current().record("user_id", user_id);
            }
            request.extensions_mut().insert(caller);
            next.call(request).await.map(ServiceResponse::map_into_boxed_body)
        }
        Err(problem) => Ok(request.error_response(problem)),
    }
}

fn missing() -> Problem {
    challenge(Problem::new(&CREDENTIAL_MISSING), "")
}

/// `why` is written into a quoted string of a header: plain ASCII without quotes.
pub(crate) fn invalid(why: &str) -> Problem {
    challenge(
        Problem::new(&CREDENTIAL_INVALID).detail(why),
        &format!(r#", error="invalid_token", error_description="{why}""#),
    )
}

/// RFC 6750 §3: the authentication scheme, and the error of the attempt.
fn challenge(problem: Problem, parameters: &str) -> Problem {
    match HeaderValue::try_from(format!(r#"Bearer realm="{AUDIENCE}"{parameters}"#)) {
        Ok(value) => problem.header(header::WWW_AUTHENTICATE, value),
        Err(_) => problem,
    }
}
