//! Postgres over TLS.
//!
//! A proxy in front of the real server does what a server with `ssl = on` does at the start of a connection: it accepts
//! the driver's request and uses TLS with its certificate. The rest is the real server's.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pg::Pool;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;
use testkit::Database;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use url::Url;

use crate::MIGRATIONS;

/// PostgreSQL's protocol §54.2.11: a length of 8 and the code of `SSLRequest`.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// A root and a certificate of `localhost` that it signed.
struct Authority {
    folder: TempDir,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let mut root = CertificateParams::new(Vec::new()).unwrap();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root_key = KeyPair::generate().unwrap();
        let pem = root.self_signed(&root_key).unwrap().pem();
        let issuer = Issuer::new(root, root_key);
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("root.pem"), pem).unwrap();
        Self {
            folder,
            chain: vec![certificate.der().clone()],
            key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }
}

/// The TLS address of the server, and the number of TLS connections.
struct Front {
    port: u16,
    greeted: Arc<AtomicUsize>,
}

impl Front {
    async fn of(database: &Database, authority: &Authority) -> Self {
        let target = Url::parse(database.url().expose_secret()).unwrap();
        let target = format!("{}:{}", target.host_str().unwrap(), target.port().unwrap_or(5432));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_no_client_auth();
        let config = config.with_single_cert(authority.chain.clone(), authority.key.clone_key()).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let greeted = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&greeted);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (acceptor, target, counted) = (acceptor.clone(), target.clone(), Arc::clone(&counted));
                tokio::spawn(async move {
                    let mut question = [0; 8];
                    near.read_exact(&mut question).await?;
                    assert_eq!(question, SSL_REQUEST, "a connection in clear");
                    near.write_all(b"S").await?;
                    let mut near = acceptor.accept(near).await?;
                    counted.fetch_add(1, Ordering::Relaxed);
                    copy_bidirectional(&mut near, &mut TcpStream::connect(target).await?).await
                });
            }
        });
        Self { port, greeted }
    }

    fn url(&self, database: &Database, host: &str, query: &str) -> SecretString {
        let mut url = Url::parse(database.url().expose_secret()).unwrap();
        url.set_host(Some(host)).unwrap();
        url.set_port(Some(self.port)).unwrap();
        url.set_query(Some(query));
        String::from(url).into()
    }
}

async fn ping(url: &SecretString) -> Result<(), String> {
    let pool = Pool::new(url, 1, "test").map_err(|error| error.to_string())?;
    pool.ping().await.map_err(|error| format!("{error:?}"))
}

#[tokio::test]
async fn pool_migrations_and_single_connections_speak_tls() {
    let (authority, database) = (Authority::new(), Database::create("stock_sync", "").await);
    let front = Front::of(&database, &authority).await;
    let query = format!("sslmode=verify-full&sslrootcert={}", authority.root().display());
    let url = front.url(&database, "localhost", &query);
    assert!(!pg::migrate(&url, &MIGRATIONS).await.unwrap().is_empty());
    ping(&url).await.unwrap();
    let (client, connection) = pg::connect(&url, "test").await.unwrap();
    tokio::spawn(connection);
    client.execute("SELECT 1", &[]).await.unwrap();
    assert_eq!(front.greeted.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_certificate_is_verified_as_the_mode_requires() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let database = Database::create("stock_sync", "").await;
    let front = Front::of(&database, &authority).await;
    let (own, foreign) = (authority.root(), stranger.root());
    for (host, mode, root, is_fine) in [
        ("localhost", "prefer", None, true),
        ("localhost", "require", None, true),
        ("localhost", "require", Some(&own), true),
        ("localhost", "require", Some(&foreign), false),
        ("127.0.0.1", "verify-ca", Some(&own), true),
        ("localhost", "verify-ca", Some(&foreign), false),
        ("localhost", "verify-full", Some(&own), true),
        ("127.0.0.1", "verify-full", Some(&own), false),
        ("localhost", "verify-full", Some(&foreign), false),
        ("localhost", "verify-full", None, false),
    ] {
        let root = root.map(|root| format!("&sslrootcert={}", root.display())).unwrap_or_default();
        let query = format!("sslmode={mode}{root}");
        let outcome = ping(&front.url(&database, host, &query)).await;
        assert_eq!(outcome.is_ok(), is_fine, "{host} {query}: {outcome:?}");
        if let Err(why) = outcome {
            assert!(why.contains("certificate"), "{why}");
        }
    }
}

#[tokio::test]
async fn a_server_without_tls_is_rejected_only_if_tls_is_required() {
    let database = Database::create("stock_sync", "").await;
    let url = |query: &str| SecretString::from(format!("{}?{query}", database.url().expose_secret()));
    ping(&url("sslmode=disable")).await.unwrap();
    ping(&url("sslmode=prefer")).await.unwrap();
    for mode in ["require", "verify-full"] {
        let why = ping(&url(&format!("sslmode={mode}"))).await.unwrap_err();
        assert!(why.contains("does not support TLS"), "{why}");
    }
}
