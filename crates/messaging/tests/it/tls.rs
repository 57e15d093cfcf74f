//! RabbitMQ over TLS.

use messaging::Broker;
use secrecy::SecretString;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

#[tokio::test]
async fn an_amqps_address_begins_a_tls_handshake() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = SecretString::from(format!("amqps://guest:guest@localhost:{port}/shop"));
    let broker = Broker::new(&url, "test").unwrap();
    let asked = tokio::spawn(async move { broker.ping().await });
    let (mut peer, _) = listener.accept().await.unwrap();
    let mut head = [0; 6];
    peer.read_exact(&mut head).await.unwrap();
    // RFC 8446 §5.1 and §4: a record of a handshake, which begins with the client's hello.
    assert_eq!((head[0], head[1], head[5]), (22, 3, 1), "{head:?}");
    drop(peer);
    assert!(asked.await.unwrap().is_err(), "and nothing is said in clear instead");
}
