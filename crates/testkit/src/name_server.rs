//! A name server that says what a test wants.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA};
use hickory_resolver::proto::rr::{RData, Record, RecordType};

/// A name server on a port of its own; its thread ends with the process.
#[derive(Debug, Clone, Copy)]
pub struct NameServer(SocketAddr);

/// A name server's reply to a query.
#[derive(Debug, Clone)]
pub enum NameReply {
    /// These addresses; an empty list means that the name does not exist.
    Addresses(Vec<IpAddr>),
    /// The error SERVFAIL.
    ServerFailure,
    /// No reply.
    Silence,
}

impl NameServer {
    /// Starts a server that answers with these addresses of a name (in small letters, without the last dot), true for
    /// no second; none at all means there is no such name, and `None` that the question stays unanswered.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start(answer: impl Fn(&str) -> Option<Vec<IpAddr>> + Send + 'static) -> Self {
        Self::replying(move |name| answer(name).map_or(NameReply::Silence, NameReply::Addresses))
    }

    /// Starts a server that answers queries with `reply`, which gets the name in lower case and without the last dot.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn replying(reply: impl Fn(&str) -> NameReply + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("an address");
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let Ok(asked) = Message::from_vec(&buffer[..length]) else { continue };
                if let Some(told) = answer(asked, &reply) {
                    socket.send_to(&told, from).expect("an answer goes out");
                }
            }
        });
        Self(address)
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.0
    }
}

fn answer(mut message: Message, reply: &impl Fn(&str) -> NameReply) -> Option<Vec<u8>> {
    let query = message.queries.first()?.clone();
    let name = query.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
    let (code, addresses) = match reply(&name) {
        NameReply::Silence => return None,
        NameReply::ServerFailure => (ResponseCode::ServFail, Vec::new()),
        NameReply::Addresses(none) if none.is_empty() => (ResponseCode::NXDomain, none),
        NameReply::Addresses(some) => (ResponseCode::NoError, some),
    };
    message = message.into_response();
    message.metadata.response_code = code;
    for address in addresses {
        let data = match (address, query.query_type()) {
            (IpAddr::V4(v4), RecordType::A) => RData::A(A(v4)),
            (IpAddr::V6(v6), RecordType::AAAA) => RData::AAAA(AAAA(v6)),
            _ => continue,
        };
        message.add_answer(Record::from_rdata(query.name().clone(), 0, data));
    }
    message.to_vec().ok()
}
