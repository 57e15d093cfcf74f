//! Receivers behind TLS: whom a subscription believes, who it says it is, and HTTP/2.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::{Desk, Receiver, event};

/// Where receivers of tests listen.
const HERE: &str = "127.0.0.1";

/// An authority nobody knows but whoever is told of it.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key.
struct Identity {
    pem: String,
    key: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn sign(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Identity { pem: params.signed_by(&key, &self.issuer).unwrap().pem(), key: key.serialize_pem() }
    }
}

impl Identity {
    /// A server that is this, and lets in whom `clients` has signed, or anybody.
    fn server(&self, clients: Option<&Authority>) -> ServerConfig {
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let certificate = CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        builder.with_single_cert(vec![certificate], key).unwrap()
    }
}

/// The one try of a delivery by a new subscription with these settings.
async fn try_of(desk: &Desk, receiver: &Receiver, more: Value) -> Value {
    let mut wish = json!({ "url": receiver.url, "events": ["account.*"], "retry_count": 0 });
    wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let (id, _) = desk.subscribe(&wish);
    desk.tell(&[event(1)]).await;
    let ended = testkit::eventually("the delivery to end", async || {
        let (_, page) = desk.service.get(&format!("/webhooks/{id}/deliveries"));
        let delivery = page["items"].get(0)?.clone();
        let (_, full) = desk.service.get(&format!("/deliveries/{}", delivery["id"].as_str()?));
        ["success", "failed"].contains(&full["status"].as_str()?).then_some(full)
    })
    .await;
    desk.service.delete(&format!("/webhooks/{id}"));
    ended["tries"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_believed_when_its_authority_name_and_time_are_right() {
    let desk = Desk::open().await;
    let (ours, another) = (Authority::new("ours"), Authority::new("another"));
    let good = Receiver::over_tls(ours.sign(HERE, |_| {}).server(None), |_| (200, None));
    let expired = ours.sign(HERE, |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    let expired = Receiver::over_tls(expired.server(None), |_| (200, None));
    let misnamed = Receiver::over_tls(ours.sign("shop.test", |_| {}).server(None), |_| (200, None));
    let believing = |authority: &Authority| json!({ "custom_ca": authority.pem });
    for (receiver, more, told) in [
        (&expired, believing(&ours), "expired"),
        (&misnamed, believing(&ours), "not valid for name"),
        (&good, json!({}), "UnknownIssuer"),
        (&good, believing(&another), "UnknownIssuer"),
    ] {
        let tried = try_of(&desk, receiver, more).await;
        let error = tried["error_message"].as_str().unwrap().to_lowercase();
        assert_eq!(
            (&tried["error_class"], tried["response_status"].is_null()),
            (&json!("tls"), true),
            "{tried}"
        );
        assert!(error.contains(&told.to_lowercase()), "{told}: {error}");
    }
    assert_eq!(expired.hits().len() + misnamed.hits().len() + good.hits().len(), 0, "nothing was sent");

    let tried = try_of(&desk, &good, believing(&ours)).await;
    assert_eq!((&tried["response_status"], &tried["ip"]), (&json!(200), &json!(HERE)), "{tried}");
    // What one believes, another does not.
    assert_eq!(try_of(&desk, &good, json!({})).await["error_class"], "tls");
}

/// A certificate as `openssl req -x509` makes it: self-signed, and declared an authority.
fn self_signed(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    Identity { pem: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_self_signed_certificate_is_accepted_as_custom_ca() {
    let desk = Desk::open().await;
    let (good, misnamed) = (self_signed(HERE, |_| {}), self_signed("shop.test", |_| {}));
    let expired = self_signed(HERE, |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    let another = self_signed(HERE, |_| {});
    for (identity, given, told) in [
        (&good, None, "given as custom_ca"),
        (&good, Some(&another), "given as custom_ca"),
        (&misnamed, Some(&misnamed), "not valid for name"),
        (&expired, Some(&expired), "expired"),
    ] {
        let receiver = Receiver::over_tls(identity.server(None), |_| (200, None));
        let custom_ca = given.map(|given| given.pem.clone());
        let tried = try_of(&desk, &receiver, json!({ "custom_ca": custom_ca })).await;
        let error = tried["error_message"].as_str().unwrap();
        assert!(tried["error_class"] == "tls" && error.contains(told), "{told}: {tried}");
        assert_eq!(receiver.hits().len(), 0, "nothing was sent");
    }
    let receiver = Receiver::over_tls(good.server(None), |_| (200, None));
    let both = format!("{}{}", another.pem, good.pem);
    let tried = try_of(&desk, &receiver, json!({ "custom_ca": both })).await;
    assert_eq!(tried["response_status"], 200, "{tried}");
}

/// A receiver that can nothing but HTTP/2, which TLS settles (ALPN).
#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_speaks_http_2_is_spoken_to_in_it() {
    let desk = Desk::open().await;
    let ours = Authority::new("ours");
    let mut tls = ours.sign(HERE, |_| {}).server(None);
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut connection =
                    h2::server::handshake(acceptor.accept(stream).await.unwrap()).await.unwrap();
                while let Some(Ok((_request, mut answer))) = connection.accept().await {
                    answer
                        .send_response(http::Response::builder().status(204).body(()).unwrap(), true)
                        .unwrap();
                }
            });
        }
    });
    let (id, _) = desk.subscribe(&json!({ "url": url, "events": ["account.*"], "custom_ca": ours.pem }));
    desk.tell(&(0..20).map(event).collect::<Vec<_>>()).await;
    let arrived = format!(
        "webhook_deliveries WHERE subscription_id = '{id}' AND status = 'success' AND response_status = 204"
    );
    desk.until(&arrived, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_asks_who_we_are_is_told_by_the_subscription_that_can() {
    let desk = Desk::open().await;
    let ours = Authority::new("ours");
    let client = |authority: &Authority| {
        let identity = authority.sign("zaplecze", |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        });
        format!("{}{}", identity.pem, identity.key)
    };
    let receiver = Receiver::over_tls(ours.sign(HERE, |_| {}).server(Some(&ours)), |_| (200, None));
    for certificate in [Value::Null, json!(client(&Authority::new("another")))] {
        let more = json!({ "custom_ca": ours.pem, "client_certificate": certificate });
        let tried = try_of(&desk, &receiver, more).await;
        assert!(tried["response_status"].is_null() && tried["error_class"].is_string(), "{tried}");
    }
    assert_eq!(receiver.hits().len(), 0, "nothing was sent");
    let more = json!({ "custom_ca": ours.pem, "client_certificate": client(&ours) });
    assert_eq!(try_of(&desk, &receiver, more).await["response_status"], 200);
    assert_eq!(receiver.hits().len(), 1);
}
