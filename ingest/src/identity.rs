//! Who a request is from: the real peer's address behind trusted proxies, and the identity that baselines key on.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use crate::row::Row;
use crate::source::{SourceOptions, client_columns};

/// The client of a line that names none.
const UNKNOWN: &str = "unknown";

/// How one source tells its clients apart.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    trusted_proxies: Vec<IpNet>,
    columns: Vec<Column>,
    /// Whether the address alone counts, where there is one.
    by_address: bool,
    user_verified: bool,
}

#[derive(Debug, Clone, Copy)]
enum Column {
    ClientIp,
    User,
    Session,
}

impl Identity {
    /// Err: the name of a column that cannot identify a client.
    pub(crate) fn new(options: &SourceOptions) -> Result<Self, String> {
        let column = |name: &String| match name.as_str() {
            "client_ip" => Ok(Column::ClientIp),
            "user" => Ok(Column::User),
            "session" => Ok(Column::Session),
            _ => Err(format!("`{name}` cannot identify a client; use one of {}", client_columns().join(", "))),
        };
        let columns = options.client.iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let by_address = matches!(columns.first(), None | Some(Column::ClientIp));
        let trusted_proxies = options.trusted_proxies.clone();
        Ok(Self { trusted_proxies, columns, by_address, user_verified: options.user_verified })
    }

    /// The real peer. A forwarded-for header counts as far as trusted proxies vouch for it: it is walked from the right,
    /// and the first address that is not a trusted proxy's is the client's. What stands left of it anyone could have
    /// written.
    pub(crate) fn client_ip<'a>(&self, row: &Row<'a>) -> Option<&'a str> {
        let peer = row.text.peer?;
        let Some(forwarded) = row.text.forwarded_for.filter(|_| self.trusts(address(peer))) else {
            return Some(peer);
        };
        let mut client = peer;
        for hop in forwarded.rsplit(',') {
            let hop = without_port(forwarded_by(hop.trim()));
            let ip = address(hop);
            if ip.is_none() {
                break; // `unknown`, `_hidden` or an attack: nothing left of it can be believed
            }
            client = hop;
            if !self.trusts(ip) {
                break;
            }
        }
        Some(client)
    }

    /// The client's identity; `buffer` is for those that have to be written anew.
    pub(crate) fn client<'r>(&self, row: &Row<'r>, ip: Option<&'r str>, buffer: &'r mut String) -> &'r str {
        // (nearly always)
        if self.by_address
            && let Some(ip) = ip
            && !may_be_v6(ip)
        {
            return ip;
        }
        buffer.clear();
        for column in &self.columns {
            let (prefix, name) = match column {
                Column::ClientIp if ip.is_some() => break,
                Column::User if self.user_verified && !matches!(row.status, Some(401 | 403)) => {
                    ("user:", row.text.user)
                }
                Column::Session => ("session:", row.text.session),
                Column::ClientIp | Column::User => continue,
            };
            if let Some(name) = name {
                // The prefix keeps a name from posing as an address, or as another kind of name.
                buffer.push_str(prefix);
                buffer.push_str(name);
                return buffer;
            }
        }
        let Some(ip) = ip else { return UNKNOWN };
        if !may_be_v6(ip) {
            return ip;
        }
        match ip.parse::<Ipv6Addr>() {
            Ok(v6) => write_network(v6, buffer),
            Err(_) => ip,
        }
    }

    fn trusts(&self, address: Option<IpAddr>) -> bool {
        address.is_some_and(|address| self.trusted_proxies.iter().any(|network| network.contains(&address)))
    }
}

/// An IPv6 address has its first colon after at most four digits.
#[inline]
fn may_be_v6(ip: &str) -> bool {
    match ip.as_bytes() {
        [a, b, c, d, e, ..] => [a, b, c, d, e].contains(&&b':'),
        short => short.contains(&b':'),
    }
}

/// The /64 of an IPv6 address: whoever has one address has them all. An IPv4 address in IPv6 clothes is written bare.
fn write_network(ip: Ipv6Addr, buffer: &mut String) -> &str {
    use std::fmt::Write as _;
    // Writing to a String cannot fail.
    let _ = match ip.to_ipv4_mapped() {
        Some(v4) => write!(buffer, "{v4}"),
        None => write!(buffer, "{}/64", Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
    };
    buffer
}

/// `for="[2001:db8::1]:4711";proto=https` (RFC 7239 §4) → `[2001:db8::1]:4711`; anything else as it is.
fn forwarded_by(hop: &str) -> &str {
    let value = hop.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case("for").then_some(value)
    });
    value.map_or(hop, |value| value.trim_matches('"'))
}

fn address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

