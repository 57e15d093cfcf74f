//! Each kind of bad weather is what its name says, seen from both ends.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use testkit::{Proxy, wait_for};

/// A server that a test plays itself, and a proxy before it.
struct Line {
    listener: TcpListener,
    proxy: Proxy,
}

impl Line {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy::before(&format!("redis://{}", listener.local_addr().unwrap()));
        Self { listener, proxy }
    }

    fn dial(&self) -> TcpStream {
        let address = self.proxy.url().trim_start_matches("redis://").trim_end_matches('/');
        let client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client
    }

    /// Both ends of a connection that carries.
    fn connect(&self) -> (TcpStream, TcpStream) {
        let mut client = self.dial();
        client.write_all(b"hello").unwrap();
        let (mut server, _) = self.listener.accept().unwrap();
        server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        assert_eq!(read(&mut server), b"hello");
        (client, server)
    }
}

fn read(stream: &mut TcpStream) -> Vec<u8> {
    let mut buffer = [0; 100];
    let read = stream.read(&mut buffer).unwrap();
    buffer.iter().copied().take(read).collect()
}

fn is_reset(stream: &mut TcpStream) -> bool {
    stream.read(&mut [0; 10]).is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

#[test]
fn a_cut_resets_open_connections_only() {
    let line = Line::open();
    let (mut client, mut server) = line.connect();
    line.proxy.cut();
    assert!(is_reset(&mut client) && is_reset(&mut server));
    line.connect();
}

#[test]
fn only_new_connections_are_refused() {
    let line = Line::open();
    let (mut client, mut server) = line.connect();
    line.proxy.refuse();
    assert!(is_reset(&mut line.dial()));
    server.write_all(b"still here").unwrap();
    assert_eq!(read(&mut client), b"still here");
    line.proxy.pass();
    line.connect();
}

#[test]
fn a_stall_buffers_data_until_it_ends() {
    let line = Line::open();
    let (mut client, mut server) = line.connect();
    line.proxy.stall();
    client.write_all(b"later").unwrap();
    server.set_nonblocking(true).unwrap();
    let second = line.dial();
    let nothing = server.read(&mut [0; 10]).map_err(|error| error.kind());
    assert_eq!(nothing, Err(ErrorKind::WouldBlock));
    line.listener.set_nonblocking(true).unwrap();
    assert!(line.listener.accept().is_err(), "a new connection got through");
    line.proxy.pass();
    server.set_nonblocking(false).unwrap();
    assert_eq!(read(&mut server), b"later");
    wait_for("the connection made meanwhile", || line.listener.accept().ok());
    drop(second);
}

#[test]
fn a_delay_applies_in_both_directions() {
    let line = Line::open();
    let (mut client, mut server) = line.connect();
    let delay = Duration::from_millis(150);
    line.proxy.delay(delay);
    let started = Instant::now();
    client.write_all(b"ping").unwrap();
    assert_eq!(read(&mut server), b"ping");
    server.write_all(b"pong").unwrap();
    assert_eq!(read(&mut client), b"pong");
    assert!(started.elapsed() >= delay * 2, "took {:?}", started.elapsed());
}

#[test]
fn half_closed_is_the_servers_half() {
    let line = Line::open();
    let (mut client, mut server) = line.connect();
    line.proxy.half_close();
    assert_eq!(read(&mut client), b"", "the server's half has ended");
    client.write_all(b"on").unwrap();
    assert_eq!(read(&mut server), b"on");
}

#[test]
fn a_cut_after_n_bytes_passes_exactly_n() {
    let line = Line::open();
    let (mut client, mut server) = line.connect();
    // "hello" was carried before.
    line.proxy.cut_after(8);
    client.write_all(b"123456").unwrap();
    let mut got = Vec::new();
    let ended = server.read_to_end(&mut got).map_err(|error| error.kind());
    assert_eq!((ended, got.as_slice()), (Err(ErrorKind::ConnectionReset), b"123".as_slice()));
    assert!(is_reset(&mut client));
}
