//! HTTPS, with certificates that are replaced while the server runs.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use chassis::config::Tls;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;
use testkit::wait_for;

use crate::support::App;

/// Writes a new certificate of "shop.test" and its key into the folder.
fn issue(folder: &TempDir) -> (Tls, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["shop.test".to_owned()]).unwrap();
    let files = Tls { certificate: folder.path().join("tls.crt"), key: folder.path().join("tls.key") };
    fs::write(&files.certificate, made.cert.pem()).unwrap();
    fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    (files, made.cert.der().clone())
}

/// Sends a request that trusts only this certificate.
fn ask(app: &App, believed: &CertificateDer<'static>, path: &str) -> std::io::Result<String> {
    exchange(app, believed, &format!("GET {path} HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n"))
}

/// Sends bytes over a connection that trusts only this certificate, and reads until the server closes.
fn exchange(app: &App, believed: &CertificateDer<'static>, request: &str) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(believed.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    let client = ClientConnection::new(config, ServerName::try_from("shop.test").unwrap()).unwrap();
    let socket = TcpStream::connect(app.address)?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut stream = StreamOwned::new(client, socket);
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        // An answer with a length is complete without the end of the TLS session (RFC 9112 §9.8).
        Err(error) if error.kind() != ErrorKind::UnexpectedEof || answer.is_empty() => Err(error),
        _ => Ok(String::from_utf8(answer).unwrap()),
    }
}

#[test]
fn only_a_valid_new_certificate_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let (files, first) = issue(&folder);
    let app = App::start_with(|server| server.tls(files.clone()).unwrap());
    let is_alive = |believed| ask(&app, believed, "/livez").unwrap().starts_with("HTTP/1.1 200 OK");
    assert!(is_alive(&first));

    fs::write(&files.certificate, "half a certif").unwrap();
    let (_, second) = issue(&tempfile::tempdir().unwrap());
    assert!(ask(&app, &second, "/livez").is_err(), "a stranger's certificate");
    wait_for("the broken certificate to be seen", || {
        let metrics = ask(&app, &first, "/metrics").unwrap();
        metrics.contains(r#"http_server_certificates_total{outcome="refused"} 1"#).then_some(())
    });
    assert!(is_alive(&first), "the old one stays");

    let (_, third) = issue(&folder);
    wait_for("the new certificate to be shown", || ask(&app, &third, "/livez").ok());
    assert!(ask(&app, &first, "/livez").is_err(), "the old one is gone");
}

#[test]
fn malformed_requests_are_answered_without_a_body() {
    let folder = tempfile::tempdir().unwrap();
    let (files, certificate) = issue(&folder);
    let app = App::start_with(|server| server.tls(files).unwrap());
    let answer = exchange(&app, &certificate, "nonsense\r\n\r\n").unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    let head = "GET /livez HTTP/1.1\r\nx: ";
    let long = head.to_owned() + &"x".repeat((1 << 17) - head.len());
    let answer = exchange(&app, &certificate, &long).unwrap();
    assert!(answer.starts_with("HTTP/1.1 431 ") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (files, _) = issue(&folder);
    let (foreign, _) = issue(&other);
    let mixed = Tls { key: foreign.key, ..files.clone() };
    assert_eq!(mixed.load().unwrap_err().name, "API_TLS_KEY");
    let absent = Tls { certificate: "/no/such/file".into(), ..files.clone() };
    assert_eq!(absent.load().unwrap_err().name, "API_TLS_CERT");
    let swapped = Tls { certificate: files.key, key: files.certificate };
    assert_eq!(swapped.load().unwrap_err().name, "API_TLS_CERT");
}
