//! Which addresses are no part of the public Internet, after the registries of special-purpose addresses of IANA
//! (RFC 6890 and what updates it), and the addresses at which clouds tell a machine its credentials.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// What an address that is not public is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressClass {
    /// `0.0.0.0/8`, `::`: this machine, on most systems.
    Unspecified,
    /// `127.0.0.0/8`, `::1`: this machine.
    Loopback,
    /// `169.254.0.0/16`, `fe80::/10`: this network segment.
    LinkLocal,
    /// Where a cloud tells a machine who it is, and gives it credentials.
    Metadata,
    /// RFC 1918, unique local (`fc00::/7`) and site-local addresses: this organisation.
    Private,
    /// `100.64.0.0/10`: behind a provider's address translation.
    Shared,
    /// `224.0.0.0/4`, `ff00::/8`.
    Multicast,
    /// `255.255.255.255`.
    Broadcast,
    /// `198.18.0.0/15`, `2001:2::/48`.
    Benchmarking,
    /// Examples in texts, such as `192.0.2.0/24` and `2001:db8::/32`.
    Documentation,
    /// Not assigned, or to protocols that no medium is fetched by.
    Reserved,
}

impl fmt::Display for AddressClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "an unspecified address",
            Self::Loopback => "a loopback address",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "the address of a cloud's metadata service",
            Self::Private => "a private address",
            Self::Shared => "an address of the shared space behind a provider (100.64.0.0/10)",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "the broadcast address",
            Self::Benchmarking => "an address for benchmarks",
            Self::Documentation => "an address for documentation",
            Self::Reserved => "a reserved address",
        })
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(head: [u16; 3], last: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(head[0], head[1], head[2], 0, 0, 0, 0, last), prefix)
}

/// The first that holds an address decides.
const V4: [(Ipv4Net, AddressClass); 19] = [
    // AWS, GCP, Azure, DigitalOcean, Oracle and others; Azure's agent; Alibaba; Oracle.
    (v4(169, 254, 169, 254, 32), AddressClass::Metadata),
    (v4(168, 63, 129, 16, 32), AddressClass::Metadata),
    (v4(100, 100, 100, 200, 32), AddressClass::Metadata),
    (v4(192, 0, 0, 192, 32), AddressClass::Metadata),
    (v4(0, 0, 0, 0, 8), AddressClass::Unspecified),
    (v4(10, 0, 0, 0, 8), AddressClass::Private),
    (v4(100, 64, 0, 0, 10), AddressClass::Shared),
    (v4(127, 0, 0, 0, 8), AddressClass::Loopback),
    (v4(169, 254, 0, 0, 16), AddressClass::LinkLocal),
    (v4(172, 16, 0, 0, 12), AddressClass::Private),
    (v4(192, 0, 0, 0, 24), AddressClass::Reserved),
    (v4(192, 0, 2, 0, 24), AddressClass::Documentation),
    (v4(192, 168, 0, 0, 16), AddressClass::Private),
    (v4(198, 18, 0, 0, 15), AddressClass::Benchmarking),
    (v4(198, 51, 100, 0, 24), AddressClass::Documentation),
    (v4(203, 0, 113, 0, 24), AddressClass::Documentation),
    (v4(224, 0, 0, 0, 4), AddressClass::Multicast),
    (v4(255, 255, 255, 255, 32), AddressClass::Broadcast),
    (v4(240, 0, 0, 0, 4), AddressClass::Reserved),
];

/// The same for IPv6. What embeds an IPv4 address is looked at before.
const V6: [(Ipv6Net, AddressClass); 11] = [
    // AWS; GCP.
    (v6([0xfd00, 0xec2, 0], 0x254, 128), AddressClass::Metadata),
    (v6([0xfd20, 0xce, 0], 0x254, 128), AddressClass::Metadata),
    (v6([0, 0, 0], 0, 128), AddressClass::Unspecified),
    (v6([0, 0, 0], 1, 128), AddressClass::Loopback),
    (v6([0xfe80, 0, 0], 0, 10), AddressClass::LinkLocal),
    (v6([0xfec0, 0, 0], 0, 10), AddressClass::Private),
    (v6([0xfc00, 0, 0], 0, 7), AddressClass::Private),
    (v6([0xff00, 0, 0], 0, 8), AddressClass::Multicast),
    (v6([0x2001, 0x2, 0], 0, 48), AddressClass::Benchmarking),
    (v6([0x2001, 0xdb8, 0], 0, 32), AddressClass::Documentation),
    (v6([0x3fff, 0, 0], 0, 20), AddressClass::Documentation),
];

/// All of IPv6 that is given out to the public.
const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0], 0, 3);
/// IETF protocols, Teredo aside.
const PROTOCOLS: Ipv6Net = v6([0x2001, 0, 0], 0, 23);
const TEREDO: Ipv6Net = v6([0x2001, 0, 0], 0, 32);
const SIX_TO_FOUR: Ipv6Net = v6([0x2002, 0, 0], 0, 16);
/// `64:ff9b::/96`: how a network that speaks IPv6 alone reaches IPv4 (RFC 6052).
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0], 0, 96);
/// `::/96` (IPv4-compatible), beside which `::ffff:0:0/96` (mapped) and `::ffff:0:0:0/96` (translated) are alike.
const COMPATIBLE: Ipv6Net = v6([0, 0, 0], 0, 96);

