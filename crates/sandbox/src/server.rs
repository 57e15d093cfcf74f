//! Starting and stopping the sandbox.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::thread::JoinHandle;

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::routes;
use crate::world::World;

/// Threads that answer. Serving pages is copying bytes: two are plenty beside whoever is being tried out.
const WORKERS: usize = 2;
/// The admin interface takes nothing larger.
const BODY_LIMIT: usize = 64 * 1024;

/// How a sandbox behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The application's client id.
    pub client_id: String,
    /// The application's client secret.
    pub client_secret: String,
    /// Approve every authorization at once, as the first seller.
    pub auto_approve: bool,
    /// Seconds between two polls of a device code (RFC 8628 §3.5).
    pub device_interval: u64,
    /// How long an access token lives, in seconds.
    pub access_token_seconds: u64,
    /// How long a used refresh token still works, in seconds.
    pub refresh_grace_seconds: u64,
    /// The moment its clock shows at the start; the machine's time unless given.
    pub start: Option<OffsetDateTime>,
    /// Of everything random: the same seed, the same tokens, revisions and stumbles. Another one each time unless given.
    pub seed: Option<u64>,
    /// Further rules, by group and name, laid over the others: see docs/guides/use-the-sandbox.md.
    pub rules: Value,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            client_id: "sandbox".to_owned(),
            client_secret: "sandbox-secret".to_owned(),
            auto_approve: false,
            device_interval: 5,
            access_token_seconds: 43_199,
            refresh_grace_seconds: 60,
            start: None,
            seed: None,
            rules: json!({}),
        }
    }
}

/// A running sandbox; it ends with the value.
pub struct Sandbox {
    address: SocketAddr,
    handle: ServerHandle,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Sandbox {
    /// Starts on threads of its own, whatever runtime the caller has.
    ///
    /// # Errors
    /// When the address cannot be bound, or a rule does not exist or cannot be what it shall be.
    pub fn start(settings: Settings) -> io::Result<Self> {
        let (started, start) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let server = match bind(settings) {
                    Ok((address, server)) => {
                        // The receiver waits for exactly this.
                        let _heard = started.send(Ok((address, server.handle())));
                        server
                    }
                    Err(error) => {
                        let _heard = started.send(Err(error));
                        return Ok(());
                    }
                };
                server.await
            })
        });
        let (address, handle) = start.recv().map_err(io::Error::other)??;
        Ok(Self { address, handle, thread: Some(thread) })
    }

    /// The origin of both of Allegro's hosts.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // The command is sent when the future is made; waiting for the thread waits for the end.
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

fn bind(settings: Settings) -> io::Result<(SocketAddr, actix_web::dev::Server)> {
    let listen = settings.listen;
    let world = web::Data::new(
        World::new(settings).map_err(|text| io::Error::new(io::ErrorKind::InvalidInput, text))?,
    );
    let server = HttpServer::new(move || {
        App::new()
            .app_data(world.clone())
            .app_data(web::PayloadConfig::new(BODY_LIMIT))
            .wrap(from_fn(routes::gate::interfere))
            .configure(routes::configure)
    })
    .on_connect(routes::gate::remember_wire)
    .workers(WORKERS)
    .disable_signals()
    .shutdown_timeout(1)
    .bind(listen)?;
    let address = server.addrs().first().copied().ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok((address, server.run()))
}
