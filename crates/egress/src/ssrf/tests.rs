#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use testkit::{NameReply, NameServer};
use tokio::net::TcpListener;
use url::Url;

use super::{Guard, Lookup, Refused, Resolver, Rules, USUAL_PORTS};

fn open_to(networks: &[&str]) -> Guard {
    let allowed_networks = networks.iter().map(|network| network.parse().unwrap()).collect();
    Guard::new(Rules { allowed_networks, allow_http: true, ports: USUAL_PORTS.to_vec() })
}

fn strict() -> Guard {
    Guard::new(Rules { ports: USUAL_PORTS.to_vec(), ..Rules::default() })
}

fn check(guard: &Guard, url: &str) -> Result<(), Refused> {
    guard.check_url(&Url::parse(url).unwrap())
}

/// Addresses that receivers must not have, one for each rule and for each end of a range.
const SPECIAL: [&str; 62] = [
    "0.0.0.0",
    "0.255.255.255",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.255",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.7",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::10.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:8.8.8.8",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b::8.8.8.8",
    "64:ff9b:1::10.0.0.1",
    "64:ff9b:1:ffff::1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2002:808:808::1",
    "2606:4700::5efe:10.0.0.1",
    "2606:4700::200:5efe:192.168.0.1",
    "3fff:1::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
];

/// Hosts in an attacker's notation: each is an address of the table above, or invalid.
const TRICKS: [&str; 34] = [
    "2130706433",
    "3232235521",
    "2852039166",
    "0x7f000001",
    "0x7F.0.0.1",
    "0x7f.1",
    "0xA9FEA9FE",
    "0xa9.0xfe.0xa9.0xfe",
    "017700000001",
    "0177.0.0.1",
    "0177.0.0.01",
    "0000000177.0.0.1",
    "0251.0376.0251.0376",
    "127.1",
    "127.0.1",
    "10.1",
    "192.168.257",
    "0",
    "0x0",
    "127.0.0.1.",
    "0x7f000001.",
    "127。0。0。1",
    "①②⑦.⓪.⓪.①",
    "１２７.0.0.1",
    "%31%32%37.0.0.1",
    "[::ffff:7f00:1]",
    "[::FFFF:127.0.0.1]",
    "[0:0:0:0:0:ffff:a9fe:a9fe]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "[64:ff9b:0:0:0:0:7f00:1]",
    "[fe80::1%25eth0]",
    "127.0.0.256",
    "0x100000000",
    "1.2.3.4.5",
];

#[test]
fn special_addresses_are_rejected_in_every_notation() {
    let guard = open_to(&[]);
    for address in SPECIAL {
        let parsed: IpAddr = address.parse().unwrap();
        let host = if parsed.is_ipv6() { format!("[{address}]") } else { address.to_owned() };
        assert_eq!(check(&guard, &format!("http://{host}/hook")), Err(Refused::Address(parsed)), "{address}");
    }
    for host in TRICKS {
        // A URL that the parser rejects cannot be subscribed.
        let Ok(url) = Url::parse(&format!("http://{host}/hook")) else { continue };
        let refused = guard.check_url(&url);
        assert!(matches!(refused, Err(Refused::Address(_))), "{host}: {refused:?}");
    }
}

#[test]
fn localhost_user_info_and_other_schemes_and_ports_are_rejected() {
    let guard = open_to(&[]);
    for name in [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "a.b.localhost.",
        "ｌｏｃａｌｈｏｓｔ",
        "%6cocalhost",
    ] {
        let refused = check(&guard, &format!("http://{name}/"));
        assert!(matches!(refused, Err(Refused::Name(_))), "{name}: {refused:?}");
    }
    for url in ["https://a:b@shop.example/", "https://8.8.8.8@127.0.0.1/", "https://:b@shop.example/"] {
        assert_eq!(check(&guard, url), Err(Refused::UserInfo), "{url}");
    }
    // The host is the parser's, not the one that a reader might see.
    for url in ["http://127.0.0.1#@shop.example/", "http://127.0.0.1\\@shop.example/", "http:127.0.0.1/"] {
        assert!(matches!(check(&guard, url), Err(Refused::Address(_))), "{url}");
    }
    for port in [0, 22, 25, 2375, 5432, 5672, 6379, 9200] {
        assert_eq!(check(&guard, &format!("http://shop.example:{port}/")), Err(Refused::Port(port)));
    }
    for scheme in ["http", "ftp", "file", "gopher", "ws", "unix", "data"] {
        let refused = check(&strict(), &format!("{scheme}://shop.example/"));
        assert_eq!(refused, Err(Refused::Scheme(scheme.to_owned())));
    }
}

#[test]
fn public_addresses_and_allowed_networks_are_accepted() {
    for host in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "[2606:4700::1111]", "shop.example", "żółw.example"]
    {
        assert_eq!(check(&strict(), &format!("https://{host}/hook")), Ok(()), "{host}");
    }
    assert_eq!(check(&strict(), "https://shop.example:8443/"), Ok(()));
    let guard = open_to(&["127.0.0.0/8"]);
    assert_eq!(check(&guard, "http://127.0.0.1:41234/hook"), Ok(()));
    assert_eq!(check(&guard, "http://localhost:41234/hook"), Ok(()));
    assert_eq!(check(&guard, "http://10.0.0.1/"), Err(Refused::Address([10, 0, 0, 1].into())));
}