/// What `address` is for, if it is no public one. An IPv6 address that carries an IPv4 address (mapped, compatible, NAT64,
/// 6to4, Teredo) is judged by that: such a packet ends up there.
pub fn special(address: IpAddr) -> Option<AddressClass> {
    match address.to_canonical() {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<AddressClass> {
    class_in(&V4, |net| net.contains(&address))
}

fn special_v6(address: Ipv6Addr) -> Option<AddressClass> {
    if let Some(class) = class_in(&V6, |net| net.contains(&address)) {
        return Some(class);
    }
    let segments = address.segments();
    let embedded = |first: usize| {
        let [a, b] = segments[first].to_be_bytes();
        let [c, d] = segments[first + 1].to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    if NAT64.contains(&address) {
        return special_v4(embedded(6));
    }
    if SIX_TO_FOUR.contains(&address) {
        return special_v4(embedded(1));
    }
    if TEREDO.contains(&address) {
        // The server, and the client with its bits turned over.
        let client = Ipv4Addr::from_bits(!embedded(6).to_bits());
        return special_v4(embedded(2)).or_else(|| special_v4(client));
    }
    let translated = segments[..4] == [0; 4] && segments[4] == 0xffff && segments[5] == 0;
    if COMPATIBLE.contains(&address) || translated {
        return special_v4(embedded(6)).or(Some(AddressClass::Reserved));
    }
    (PROTOCOLS.contains(&address) || !GLOBAL_UNICAST.contains(&address)).then_some(AddressClass::Reserved)
}

fn class_in<N>(table: &[(N, AddressClass)], holds: impl Fn(&N) -> bool) -> Option<AddressClass> {
    table.iter().find(|(net, _)| holds(net)).map(|(_, class)| *class)
}

#[cfg(test)]
mod tests {
    use super::AddressClass as C;
    use super::*;

    fn class(address: &str) -> Option<AddressClass> {
        special(address.parse().expect(address))
    }

    #[test]
    fn public_addresses_are_not_special() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2a00:1450:4001::200e",
            "64:ff9b::8.8.8.8",
            "::ffff:8.8.8.8",
            "2002:808:808::1",
        ] {
            assert_eq!(class(address), None, "{address}");
        }
    }

    #[test]
    fn every_special_range_of_ipv4_has_its_class() {
        for (address, expected) in [
            ("0.0.0.0", C::Unspecified),
            ("0.1.2.3", C::Unspecified),
            ("10.0.0.1", C::Private),
            ("100.64.0.1", C::Shared),
            ("100.127.255.255", C::Shared),
            ("100.100.100.200", C::Metadata),
            ("127.0.0.1", C::Loopback),
            ("127.255.255.255", C::Loopback),
            ("168.63.129.16", C::Metadata),
            ("169.254.169.254", C::Metadata),
            ("169.254.170.2", C::LinkLocal),
            ("172.16.0.1", C::Private),
            ("172.31.255.255", C::Private),
            ("192.0.0.8", C::Reserved),
            ("192.0.2.1", C::Documentation),
            ("192.168.1.1", C::Private),
            ("198.19.0.1", C::Benchmarking),
            ("198.51.100.1", C::Documentation),
            ("203.0.113.1", C::Documentation),
            ("224.0.0.1", C::Multicast),
            ("239.255.255.255", C::Multicast),
            ("240.0.0.1", C::Reserved),
            ("255.255.255.255", C::Broadcast),
        ] {
            assert_eq!(class(address), Some(expected), "{address}");
        }
    }

    #[test]
    fn every_special_range_of_ipv6_has_its_class_and_what_embeds_ipv4_has_that_ones() {
        for (address, expected) in [
            ("::", C::Unspecified),
            ("::1", C::Loopback),
            ("fe80::1", C::LinkLocal),
            ("fec0::1", C::Private),
            ("fc00::1", C::Private),
            ("fd00:ec2::254", C::Metadata),
            ("fd20:ce::254", C::Metadata),
            ("ff02::1", C::Multicast),
            ("2001:2::1", C::Benchmarking),
            ("2001:db8::1", C::Documentation),
            ("3fff::1", C::Documentation),
            ("2001:10::1", C::Reserved),
            ("100::1", C::Reserved),
            ("4000::1", C::Reserved),
            ("64:ff9b:1::1", C::Reserved),
            ("::ffff:127.0.0.1", C::Loopback),
            ("::ffff:169.254.169.254", C::Metadata),
            ("::127.0.0.1", C::Loopback),
            ("::8.8.8.8", C::Reserved),
            ("::ffff:0:10.0.0.1", C::Private),
            ("64:ff9b::10.0.0.1", C::Private),
            ("64:ff9b::169.254.169.254", C::Metadata),
            ("2002:7f00:1::", C::Loopback),
            // Teredo: the server 10.0.0.1; the client 192.168.0.1 behind a public server.
            ("2001:0:a00:1::", C::Private),
            ("2001:0:808:808::3f57:fffe", C::Private),
        ] {
            assert_eq!(class(address), Some(expected), "{address}");
        }
    }
}
