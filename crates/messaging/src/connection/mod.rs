//! A connection whose frames are checked before lapin reads them.

mod fields;
mod frames;

use std::io::{self, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_rs::traits::Reactor;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use futures_util::{AsyncRead, AsyncWrite, Stream};
use lapin::tcp::{AMQPUriTcpExt, OwnedTLSConfig};
use lapin::uri::AMQPUri;
use lapin::{AsyncTcpStream, Connection, ConnectionProperties};

use frames::Frames;

/// Maximum number of bytes of one read.
const READ_BYTES: usize = 64 * 1024;

/// Connects to the broker, over TLS if the URI's scheme requires it.
///
/// # Errors
/// The broker cannot be reached, or rejects the connection.
pub(crate) async fn open(uri: AMQPUri, properties: ConnectionProperties) -> lapin::Result<Connection> {
    let tokio = Runtime::tokio_current();
    let runtime = Runtime::new(RuntimeParts::new(Tokio::current(), Network(Tokio::current())));
    let connect = async move |uri: AMQPUri, _runtime: Runtime<Kit>| {
        let config = OwnedTLSConfig::default();
        let stream = uri.connect_with_config_async(config.as_ref(), &tokio).await?;
        Ok(AsyncTcpStream::Plain(Checked::over(stream, uri.query.frame_max)))
    };
    Connection::connector(uri, runtime, connect, properties).await
}

type Kit = RuntimeParts<Tokio, Network>;

/// Tokio's reactor with [`Checked`] as its stream type: lapin accepts only streams of its runtime's type.
#[derive(Debug, Clone)]
struct Network(Tokio);

impl Reactor for Network {
    type TcpStream = Checked;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        self.0.register(socket)
    }

    fn sleep(&self, dur: Duration) -> Self::Sleep {
        self.0.sleep(dur)
    }

    fn interval(&self, dur: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(dur)
    }

    fn tcp_connect_addr(
        &self,
        addr: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let connected = self.0.tcp_connect_addr(addr);
        async move { Ok(Checked::over(AsyncTcpStream::Plain(connected.await?), None)) }
    }
}

/// A stream from which lapin reads the bytes that [`Frames`] admits.
struct Checked {
    stream: AsyncTcpStream<<Tokio as Reactor>::TcpStream>,
    frames: Frames,
    buffer: Box<[u8]>,
    admitted: Vec<u8>,
    /// Number of bytes of [`Checked::admitted`] that have been read.
    read: usize,
}

impl Checked {
    fn over(stream: AsyncTcpStream<<Tokio as Reactor>::TcpStream>, client_max: Option<u32>) -> Self {
        let buffer = vec![0; READ_BYTES].into_boxed_slice();
        Self { stream, frames: Frames::new(client_max), buffer, admitted: Vec::new(), read: 0 }
    }
}

impl AsyncRead for Checked {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        while this.read == this.admitted.len() {
            this.admitted.clear();
            this.read = 0;
            let received = ready!(Pin::new(&mut this.stream).poll_read(cx, &mut this.buffer))?;
            if received == 0 {
                return Poll::Ready(Ok(0));
            }
            let received = this.buffer.get(..received).unwrap_or_default();
            this.frames.admit(received, &mut this.admitted);
        }
        let read = this.admitted.get(this.read..).unwrap_or_default().read(buf)?;
        this.read += read;
        Poll::Ready(Ok(read))
    }
}

impl AsyncWrite for Checked {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}