/// `192.0.2.1:4711` → `192.0.2.1`, `2001:db8::1:4711` → `2001:db8::1`, where there always is a port.
pub(crate) fn without_last_port(text: &str) -> &str {
    text.rsplit_once(':').map_or(text, |(ip, _)| ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip))
}

/// `192.0.2.1:4711` → `192.0.2.1`, `[2001:db8::1]:4711` → `2001:db8::1`; anything else as it is.
pub(crate) fn without_port(text: &str) -> &str {
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split_once(']').map_or(text, |(ip, _)| ip);
    }
    let colon = memchr::memchr(b':', text.as_bytes()).map(|at| (&text[..at], &text[at + 1..]));
    match colon {
        Some((ip, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => ip,
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Texts;
    use bumpalo::Bump;

    fn options() -> SourceOptions {
        SourceOptions {
            trusted_proxies: vec!["10.0.0.0/8".parse().expect("a network"), "fd00::/8".parse().expect("a network")],
            ..SourceOptions::default()
        }
    }

    #[track_caller]
    fn check_ip(peer: &'static str, forwarded: &'static str, expected: &str) {
        let identity = Identity::new(&options()).expect("valid");
        let arena = Bump::new();
        let mut row = Row::new(&arena);
        row.text.peer = Some(peer);
        row.text.forwarded_for = (!forwarded.is_empty()).then_some(forwarded);
        assert_eq!(identity.client_ip(&row), Some(expected));
    }

    #[test]
    fn forwarded_for_counts_behind_trusted_proxies() {
        check_ip("198.51.100.1", "192.0.2.1", "198.51.100.1");
        check_ip("10.0.0.1", "", "10.0.0.1");
        check_ip("10.0.0.1", "192.0.2.1", "192.0.2.1");
        check_ip("::ffff:10.0.0.1", "192.0.2.1", "192.0.2.1");
        check_ip("fd00::1", "[2001:db8::1]:443", "2001:db8::1");
        check_ip("10.0.0.1", "203.0.113.9, 192.0.2.1:4711, 10.0.0.2", "192.0.2.1");
        check_ip("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3");
        check_ip("10.0.0.1", "203.0.113.9, unknown, 10.0.0.2", "10.0.0.2");
        check_ip("10.0.0.1", "' OR 1=1", "10.0.0.1");
        // The header of RFC 7239.
        check_ip("10.0.0.1", "for=192.0.2.9, For=\"192.0.2.1:47\";proto=https;by=10.0.0.2", "192.0.2.1");
        check_ip("10.0.0.1", "by=10.0.0.9;for=\"[2001:db8::1]:4711\", for=10.0.0.2", "2001:db8::1");
        check_ip("10.0.0.1", "for=_hidden, for=10.0.0.2", "10.0.0.2");
    }

    #[track_caller]
    fn check_client(options: &SourceOptions, text: Texts<'static>, status: u16, expected: &str) {
        let arena = Bump::new();
        let row = &mut Row::new(&arena);
        row.text = text;
        row.status = Some(status);
        let identity = Identity::new(options).expect("valid");
        let ip = identity.client_ip(row);
        assert_eq!(identity.client(row, ip, &mut String::new()), expected);
    }

    #[test]
    fn the_client_is_the_address_unless_the_source_says_otherwise() {
        let check = |peer, expected| {
            let text = Texts { peer, ..Texts::default() };
            check_client(&SourceOptions::default(), text, 200, expected);
        };
        check(Some("192.0.2.1"), "192.0.2.1");
        check(Some("host.example.com"), "host.example.com");
        check(Some("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        check(Some("::ffff:192.0.2.1"), "192.0.2.1");
        check(Some("unix:"), "unix:");
        check(None, "unknown");
    }

    #[test]
    fn a_user_counts_if_verified_and_let_in() {
        let text = Texts { peer: Some("192.0.2.1"), user: Some("alice"), session: Some("s1"), ..Texts::default() };
        let names = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect();
        let unverified = SourceOptions { client: names(&["user"]), ..SourceOptions::default() };
        let verified = SourceOptions { user_verified: true, ..unverified.clone() };
        let session = SourceOptions { client: names(&["user", "session"]), ..SourceOptions::default() };
        let ip_first = SourceOptions { client: names(&["client_ip", "user"]), ..verified.clone() };
        check_client(&unverified, text, 200, "192.0.2.1");
        check_client(&verified, text, 200, "user:alice");
        check_client(&verified, text, 401, "192.0.2.1");
        check_client(&verified, text, 403, "192.0.2.1");
        check_client(&session, text, 200, "session:s1");
        check_client(&ip_first, text, 200, "192.0.2.1");
        check_client(&ip_first, Texts { peer: None, ..text }, 200, "user:alice");
        assert!(Identity::new(&SourceOptions { client: names(&["path"]), ..SourceOptions::default() }).is_err());
    }
}
