//! A subscriber outside: verifies every webhook with the public library, and writes down what it received.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use http::HeaderMap;
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tiny_http::{Request, Response, Server};

const THREADS: usize = 8;

/// What was received so far.
#[derive(Debug, Default, Clone)]
pub(crate) struct Received {
    /// Order ids by event type.
    pub(crate) orders: BTreeMap<String, BTreeSet<String>>,
    /// Webhooks that verified, repeated ones too.
    pub(crate) total: usize,
    /// Different webhook ids among them.
    pub(crate) different: BTreeSet<String>,
    /// Webhooks whose signature did not verify.
    pub(crate) forged: usize,
    /// Orders that were told of by more than one fact of a type.
    twice: BTreeMap<String, BTreeSet<String>>,
}

impl Received {
    /// Orders told of by one type of event.
    pub(crate) fn of(&self, event_type: &str) -> BTreeSet<String> {
        self.orders.get(event_type).cloned().unwrap_or_default()
    }

    /// How many orders were told of by more than one fact of a type; the same webhook sent again is no other fact.
    pub(crate) fn told_twice(&self, event_type: &str) -> usize {
        self.twice.get(event_type).map_or(0, BTreeSet::len)
    }

    /// Webhooks that came more than once.
    pub(crate) fn repeated(&self) -> usize {
        self.total - self.different.len()
    }
}

struct Shared {
    verifier: OnceLock<Webhook>,
    received: Mutex<(Received, File)>,
    /// Requests being answered now.
    in_flight: AtomicUsize,
    /// How long an answer takes.
    delay: Duration,
}

/// The subscriber; its threads end with the process.
#[derive(Clone)]
pub(crate) struct Subscriber {
    shared: Arc<Shared>,
    pub(crate) url: String,
}

impl Subscriber {
    /// Listens on a free port and writes what it receives to this file.
    pub(crate) fn start(file: &Path, delay: Duration) -> Result<Self> {
        let server = Server::http("127.0.0.1:0").map_err(anyhow::Error::from_boxed)?;
        let address = server.server_addr().to_ip().context("the subscriber has no address")?;
        let shared = Arc::new(Shared {
            verifier: OnceLock::new(),
            received: Mutex::new((Received::default(), File::create(file)?)),
            in_flight: AtomicUsize::new(0),
            delay,
        });
        let server = Arc::new(server);
        for _ in 0..THREADS {
            let (server, shared) = (Arc::clone(&server), Arc::clone(&shared));
            std::thread::spawn(move || {
                while let Ok(request) = server.recv() {
                    shared.in_flight.fetch_add(1, Ordering::SeqCst);
                    // A sender that went away meanwhile sends again.
                    let _gone = shared.answer(request);
                    shared.in_flight.fetch_sub(1, Ordering::SeqCst);
                }
            });
        }
        Ok(Self { shared, url: format!("http://{address}/hooks") })
    }

    /// From now on webhooks are verified with this secret.
    pub(crate) fn trust(&self, secret: &str) -> Result<()> {
        let verifier = Webhook::new(secret)?;
        self.shared.verifier.set(verifier).ok().context("the subscriber has a secret already")
    }

    /// What was received so far.
    pub(crate) fn received(&self) -> Received {
        self.shared.lock().0.clone()
    }

    /// How many webhooks verified so far.
    pub(crate) fn total(&self) -> usize {
        self.shared.lock().0.total
    }

    /// Requests being answered now.
    pub(crate) fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, (Received, File)> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, mut request: Request) -> Result<()> {
        let mut body = Vec::new();
        request.as_reader().read_to_end(&mut body)?;
        let mut headers = HeaderMap::new();
        for header in request.headers() {
            let name = header.field.as_str().as_str().parse::<http::HeaderName>()?;
            headers.insert(name, header.value.as_str().parse()?);
        }
        let verified = self.verifier.get().is_some_and(|verifier| verifier.verify(&body, &headers).is_ok());
        if !self.delay.is_zero() {
            std::thread::sleep(self.delay);
        }
        if !verified {
            self.lock().0.forged += 1;
            return Ok(request.respond(Response::empty(401))?);
        }
        self.note(&headers, &body)?;
        Ok(request.respond(Response::empty(204))?)
    }

    fn note(&self, headers: &HeaderMap, body: &[u8]) -> Result<()> {
        let content: Value = serde_json::from_slice(body)?;
        let id = headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
        let kind = content.get("type").and_then(Value::as_str).unwrap_or_default();
        let order = content.pointer("/data/order_id").and_then(Value::as_str);
        let mut guard = self.lock();
        let (received, file) = &mut *guard;
        received.total += 1;
        let is_other = received.different.insert(id.to_owned());
        if let Some(order) = order {
            let is_first = received.orders.entry(kind.to_owned()).or_default().insert(order.to_owned());
            if is_other && !is_first {
                received.twice.entry(kind.to_owned()).or_default().insert(order.to_owned());
            }
        }
        writeln!(file, "{}", json!({ "webhook_id": id, "body": content }))?;
        Ok(())
    }
}
