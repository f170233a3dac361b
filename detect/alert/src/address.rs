//! Addresses that are never called, whatever the config says.
//!
//! The operator sets the URLs, so loopback and private networks are allowed: that is where receivers stand. Link-local addresses
//! and the metadata services of clouds are not: what they give away (credentials) is what a request forger is after. A
//! literal address is checked when the config is read, a name each time that it is resolved, on the very addresses that
//! are then connected to: a name that changes its mind in between (DNS rebinding) gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Metadata services outside the link-local ranges: Alibaba, Oracle, Azure.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192), Ipv4Addr::new(168, 63, 129, 16)];
/// Amazon, Google.
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

/// Why an address is not called, or `None` if it may be.
pub(crate) fn refused(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) if v4.is_link_local() => Some("a link-local address"),
        IpAddr::V4(v4) if METADATA_V4.contains(&v4) => Some("the address of a cloud's metadata service"),
        IpAddr::V4(v4) if v4.is_multicast() || v4.is_broadcast() => Some("no single machine's address"),
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Some("a link-local address"),
        IpAddr::V6(v6) if METADATA_V6.contains(&v6) => Some("the address of a cloud's metadata service"),
        IpAddr::V6(v6) if v6.is_multicast() => Some("no single machine's address"),
        IpAddr::V6(v6) => embedded(v6).and_then(|v4| refused(v4.into())),
    }
}

/// The IPv4 address that an IPv6 address leads to: mapped, compatible, NAT64 or 6to4.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match address.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, _, _, _, _, high, low]
        | [0x2002, high, low, ..] => of(high, low),
        _ => None,
    }
}

/// Which addresses a destination may have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Network {
    /// All but those that are never called.
    #[default]
    Any,
    /// Those of the Internet.
    Public,
}

impl FromStr for Network {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "" | "any" => Ok(Self::Any),
            "public" => Ok(Self::Public),
            _ => Err(()),
        }
    }
}

impl Network {
    /// Why an address is not called, or `None` if it may be.
    pub(crate) fn refused(self, address: IpAddr) -> Option<&'static str> {
        refused(address)
            .or_else(|| (self == Self::Public && !is_public(address)).then_some("no address of the Internet"))
    }
}

/// Not loopback, private, shared, reserved or documentation. (`IpAddr::is_global` is not stable.)
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let reserved = a == 0 || a >= 240 || (a, b) == (100, b & 0x3f | 0x40) || (a, b, c) == (192, 0, 0);
            let benchmark = (a, b & 0xfe) == (198, 18);
            !(reserved || benchmark || v4.is_loopback() || v4.is_private() || v4.is_documentation())
        }
        IpAddr::V6(v6) => {
            if let Some(v4) = embedded(v6) {
                return is_public(v4.into());
            }
            // Global unicast, less documentation, 2001::/23 and the new documentation range.
            let [a, b, ..] = v6.segments();
            a & 0xe000 == 0x2000 && (a, b) != (0x2001, 0xdb8) && (a, b & 0xfe00) != (0x2001, 0) && a & 0xfff0 != 0x3ff0
        }
    }
}

/// The system's resolver, less what is refused.
#[derive(Debug, Clone, Default)]
pub(crate) struct SafeResolver(Network);

impl Resolve for SafeResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let network = self.0;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(allowed(found, network)?)
        })
    }
}

/// A name that leads nowhere but where nobody may go.
#[derive(Debug, thiserror::Error)]
#[error("the name resolves to {0}, {1}, which is never called")]
pub(crate) struct Refused(IpAddr, &'static str);

fn allowed(found: Vec<SocketAddr>, network: Network) -> Result<Addrs, Refused> {
    let why = found.iter().find_map(|a| network.refused(a.ip()).map(|why| Refused(a.ip(), why)));
    let allowed: Vec<_> = found.into_iter().filter(|a| network.refused(a.ip()).is_none()).collect();
    match why {
        Some(refused) if allowed.is_empty() => Err(refused),
        _ => Ok(Box::new(allowed.into_iter())),
    }
}

/// For the HTTP client.
pub(crate) fn resolver(network: Network) -> Arc<SafeResolver> {
    Arc::new(SafeResolver(network))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(address: &str) -> bool {
        refused(address.parse().unwrap()).is_some()
    }

    #[test]
    fn link_local_and_metadata_in_every_disguise() {
        for address in [
            "169.254.169.254",
            "169.254.0.1",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
            "224.0.0.1",
            "255.255.255.255",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "ff02::1",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "::ffff:0:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
        ] {
            assert!(is_refused(address), "{address}");
        }
    }

    #[test]
    fn where_receivers_stand() {
        for address in [
            "127.0.0.1",
            "10.0.0.7",
            "192.168.1.1",
            "172.16.0.1",
            "100.64.0.1",
            "198.51.100.1",
            "::1",
            "fd12::1",
            "2001:db8::1",
            "::ffff:10.0.0.7",
        ] {
            assert!(!is_refused(address), "{address}");
        }
    }

    #[test]
    fn the_strict_network_is_the_internet() {
        let refused = |address: &str| Network::Public.refused(address.parse().unwrap()).is_some();
        for address in [
            "0.0.0.0",
            "10.0.0.7",
            "100.64.0.1",
            "100.127.9.9",
            "127.0.0.1",
            "169.254.169.254",
            "172.31.0.1",
            "192.0.0.9",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.0.1",
            "203.0.113.1",
            "240.0.0.1",
            "::",
            "::1",
            "fd12::1",
            "2001:db8::1",
            "2001::1",
            "3fff::1",
            "::ffff:10.0.0.7",
            "64:ff9b::a00:7",
            "2002:a00:7::1",
        ] {
            assert!(refused(address), "{address}");
        }
        for address in
            ["1.1.1.1", "100.63.0.1", "100.128.0.1", "172.32.0.1", "198.20.0.1", "2606:4700::1111", "::ffff:1.1.1.1"]
        {
            assert!(!refused(address), "{address}");
        }
    }

    #[test]
    fn of_a_names_addresses_only_the_allowed_are_called() {
        let parse = |list: &[&str]| list.iter().map(|a| SocketAddr::new(a.parse().unwrap(), 0)).collect::<Vec<_>>();
        let mixed: Vec<_> = allowed(parse(&["fe80::1", "10.0.0.7"]), Network::Any).unwrap().collect();
        assert_eq!(mixed, parse(&["10.0.0.7"]));
        let error = allowed(parse(&["169.254.169.254"]), Network::Any).err().unwrap().to_string();
        assert!(error.contains("169.254.169.254") && error.contains("link-local"), "{error}");
    }
}
