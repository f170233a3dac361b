//! Lists of networks, as sorted ranges of addresses.

use std::net::IpAddr;

use ipnet::IpNet;

/// Some networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks {
    /// First and last address of each range; sorted, none touches another.
    v4: Vec<(u128, u128)>,
    v6: Vec<(u128, u128)>,
}

impl Networks {
    /// One network or address an item; what follows `#` does not count, nor do empty items. Err: which item is none, and why.
    pub fn parse<'t>(items: impl Iterator<Item = &'t str>) -> Result<Self, (usize, String)> {
        let mut all = Self::default();
        for (i, item) in items.enumerate() {
            let item = item.split('#').next().unwrap_or_default().trim();
            if item.is_empty() {
                continue;
            }
            let network = item.parse::<IpNet>().ok().or_else(|| item.parse::<IpAddr>().ok().map(IpNet::from));
            let Some(network) = network else {
                return Err((i, format!("{item:?} is neither a network nor an address")));
            };
            let range = (number(network.network()), number(network.broadcast()));
            if network.addr().is_ipv4() { all.v4.push(range) } else { all.v6.push(range) }
        }
        for ranges in [&mut all.v4, &mut all.v6] {
            ranges.sort_unstable();
            ranges.dedup_by(|next, before| {
                let touches = next.0 <= before.1.saturating_add(1);
                before.1 = if touches { before.1.max(next.1) } else { before.1 };
                touches
            });
        }
        Ok(all)
    }

    /// Whether one of them has the address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let ranges = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        let number = number(address);
        let after = ranges.partition_point(|(first, _)| *first <= number);
        after > 0 && number <= ranges[after - 1].1
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_have_comments_and_say_what_is_wrong() {
        let text = "# partners\n192.0.2.0/24 # a\n\n2001:db8::/32\n198.51.100.7\n";
        let list = Networks::parse(text.lines()).unwrap();
        for (address, is_in) in [
            ("192.0.2.9", true),
            ("198.51.100.7", true),
            ("198.51.100.8", false),
            ("2001:db8:1::", true),
            ("::1", false),
        ] {
            assert_eq!(list.contains(address.parse().unwrap()), is_in, "{address}");
        }
        assert_eq!(Networks::parse("10.0.0.0/8\n10.0.0.0/33".lines()).unwrap_err().0, 1);
    }

    proptest! {
        #[test]
        fn it_is_what_any_of_the_networks_says(
            networks in proptest::collection::vec((any::<u32>(), 0u8..=32, any::<bool>()), 0..20),
            asked in proptest::collection::vec((any::<u32>(), 0usize..25), 30),
        ) {
            let to_ip = |bits: u32, v6: bool| if v6 { IpAddr::V6((u128::from(bits) << 96).into()) } else { IpAddr::V4(bits.into()) };
            let networks: Vec<IpNet> =
                networks.into_iter().map(|(bits, length, v6)| IpNet::new(to_ip(bits, v6), length).unwrap()).collect();
            let text: Vec<String> = networks.iter().map(ToString::to_string).collect();
            let list = Networks::parse(text.iter().map(String::as_str)).unwrap();
            // Addresses near the networks' edges.
            let edges = networks.iter().flat_map(|n| [n.network(), n.broadcast()]);
            let others = asked.iter().flat_map(|(bits, _)| [to_ip(*bits, false), to_ip(*bits, true)]);
            for address in edges.chain(others) {
                let next = match address { IpAddr::V4(a) => IpAddr::V4(a.to_bits().wrapping_add(1).into()), IpAddr::V6(a) => IpAddr::V6(a.to_bits().wrapping_add(1).into()) };
                for address in [address, next] {
                    prop_assert_eq!(list.contains(address), networks.iter().any(|n| n.contains(&address)), "{}", address);
                }
            }
        }
    }
}
