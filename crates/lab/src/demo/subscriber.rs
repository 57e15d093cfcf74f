//! A subscriber: verifies every webhook with the public library, and records it in a file.

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

/// The received webhooks so far.
#[derive(Debug, Default, Clone)]
pub(crate) struct Received {
    /// Order ids by event type.
    pub(crate) orders: BTreeMap<String, BTreeSet<String>>,
    /// Number of verified webhooks, including repeated ones.
    pub(crate) total: usize,
    /// Number of different webhook ids among them.
    pub(crate) different: BTreeSet<String>,
    /// Number of webhooks whose signature did not verify.
    pub(crate) forged: usize,
    /// Orders with more than one event of a type.
    twice: BTreeMap<String, BTreeSet<String>>,
}

impl Received {
    /// Orders with an event of this type.
    pub(crate) fn of(&self, event_type: &str) -> BTreeSet<String> {
        self.orders.get(event_type).cloned().unwrap_or_default()
    }

    /// Number of orders with more than one event of a type. A repeated webhook is the same event.
    pub(crate) fn told_twice(&self, event_type: &str) -> usize {
        self.twice.get(event_type).map_or(0, BTreeSet::len)
    }

    /// Number of repeated webhooks.
    pub(crate) fn repeated(&self) -> usize {
        self.total - self.different.len()
    }
}

struct Shared {
    verifier: OnceLock<Webhook>,
    received: Mutex<(Received, File)>,
    /// Requests being answered.
    in_flight: AtomicUsize,
    /// Latency of an answer.
    delay: Duration,
}

/// The subscriber. Its threads end with the process.
#[derive(Clone)]
pub(crate) struct Subscriber {
    shared: Arc<Shared>,
    pub(crate) url: String,
}

impl Subscriber {
    /// Listens on a free port and records webhooks in this file.
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
                    // A sender that closed the connection sends the webhook again.
                    let _gone = shared.answer(request);
                    shared.in_flight.fetch_sub(1, Ordering::SeqCst);
                }
            });
        }
        Ok(Self { shared, url: format!("http://{address}/hooks") })
    }

    /// Verifies webhooks with this secret from now on.
    pub(crate) fn trust(&self, secret: &str) -> Result<()> {
        let verifier = Webhook::new(secret)?;
        self.shared.verifier.set(verifier).ok().context("the subscriber has a secret already")
    }

    /// The received webhooks so far.
    pub(crate) fn received(&self) -> Received {
        self.shared.lock().0.clone()
    }

    /// Number of verified webhooks so far.
    pub(crate) fn total(&self) -> usize {
        self.shared.lock().0.total
    }

    /// Requests being answered.
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
