//! Starts and stops the sandbox.

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

/// Number of server threads. Serving a page is mostly copying bytes, so that two suffice beside the program under test.
const WORKERS: usize = 2;
/// Maximum size of a body of the admin interface.
const BODY_LIMIT: usize = 64 * 1024;

/// Settings of a sandbox.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Address to listen on; port 0 selects a free one.
    pub listen: SocketAddr,
    /// The application's client id.
    pub client_id: String,
    /// The application's client secret.
    pub client_secret: String,
    /// Approve every authorization at once, as the first seller.
    pub auto_approve: bool,
    /// Seconds between two polls of a device code (RFC 8628 §3.5).
    pub device_interval: u64,
    /// Lifetime of an access token in seconds.
    pub access_token_seconds: u64,
    /// How long a used refresh token still works, in seconds.
    pub refresh_grace_seconds: u64,
    /// Initial time of its clock; the system's time by default.
    pub start: Option<OffsetDateTime>,
    /// Seed of all random values: the same seed gives the same tokens, revisions and faults. A different one each time
    /// by default.
    pub seed: Option<u64>,
    /// Further rules, by group and name, which replace the others: see docs/guides/use-the-sandbox.md.
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

/// A running sandbox. It ends when the value is dropped.
pub struct Sandbox {
    address: SocketAddr,
    handle: ServerHandle,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Sandbox {
    /// Starts on its own threads, independent of the caller's runtime.
    ///
    /// # Errors
    /// The address cannot be bound, or a rule does not exist or has an invalid value.
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
        // The command is sent when the future is created. Joining the thread waits for the end.
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
