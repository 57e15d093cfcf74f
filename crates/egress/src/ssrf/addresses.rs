//! The addresses that the public internet routes (IANA special-purpose registries, RFC 6890 and its updates).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether this is an address of the public internet. All forms that embed an IPv4 address in an IPv6 one are special,
/// whatever the address: their translator and its networks are not known here.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

#[expect(clippy::unnested_or_patterns, reason = "one line per RFC reads better")]
fn is_public_v4(address: Ipv4Addr) -> bool {
    let special = match address.octets() {
        [0 | 10 | 127, ..] // this network (RFC 791), private (RFC 1918), loopback (RFC 1122)
        | [169, 254, ..] // link-local and cloud metadata (RFC 3927)
        | [192, 168, ..] // private (RFC 1918)
        | [192, 0, 0 | 2, _] // protocol assignments (RFC 6890), documentation (RFC 5737)
        | [192, 88, 99, _] // 6to4 relays (RFC 7526)
        | [198, 18 | 19, ..] // benchmarks (RFC 2544)
        | [198, 51, 100, _] // documentation (RFC 5737)
        | [203, 0, 113, _] // documentation (RFC 5737)
        | [224..=255, ..] => true, // multicast (RFC 5771), reserved (RFC 1112), broadcast
        [172, second, ..] => (16..32).contains(&second), // private (RFC 1918)
        [100, second, ..] => (64..128).contains(&second), // carrier-grade NAT (RFC 6598)
        _ => false,
    };
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, .., fifth, sixth, _, _] = address.segments();
    // ISATAP (RFC 5214) embeds an IPv4 address in any prefix.
    if matches!(fifth, 0 | 0x200) && sixth == 0x5efe {
        return false;
    }
    match first {
        // Teredo, ORCHID and other protocol assignments (RFC 2928), documentation (RFC 3849).
        0x2001 => second >= 0x200 && second != 0xdb8,
        // 6to4 (RFC 3056).
        0x2002 => false,
        // Documentation (RFC 9637).
        0x3fff => second >= 0x1000,
        // Only global unicast is routed (RFC 4291). This excludes loopback, mapped and compatible IPv4, NAT64,
        // discard-only, unique local, link-local, site-local and multicast.
        _ => (0x2000..0x4000).contains(&first),
    }
}
