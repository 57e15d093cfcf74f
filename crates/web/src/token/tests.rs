#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA512, RsaKeyPair,
};
use serde_json::{Value, json};
use testkit::token::{hmac_sha256, now, token};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::*;

const SECRET: &str = "a secret of the tests, 32 bytes long";
const NEVER: Duration = Duration::from_hours(1);

enum Private {
    Secret(Vec<u8>),
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

/// A key pair of an issuer.
struct Pair {
    algorithm: Algorithm,
    private: Private,
    public: Value,
}

impl Pair {
    fn new(id: &str, algorithm: Algorithm) -> Self {
        let random = SystemRandom::new();
        let (private, mut public) = match algorithm {
            // Generating a key takes too long without optimisations.
            Algorithm::RS256 => {
                let pair = RsaKeyPair::from_der(include_bytes!("rsa_2048_of_tests.der")).unwrap();
                let PublicKeyComponents::<Vec<u8>> { n, e } = pair.public().into();
                (Private::Rsa(pair), json!({ "kty": "RSA", "n": base64(&n), "e": base64(&e) }))
            }
            Algorithm::ES256 => {
                let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.as_ref(), &random)
                    .unwrap();
                // An uncompressed point (SEC 1 §2.3.3).
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                let public = json!({ "kty": "EC", "crv": "P-256", "x": base64(x), "y": base64(y) });
                (Private::Ec(pair), public)
            }
            _ => {
                let der = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
                let pair = Ed25519KeyPair::from_pkcs8(der.as_ref()).unwrap();
                let public =
                    json!({ "kty": "OKP", "crv": "Ed25519", "x": base64(pair.public_key().as_ref()) });
                (Private::Ed(pair), public)
            }
        };
        public["kid"] = id.into();
        public["alg"] = format!("{algorithm:?}").into();
        Self { algorithm, private, public }
    }

    fn sign(&self) -> String {
        sign(self.algorithm, self.public["kid"].as_str(), &self.private)
    }
}

fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn sign(algorithm: Algorithm, id: Option<&str>, key: &Private) -> String {
    let mut header = json!({ "typ": "JWT", "alg": format!("{algorithm:?}") });
    if let Some(id) = id {
        header["kid"] = id.into();
    }
    token(&header, &claims(), |message| signature(algorithm, key, message))
}

fn claims() -> Value {
    json!({ "aud": "zaplecze", "sub": "anna", "exp": now() + 600 })
}

fn signature(algorithm: Algorithm, key: &Private, message: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    match key {
        Private::Secret(secret) => hmac_sha256(secret, message),
        Private::Ec(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
        Private::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        Private::Rsa(pair) => {
            let mut signature = vec![0; pair.public().modulus_len()];
            match algorithm {
                Algorithm::RS512 => pair.sign(&RSA_PKCS1_SHA512, &random, message, &mut signature),
                _ => pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature),
            }
            .unwrap();
            signature
        }
    }
}

/// Publishes keys and counts requests.
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

    // A forger knows the public key. Used as the secret of an HMAC it would sign anything.
    let public = URL_SAFE_NO_PAD.decode(pairs[0].public["n"].as_str().unwrap()).unwrap();
    let forged = sign(Algorithm::HS256, Some("r"), &Private::Secret(public));
    assert_eq!(why(&verifiers, &forged).await, "the token must be signed with RS256, ES256 or EdDSA");
    verifiers.set_secret(Some(&SecretString::from(SECRET)));
    assert_eq!(why(&verifiers, &forged).await, "the signature of the token is wrong");
    let ours = sign(Algorithm::HS256, None, &Private::Secret(SECRET.into()));
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
async fn keys_of_other_uses_are_ignored() {
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
async fn rsa_keys_below_2048_bits_are_rejected() {
    let mut short = Pair::new("short", Algorithm::RS256);
    let modulus = URL_SAFE_NO_PAD.decode(short.public["n"].as_str().unwrap()).unwrap();
    short.public["n"] = base64(&modulus[..1024 / 8]).into();
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
async fn a_token_with_critical_extensions_is_rejected() {
    let mut verifiers = Verifiers::default();
    verifiers.set_secret(Some(&SecretString::from(SECRET)));
    for named in [vec![], vec!["exp".to_owned()], vec!["urn:example:bound".to_owned()]] {
        let header = json!({ "typ": "JWT", "alg": "HS256", "crit": named });
        let token = token(&header, &claims(), |message| hmac_sha256(SECRET.as_bytes(), message));
        let expected = "the token needs extensions (crit) that this service does not know";
        assert_eq!(why(&verifiers, &token).await, expected);
    }
}

#[tokio::test]
async fn many_unknown_keys_cause_one_fetch() {
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
async fn before_the_first_fetch_tokens_get_503() {
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
