//! Receivers: one server, an endpoint for each path. What it does with a request is as little as possible.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::web::{self, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use standardwebhooks::Webhook;
use tokio::time::timeout;
use uuid::Uuid;

/// How long a hanging endpoint takes.
const HANGS: Duration = Duration::from_secs(30);
/// Of the requests to a flaky endpoint, one in so many fails.
const FLAKY: usize = 3;

/// What an endpoint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Answers at once.
    Well,
    /// Answers after a moment, as one that does some work of its own.
    Working(Duration),
    /// Answers a third of the requests with 500.
    Flaky,
    /// Answers after half a minute, until it is told to be well.
    Hanging,
}

/// A delivery that was answered with 2xx.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hit {
    pub(crate) endpoint: usize,
    pub(crate) id: Uuid,
    pub(crate) at: Instant,
}

struct Endpoint {
    manner: Manner,
    verifier: Option<Webhook>,
}

#[derive(Default)]
struct Shared {
    endpoints: RwLock<Vec<Endpoint>>,
    hits: Mutex<Vec<Hit>>,
    number: AtomicUsize,
    total: AtomicUsize,
    /// Requests taken and not answered yet, but for those that hang.
    in_flight: AtomicUsize,
    forged: AtomicUsize,
    is_healed: AtomicBool,
}

/// The receivers; they end with the process.
pub(crate) struct Sink {
    shared: Arc<Shared>,
    url: String,
}

impl Sink {
    /// Listens on a free port, on a thread of its own.
    pub(crate) fn start() -> Self {
        let shared = Arc::<Shared>::default();
        let (started, start) = std::sync::mpsc::channel();
        let data = Data::from(Arc::clone(&shared));
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let app = move || App::new().app_data(data.clone()).default_service(web::to(receive));
                let server = HttpServer::new(app).workers(1).disable_signals();
                let server = server.bind(("127.0.0.1", 0)).unwrap();
                started.send(server.addrs().first().copied().unwrap()).unwrap();
                server.run().await
            })
        });
        Self { shared, url: format!("http://{}", start.recv().unwrap()) }
    }

    /// Adds an endpoint; returns its number and where it is.
    pub(crate) fn endpoint(&self, manner: Manner) -> (usize, String) {
        let mut endpoints = self.shared.endpoints.write().unwrap();
        endpoints.push(Endpoint { manner, verifier: None });
        let number = endpoints.len() - 1;
        (number, format!("{}/{number}", self.url))
    }

    /// From now on signatures to this endpoint are verified with this secret.
    pub(crate) fn verify(&self, endpoint: usize, secret: &str) {
        let verifier = Webhook::new(secret).unwrap();
        self.shared.endpoints.write().unwrap().get_mut(endpoint).unwrap().verifier = Some(verifier);
    }

    /// Those that hang are well from now on.
    pub(crate) fn heal(&self) {
        self.shared.is_healed.store(true, Ordering::SeqCst);
    }

    /// What was received so far.
    pub(crate) fn hits(&self) -> Vec<Hit> {
        self.shared.hits.lock().unwrap().clone()
    }

    /// How much was received so far.
    pub(crate) fn total(&self) -> usize {
        self.shared.total.load(Ordering::SeqCst)
    }

    /// Requests of endpoints that do not hang, taken and not answered yet.
    pub(crate) fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Ordering::SeqCst)
    }

    /// Requests whose signature did not verify.
    pub(crate) fn forged(&self) -> usize {
        self.shared.forged.load(Ordering::SeqCst)
    }
}

async fn receive(request: HttpRequest, body: web::Bytes, shared: Data<Shared>) -> HttpResponse {
    let at = Instant::now();
    let endpoint = request.path().trim_start_matches('/').parse::<usize>().unwrap_or(usize::MAX);
    let (manner, is_forged) = {
        let endpoints = shared.endpoints.read().unwrap();
        let Some(known) = endpoints.get(endpoint) else { return HttpResponse::NotFound().finish() };
        (
            known.manner,
            known.verifier.as_ref().is_some_and(|it| it.verify(&body, &headers(&request)).is_err()),
        )
    };
    shared.forged.fetch_add(usize::from(is_forged), Ordering::SeqCst);
    let is_hanging = manner == Manner::Hanging && !shared.is_healed.load(Ordering::SeqCst);
    shared.in_flight.fetch_add(usize::from(!is_hanging), Ordering::SeqCst);
    let pause = match manner {
        Manner::Hanging if is_hanging => HANGS,
        Manner::Working(pause) => pause,
        _ => Duration::ZERO,
    };
    if !pause.is_zero() {
        let _elapsed = timeout(pause, std::future::pending::<()>()).await;
    }
    let fails = manner == Manner::Flaky && shared.number.fetch_add(1, Ordering::SeqCst).is_multiple_of(FLAKY);
    // What bare requests send names no event, and is only counted.
    let id = request.headers().get("webhook-id").and_then(|id| id.to_str().ok()?.parse().ok());
    if let Some(id) = id.filter(|_| !fails) {
        shared.hits.lock().unwrap().push(Hit { endpoint, id, at });
    }
    shared.total.fetch_add(usize::from(!fails), Ordering::SeqCst);
    shared.in_flight.fetch_sub(usize::from(!is_hanging), Ordering::SeqCst);
    HttpResponse::build(if fails { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::NO_CONTENT })
        .finish()
}

fn headers(request: &HttpRequest) -> http::HeaderMap {
    let read =
        |(name, value): (&actix_web::http::header::HeaderName, &actix_web::http::header::HeaderValue)| {
            let name: http::HeaderName = name.as_str().parse().ok()?;
            Some((name, http::HeaderValue::from_bytes(value.as_bytes()).ok()?))
        };
    request.headers().iter().filter_map(read).collect()
}

/// How often each event came to each endpoint.
pub(crate) fn times(hits: &[Hit]) -> HashMap<(usize, Uuid), usize> {
    let mut times = HashMap::new();
    for hit in hits {
        *times.entry((hit.endpoint, hit.id)).or_default() += 1;
    }
    times
}