/// A server that resolves the n-th name (`n0.test`, `n1.test`, …) to the n-th address, and `both.test` to a public and
/// a private one.
fn table() -> NameServer {
    NameServer::start(|name| {
        let addresses: Vec<&str> = match name {
            "both.test" => vec!["8.8.8.8", "10.0.0.1"],
            "both-kinds.test" => vec!["8.8.8.8", "::1"],
            "public.test" => vec!["8.8.8.8", "2606:4700::1111"],
            "xn--w-uga1v8h.test" => vec!["169.254.169.254"],
            "silent.test" => return None,
            _ => {
                let number: Option<usize> =
                    name.strip_prefix('n').and_then(|rest| rest.strip_suffix(".test")?.parse().ok());
                number.and_then(|number| SPECIAL.get(number)).into_iter().copied().collect()
            }
        };
        Some(addresses.iter().map(|address| address.parse().unwrap()).collect())
    })
}

#[tokio::test]
async fn a_name_with_a_special_address_is_rejected() {
    let server = table();
    let resolver = Resolver::new(open_to(&[]), &[server.address()]).unwrap();
    let names = (0..SPECIAL.len()).map(|number| format!("n{number}.test"));
    for name in
        names.chain(["both.test", "both-kinds.test", "N1.TEST", "xn--w-uga1v8h.test"].map(str::to_owned))
    {
        let found = resolver.addresses(&name).await;
        assert!(matches!(found, Err(Refused::Name(_))), "{name}: {found:?}");
    }
    assert_eq!(resolver.addresses("public.test").await.unwrap().len(), 2);
    assert_eq!(resolver.addresses("absent.test").await, Err(Refused::Unknown("absent.test".to_owned())));
    // If an operator permits a network, only the addresses in it are used.
    let resolver = Resolver::new(open_to(&["10.0.0.0/24"]), &[server.address()]).unwrap();
    let found = resolver.addresses("both.test").await.unwrap();
    assert!(
        found.iter().all(|it| ["8.8.8.8:0", "10.0.0.1:0"].contains(&it.to_string().as_str())),
        "{found:?}"
    );
}

#[tokio::test]
async fn an_unanswered_lookup_times_out_within_seconds() {
    let server = table();
    let resolver = Resolver::new(open_to(&[]), &[server.address()]).unwrap();
    let found =
        tokio::time::timeout(Duration::from_secs(9), resolver.addresses("silent.test")).await.unwrap();
    assert_eq!(found, Err(Refused::Unanswered("silent.test".to_owned())));
}

#[tokio::test]
async fn a_failing_name_servers_error_is_reported() {
    let server = NameServer::replying(|_name| NameReply::ServerFailure);
    let resolver = Resolver::new(open_to(&[]), &[server.address()]).unwrap();
    let refused = resolver.addresses("failing.test").await.unwrap_err();
    let expected = "the name \"failing.test\" was not looked up: the name server answered SERVFAIL";
    assert_eq!(refused.to_string(), expected);
}

#[tokio::test]
async fn a_lookup_is_running_only_while_its_request_waits() {
    let server = NameServer::start(|name| (name == "public.test").then(Vec::new));
    let resolver = Resolver::new(open_to(&[]), &[server.address()]).unwrap();
    let settings = crate::Settings {
        user_agent: "test".to_owned(),
        connect_timeout: Duration::from_mins(1),
        timeout: Duration::from_mins(1),
    };
    let client = crate::Clients::new(settings, resolver).unwrap().usual();
    let (silent, other) = (Lookup::default(), Lookup::default());
    let get = async |url: &str| {
        let sent = client.send(|client| Ok::<_, Infallible>(client.get(url))).await;
        sent.unwrap_or_else(|never| match never {})
    };
    let mut waiting = pin!(silent.watch(get("http://silent.test/")));
    while !silent.is_under_way() {
        let polled = tokio::time::timeout(Duration::from_millis(1), waiting.as_mut()).await;
        assert!(polled.is_err(), "{polled:?}");
    }
    let ended = other.watch(get("http://public.test/")).await;
    assert_eq!(crate::cause(&ended.unwrap_err()).0, "dns");
    assert!(!other.is_under_way());
    waiting.await.unwrap_err();
    assert!(!silent.is_under_way());
}

/// The name resolves to a public address at first, and to this machine afterwards.
#[tokio::test]
async fn a_rebound_name_is_never_connected_to_an_unchecked_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = AtomicUsize::new(0);
    let server = NameServer::start(move |_name| {
        let is_first = asked.fetch_add(1, Ordering::SeqCst) < 2;
        Some(vec![if is_first { [192, 0, 43, 8].into() } else { IpAddr::from([127, 0, 0, 1]) }])
    });
    let guard = Guard::new(Rules { allow_http: true, ports: vec![port], ..Rules::default() });
    let resolver = Resolver::new(guard.clone(), &[server.address()]).unwrap();
    let url = format!("http://rebound.test:{port}/");
    assert_eq!(check(&guard, &url), Ok(()));
    assert!(resolver.addresses("rebound.test").await.is_ok(), "the check an attacker waits for");

    let settings = crate::Settings {
        user_agent: "test".to_owned(),
        connect_timeout: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
    };
    let client = crate::Clients::new(settings, resolver.clone()).unwrap().usual();
    for _ in 0..3 {
        client.send(|client| Ok::<_, Infallible>(client.get(&url))).await.unwrap().unwrap_err();
    }
    let refused = resolver.addresses("rebound.test").await;
    assert_eq!(refused, Err(Refused::Name("rebound.test".to_owned())), "the answer has changed");
    let nobody = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(nobody.is_err(), "this machine was connected to");
}
