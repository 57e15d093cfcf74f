//! The identity of a request: caller, key and content.

use std::cell::RefCell;
use std::future::{Ready, ready};
use std::rc::Rc;

use actix_web::body::MessageBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderMap, HeaderName};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest};
use futures_util::TryStreamExt;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Idempotency;
use crate::auth::Caller;
use crate::problem::{CREDENTIAL_MISSING, IDEMPOTENCY_KEY_INVALID, INTERNAL, Problem};

/// The header with the caller's key.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("idempotency-key");

const MAX_KEY: usize = 255;

/// SHA-256 of the method, the path and the part of the body that was read.
#[derive(Clone, Default)]
struct Seen(Rc<RefCell<Sha256>>);

/// Hashes a request with a key while its handler reads it, so that exactly the content that was used is compared.
pub(crate) async fn fingerprint<B: MessageBody>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    if request.headers().contains_key(HEADER) {
        let seen = Seen::default();
        let asked = request.uri().path_and_query().map_or("", |path| path.as_str());
        // Neither method nor path can contain a line feed.
        seen.0.borrow_mut().update(format!("{}\n{asked}\n", request.method()));
        request.extensions_mut().insert(seen.clone());
        let body = request.take_payload();
        let hashed = body.inspect_ok(move |chunk| seen.0.borrow_mut().update(chunk));
        request.set_payload(Payload::Stream { payload: Box::pin(hashed) });
    }
    next.call(request).await
}

/// A request with a key.
pub(super) struct Request {
    /// Hash of caller and key: id of the row and of the lock. The user is part of the caller, because one service's
    /// credential may act for many users.
    pub(super) id: Uuid,
    seen: Seen,
}

impl Request {
    pub(super) fn hash(&self) -> Vec<u8> {
        self.seen.0.borrow().clone().finalize().to_vec()
    }

    fn read(request: &HttpRequest) -> Result<Option<Self>, Problem> {
        let Some(key) = key(request.headers())? else { return Ok(None) };
        let extensions = request.extensions();
        let caller = extensions.get::<Caller>().ok_or_else(|| Problem::new(&CREDENTIAL_MISSING))?;
        let seen = extensions.get::<Seen>().ok_or_else(|| Problem::new(&INTERNAL))?.clone();
        let mut hash = Sha256::new();
        for part in [caller.kind, &caller.subject, caller.user_id.as_deref().unwrap_or_default(), key] {
            // The length prefix keeps the parts apart.
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        let digest: [u8; 32] = hash.finalize().into();
        let id = digest.first_chunk().map_or_else(Uuid::nil, |half| Uuid::from_bytes(*half));
        Ok(Some(Self { id, seen }))
    }
}

fn key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let invalid = |detail: &str| Problem::new(&IDEMPOTENCY_KEY_INVALID).detail(detail);
    let mut values = headers.get_all(HEADER);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(invalid("send one key, not several"));
    }
    // `to_str` accepts the tab, which is not a visible character.
    let key = value.to_str().ok().filter(|key| !key.contains('\t'));
    let key = key.ok_or_else(|| invalid("a key is printable ASCII"))?;
    if !(1..=MAX_KEY).contains(&key.len()) {
        return Err(invalid("a key is 1 to 255 characters long"));
    }
    Ok(Some(key))
}

/// Extractor of handlers that create or start something: reads the `Idempotency-Key`, if there is one, and answers the
/// request once, by [`Idempotent::run`]. Rejects (400) a key that is empty, too long or not ASCII.
pub struct Idempotent {
    pub(super) answers: Data<Idempotency>,
    pub(super) request: Option<Request>,
}

impl FromRequest for Idempotent {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let Some(answers) = request.app_data::<Data<Idempotency>>() else {
            tracing::error!("the app data of the service lacks `Idempotency`");
            return ready(Err(Problem::new(&INTERNAL)));
        };
        ready(Request::read(request).map(|request| Self { answers: answers.clone(), request }))
    }
}
