#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{EncodingKey, Header};
use rsa::RsaPrivateKey;
use rsa::pkcs1::EncodeRsaPrivateKey;
use rsa::rand_core::{OsRng, RngCore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::*;

const SECRET: &str = "a secret of the tests, 32 bytes long";
const NEVER: Duration = Duration::from_hours(1);

/// A key of an issuer, both halves.
struct Pair {
    algorithm: Algorithm,
    private: EncodingKey,
    public: Value,
}

impl Pair {
    fn new(id: &str, algorithm: Algorithm) -> Self {
        let private = match algorithm {
            // Generating a key takes too long without optimisations.
            Algorithm::RS256 => EncodingKey::from_rsa_der(include_bytes!("rsa_2048_of_tests.der")),
            Algorithm::ES256 => {
                let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
                EncodingKey::from_ec_der(key.serialized_der())
            }
            _ => {
                // RFC 8410 §7: a fixed head and the seed.
                let mut der = [0; 48];
                OsRng.fill_bytes(&mut der);
                der[..16]
                    .copy_from_slice(b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20");
                EncodingKey::from_ed_der(&der)
            }
        };
        Self::of(id, algorithm, private)
    }

    fn of(id: &str, algorithm: Algorithm, private: EncodingKey) -> Self {
        let mut public = serde_json::to_value(Jwk::from_encoding_key(&private, algorithm).unwrap()).unwrap();
        public["kid"] = id.into();
        Self { algorithm, private, public }
    }

    fn sign(&self) -> String {
        sign(self.algorithm, self.public["kid"].as_str(), &self.private)
    }
}

fn sign(algorithm: Algorithm, id: Option<&str>, key: &EncodingKey) -> String {
    let mut header = Header::new(algorithm);
    header.kid = id.map(str::to_owned);
    let claims =
        json!({ "aud": "zaplecze", "sub": "anna", "exp": jsonwebtoken::get_current_timestamp() + 600 });
    jsonwebtoken::encode(&header, &claims, key).unwrap()
}

/// Publishes keys and counts who asks.
struct Issuer {
    address: SocketAddr,
    keys: Arc<Mutex<Vec<Value>>>,
    fetches: Arc<AtomicUsize>,
    serving: AbortHandle,
}

impl Issuer {
    async fn publish(keys: &[&Pair]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let keys = Arc::new(Mutex::new(keys.iter().map(|pair| pair.public.clone()).collect()));
        let fetches = Arc::new(AtomicUsize::new(0));
        let (served, counted) = (Arc::clone(&keys), Arc::clone(&fetches));
        let serving = tokio::spawn(async move {
            while let Ok((mut peer, _)) = listener.accept().await {
                let _head = peer.read(&mut [0; 4096]).await.unwrap();
                counted.fetch_add(1, Ordering::Relaxed);
                let body = json!({ "keys": *served.lock().unwrap() }).to_string();
                let head =
                    format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
                peer.write_all((head + &body).as_bytes()).await.unwrap();
            }
        })
        .abort_handle();
        Self { address, keys, fetches, serving }
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::Relaxed)
    }

    fn verifiers(&self, retry: Duration) -> Verifiers {
        let url = format!("http://{}/keys", self.address).parse().unwrap();
        let jwks = Some(Arc::new(Jwks::with_retry(url, retry).unwrap()));
        Verifiers { jwks, ..Verifiers::default() }
    }
}

async fn why(verifiers: &Verifiers, token: &str) -> String {
    verifiers.check(token).await.err().unwrap().to_string()
}

#[tokio::test]
async fn every_algorithm_verifies_with_its_own_kind_of_key_only() {
    let pairs = [
        Pair::new("r", Algorithm::RS256),
        Pair::new("e", Algorithm::ES256),
        Pair::new("d", Algorithm::EdDSA),
    ];
    let issuer = Issuer::publish(&pairs.each_ref()).await;
    let mut verifiers = issuer.verifiers(NEVER);
    for pair in &pairs {
        let claims = verifiers.check(&pair.sign()).await.unwrap();
        assert_eq!(claims.sub.as_deref(), Some("anna"), "{:?}", pair.algorithm);
        let unnamed = sign(pair.algorithm, None, &pair.private);
        assert!(verifiers.check(&unnamed).await.is_ok(), "the only key of its kind needs no id");
    }

    // A forger knows the public key; taken as the secret of an HMAC it would sign anything.
    let public = URL_SAFE_NO_PAD.decode(pairs[0].public["n"].as_str().unwrap()).unwrap();
    let forged = sign(Algorithm::HS256, Some("r"), &EncodingKey::from_secret(&public));
    assert_eq!(why(&verifiers, &forged).await, "the token must be signed with RS256, ES256 or EdDSA");
    verifiers.set_secret(Some(&SecretString::from(SECRET)));
    assert_eq!(why(&verifiers, &forged).await, "the signature of the token is wrong");
    let ours = sign(Algorithm::HS256, None, &EncodingKey::from_secret(SECRET.as_bytes()));
    assert!(verifiers.check(&ours).await.is_ok(), "secret and issuer go together");

    let crossed = sign(Algorithm::ES256, Some("r"), &pairs[1].private);
    assert_eq!(why(&verifiers, &crossed).await, "the key of the token is unknown");
    let other_hash = sign(Algorithm::RS512, Some("r"), &pairs[0].private);
    assert_eq!(
        why(&verifiers, &other_hash).await,
        "the token must be signed with HS256, RS256, ES256 or EdDSA"
    );
    let stranger = Pair::new("e", Algorithm::ES256);
    assert_eq!(why(&verifiers, &stranger.sign()).await, "the signature of the token is wrong");
    assert_eq!(issuer.fetches(), 1);
}

#[tokio::test]
async fn keys_that_are_not_for_signatures_we_take_are_left_out() {
    let mut to_encrypt = Pair::new("x", Algorithm::ES256);
    to_encrypt.public["use"] = "enc".into();
    let mut other = Pair::new("p", Algorithm::RS256);
    other.public["alg"] = "PS256".into();
    let good = Pair::new("g", Algorithm::EdDSA);
    let issuer = Issuer::publish(&[&to_encrypt, &other, &good]).await;
    let secret = json!({ "kty": "oct", "kid": "o", "k": "AAAA" });
    let unheard_of = json!({ "kty": "quantum", "kid": "q" });
    issuer.keys.lock().unwrap().extend([secret, unheard_of]);
    let verifiers = issuer.verifiers(NEVER);
    assert!(verifiers.check(&good.sign()).await.is_ok(), "the others do not cost us this one");
    for token in [to_encrypt.sign(), other.sign()] {
        assert_eq!(why(&verifiers, &token).await, "the key of the token is unknown");
    }
}

#[tokio::test]
async fn rsa_keys_below_2048_bits_are_refused() {
    let short = RsaPrivateKey::new(&mut OsRng, 1024).unwrap();
    let short = EncodingKey::from_rsa_der(short.to_pkcs1_der().unwrap().as_bytes());
    let short = Pair::of("short", Algorithm::RS256, short);
    let long = Pair::new("long", Algorithm::RS256);
    let issuer = Issuer::publish(&[&short, &long]).await;
    let verifiers = issuer.verifiers(NEVER);
    assert_eq!(why(&verifiers, &short.sign()).await, "the key of the token is unknown");
    assert!(verifiers.check(&long.sign()).await.is_ok());
}

#[tokio::test]
async fn an_empty_key_set_keeps_the_last_good_one() {
    let pair = Pair::new("a", Algorithm::ES256);
    let issuer = Issuer::publish(&[&pair]).await;
    let verifiers = issuer.verifiers(Duration::ZERO);
    assert!(verifiers.check(&pair.sign()).await.is_ok());
    let foreign = json!({ "kty": "oct", "kid": "o", "k": "AAAA" });
    for published in [vec![], vec![foreign]] {
        *issuer.keys.lock().unwrap() = published;
        let before = issuer.fetches();
        let unknown = sign(Algorithm::ES256, Some("b"), &pair.private);
        assert_eq!(why(&verifiers, &unknown).await, "the key of the token is unknown");
        assert_eq!(issuer.fetches(), before + 1);
        assert!(verifiers.check(&pair.sign()).await.is_ok(), "the last usable keys stay");
    }
}

#[tokio::test]
async fn a_token_with_critical_extensions_is_refused() {
    let mut verifiers = Verifiers::default();
    verifiers.set_secret(Some(&SecretString::from(SECRET)));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    for named in [vec![], vec!["exp".to_owned()], vec!["urn:example:bound".to_owned()]] {
        let mut header = Header::new(Algorithm::HS256);
        header.crit = Some(named);
        let claims =
            json!({ "aud": "zaplecze", "sub": "anna", "exp": jsonwebtoken::get_current_timestamp() + 600 });
        let token = jsonwebtoken::encode(&header, &claims, &key).unwrap();
        let expected = "the token needs extensions (crit) that this service does not know";
        assert_eq!(why(&verifiers, &token).await, expected);
    }
}

#[tokio::test]
async fn a_storm_of_unknown_keys_makes_one_fetch() {
    let pair = Pair::new("known", Algorithm::ES256);
    let issuer = Issuer::publish(&[&pair]).await;
    let verifiers = issuer.verifiers(NEVER);
    let tokens: Vec<String> =
        (0..200).map(|id| sign(Algorithm::ES256, Some(&format!("unknown-{id}")), &pair.private)).collect();
    let refused = join_all(tokens.iter().map(|token| why(&verifiers, token))).await;
    assert!(refused.iter().all(|why| why == "the key of the token is unknown"), "{refused:?}");
    assert_eq!(issuer.fetches(), 1);
    assert!(verifiers.check(&pair.sign()).await.is_ok());
}

#[tokio::test]
async fn keys_rotate_and_outlive_their_address() {
    let (old, new) = (Pair::new("old", Algorithm::ES256), Pair::new("new", Algorithm::EdDSA));
    let issuer = Issuer::publish(&[&old]).await;
    let verifiers = issuer.verifiers(Duration::ZERO);
    assert!(verifiers.check(&old.sign()).await.is_ok());

    *issuer.keys.lock().unwrap() = vec![new.public.clone()];
    assert!(verifiers.check(&old.sign()).await.is_ok(), "good until the next fetch");
    assert!(verifiers.check(&new.sign()).await.is_ok(), "an unknown id is a reason to fetch");
    assert_eq!(why(&verifiers, &old.sign()).await, "the key of the token is unknown");

    issuer.serving.abort();
    testkit::eventually("the address is gone", async || {
        tokio::net::TcpStream::connect(issuer.address).await.is_err().then_some(())
    })
    .await;
    assert_eq!(why(&verifiers, &old.sign()).await, "the key of the token is unknown");
    assert!(verifiers.check(&new.sign()).await.is_ok(), "good while the address is down");
}

#[tokio::test]
async fn before_the_first_fetch_nobody_can_be_judged() {
    let pair = Pair::new("a", Algorithm::ES256);
    let issuer = Issuer::publish(&[&pair]).await;
    let verifiers = issuer.verifiers(Duration::ZERO);
    issuer.serving.abort();
    testkit::eventually("the address is gone", async || {
        tokio::net::TcpStream::connect(issuer.address).await.is_err().then_some(())
    })
    .await;
    let problem = verifiers.check(&pair.sign()).await.err().unwrap();
    assert_eq!(problem.code(), &DEPENDENCY_UNAVAILABLE);
}
