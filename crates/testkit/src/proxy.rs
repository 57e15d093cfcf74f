//! A TCP proxy between a service and what it depends on, which can do what networks do.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use url::Url;

/// What is read at once.
const PIECE: usize = 64 * 1024;

/// How the network behaves now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Weather {
    /// New connections are reset.
    refuses: bool,
    /// Connections are taken and bytes read, but nothing is passed on.
    stalls: bool,
    /// How long every piece takes, each way.
    delay: Duration,
    /// Connections are reset when they have carried so many bytes in all from the client.
    bytes_left: Option<usize>,
    /// A greater number resets all connections made before.
    cuts: u32,
    /// A greater number ends the server's half of all connections made before.
    half_closes: u32,
}

const FAIR: Weather = Weather {
    refuses: false,
    stalls: false,
    delay: Duration::ZERO,
    bytes_left: None,
    cuts: 0,
    half_closes: 0,
};

/// A proxy on a port of its own. It ends with the value.
pub struct Proxy {
    url: Url,
    weather: watch::Sender<Weather>,
    /// Its own, so that a test that blocks cannot hold it up.
    runtime: Option<Runtime>,
}

impl Proxy {
    /// A proxy before the server of this address; [`Proxy::url`] is the same address by way of the proxy.
    ///
    /// # Panics
    /// When the address names no server.
    pub fn before(url: &str) -> Self {
        let mut url = Url::parse(url).expect("a URL");
        let default = match url.scheme() {
            "redis" => 6379,
            "amqp" => 5672,
            _ => 5432,
        };
        let target =
            url.socket_addrs(|| Some(default)).expect("a host").first().copied().expect("an address");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("proxy")
            .enable_all()
            .build()
            .expect("a runtime");
        // Bound in the caller's thread, which may be one of another runtime's.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let port = listener.local_addr().expect("an address").port();
        url.set_host(Some("127.0.0.1")).expect("an address with a host");
        url.set_port(Some(port)).expect("an address with a port");
        let weather = watch::Sender::new(FAIR);
        runtime.spawn(accept(listener, target, weather.subscribe()));
        Self { url, weather, runtime: Some(runtime) }
    }

    /// The server's address by way of the proxy.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Fair weather again: everything passes, and what was held back goes on.
    pub fn pass(&self) {
        self.weather.send_modify(|it| {
            let Weather { cuts, half_closes, .. } = *it;
            *it = Weather { cuts, half_closes, ..FAIR };
        });
    }

    /// Resets every connection there is (RST). New ones pass.
    pub fn cut(&self) {
        self.weather.send_modify(|it| it.cuts += 1);
    }

    /// Resets new connections as soon as they are made. Those there are go on.
    pub fn refuse(&self) {
        self.weather.send_modify(|it| it.refuses = true);
    }

    /// Takes connections and bytes, and passes nothing on, as a frozen server would.
    pub fn stall(&self) {
        self.weather.send_modify(|it| it.stalls = true);
    }

    /// Lets every piece take so long, each way.
    pub fn delay(&self, delay: Duration) {
        self.weather.send_modify(|it| it.delay = delay);
    }

    /// Ends the server's half of every connection (FIN) and goes on passing what the client says.
    pub fn half_close(&self) {
        self.weather.send_modify(|it| it.half_closes += 1);
    }

    /// Resets each connection once it has carried so many bytes in all from its client.
    pub fn cut_after(&self, bytes: usize) {
        self.weather.send_modify(|it| it.bytes_left = Some(bytes));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: std::net::TcpListener, target: SocketAddr, weather: watch::Receiver<Weather>) {
    let listener = TcpListener::from_std(listener).expect("a socket");
    while let Ok((client, _)) = listener.accept().await {
        if weather.borrow().refuses {
            reset(&client);
            continue;
        }
        tokio::spawn(connect(client, target, weather.clone()));
    }
}

async fn connect(mut client: TcpStream, target: SocketAddr, mut weather: watch::Receiver<Weather>) {
    let since = *weather.borrow();
    // While it stalls the client is connected to us and to nobody else.
    let cutting = cut(weather.clone(), since);
    tokio::select! {
        _fair = weather.wait_for(|now| !now.stalls) => {}
        () = cutting => return reset(&client),
    }
    let Ok(mut server) = TcpStream::connect(target).await else { return reset(&client) };
    for socket in [&client, &server] {
        // A socket that cannot be set up is seen when it is used.
        let _set = socket.set_nodelay(true);
    }
    let is_whole = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let upward = pump(from_client, to_server, weather.clone(), Way::Up);
        let downward = pump(from_server, to_client, weather.clone(), Way::Down);
        tokio::select! {
            ended = async { tokio::try_join!(upward, downward) } => ended.is_ok(),
            () = cut(weather, since) => false,
        }
    };
    if !is_whole {
        reset(&client);
        reset(&server);
    }
}

/// Passes on what comes, until it ends. An error is the end of the connection as a whole.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut weather: watch::Receiver<Weather>,
    way: Way,
) -> io::Result<()> {
    let since = *weather.borrow();
    let mut buffer = vec![0; PIECE];
    let mut carried = 0;
    let ended = || io::Error::from(io::ErrorKind::ConnectionReset);
    loop {
        let mut changes = weather.clone();
        let read = tokio::select! {
            read = from.read(&mut buffer) => read?,
            _now = changes.wait_for(|now| now.half_closes > since.half_closes), if way == Way::Down => 0,
        };
        let now = *weather.wait_for(|now| !now.stalls).await.map_err(|_proxy_ended| ended())?;
        // Even a sleep of no time lasts a millisecond.
        if !now.delay.is_zero() {
            tokio::time::sleep(now.delay).await;
        }
        if read == 0 {
            return to.shutdown().await;
        }
        carried += read;
        if let Some(left) = now.bytes_left.filter(|left| way == Way::Up && carried > *left) {
            let room = left.saturating_sub(carried - read);
            to.write_all(&buffer[..room]).await?;
            return Err(ended());
        }
        to.write_all(&buffer[..read]).await?;
    }
}

/// Returns when the connections made before are to be reset.
async fn cut(mut weather: watch::Receiver<Weather>, since: Weather) {
    // When the proxy ends, everything does.
    let _ended = weather.wait_for(|now| now.cuts > since.cuts).await;
}

fn reset(socket: &TcpStream) {
    // A socket closed with this sends RST.
    let _gone = socket.set_zero_linger();
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}
