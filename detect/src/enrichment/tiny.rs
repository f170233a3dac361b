//! Writes a small database in `MaxMind`'s format (version 2.0 of its specification: a binary tree of networks, then their
//! records), for tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

/// A value of a record.
enum Value {
    Text(&'static str),
    Short(u16),
    Number(u32),
    Long(u64),
    Map(Vec<(&'static str, Value)>),
    EmptyList,
}

impl Value {
    /// Its control byte (type and size), then its content. Sizes below 29 suffice here.
    fn write(&self, out: &mut Vec<u8>) {
        let control = |kind: u8, size: usize| kind << 5 | u8::try_from(size).expect("a small value");
        match self {
            Self::Text(text) => {
                out.push(control(2, text.len()));
                out.extend(text.as_bytes());
            }
            Self::Short(number) => {
                out.push(control(5, 2));
                out.extend(number.to_be_bytes());
            }
            // (an extended kind: 7 and the next byte)
            Self::Long(number) => {
                out.extend([control(0, 8), 2]);
                out.extend(number.to_be_bytes());
            }
            Self::EmptyList => out.extend([control(0, 0), 4]),
            Self::Number(number) => {
                out.push(control(6, 4));
                out.extend(number.to_be_bytes());
            }
            Self::Map(pairs) => {
                out.push(control(7, pairs.len()));
                for (key, value) in pairs {
                    Self::Text(key).write(out);
                    value.write(out);
                }
            }
        }
    }
}

/// A branch is another node, or data at a place of the data section.
#[derive(Clone, Copy)]
enum Branch {
    None,
    Node(usize),
    Data(usize),
}

/// Networks do not overlap. IPv4 stands below `::/96`.
fn database(records: &[(&str, Value)]) -> Vec<u8> {
    let mut nodes = vec![[Branch::None; 2]];
    let mut data = Vec::new();
    for (network, value) in records {
        let network: IpNet = network.parse().expect("a network");
        let (bits, length) = match network {
            IpNet::V4(v4) => (u128::from(v4.network().to_bits()), 96 + usize::from(v4.prefix_len())),
            IpNet::V6(v6) => (v6.network().to_bits(), usize::from(v6.prefix_len())),
        };
        let mut node = 0;
        for depth in 0..length {
            let side = usize::from(bits >> (127 - depth) & 1 == 1);
            if depth + 1 == length {
                nodes[node][side] = Branch::Data(data.len());
                break;
            }
            if !matches!(nodes[node][side], Branch::Node(_)) {
                nodes.push([Branch::None; 2]);
                nodes[node][side] = Branch::Node(nodes.len() - 1);
            }
            if let Branch::Node(next) = nodes[node][side] {
                node = next;
            }
        }
        value.write(&mut data);
    }
    let number = |branch: Branch| match branch {
        Branch::None => nodes.len(),
        Branch::Node(node) => node,
        Branch::Data(at) => nodes.len() + 16 + at,
    };
    let mut out = Vec::new();
    for branch in nodes.iter().flatten() {
        out.extend(&u32::try_from(number(*branch)).expect("a small file").to_be_bytes()[1..]);
    }
    out.extend([0; 16]);
    out.extend(data);
    out.extend(b"\xab\xcd\xefMaxMind.com");
    let metadata = Value::Map(vec![
        ("binary_format_major_version", Value::Short(2)),
        ("binary_format_minor_version", Value::Short(0)),
        ("build_epoch", Value::Long(1_772_400_000)),
        ("database_type", Value::Text("Tiny")),
        ("description", Value::Map(vec![])),
        ("languages", Value::EmptyList),
        ("ip_version", Value::Short(6)),
        ("node_count", Value::Number(u32::try_from(nodes.len()).expect("a small file"))),
        ("record_size", Value::Short(24)),
    ]);
    metadata.write(&mut out);
    out
}

/// Writes `asn.mmdb` and `country.mmdb` to a folder.
pub fn write(folder: &Path) -> [PathBuf; 2] {
    let asn = |number| Value::Map(vec![("autonomous_system_number", Value::Number(number))]);
    let country = |code| Value::Map(vec![("country", Value::Map(vec![("iso_code", Value::Text(code))]))]);
    let files = BTreeMap::from([
        (
            "asn.mmdb",
            database(&[
                ("192.0.2.0/24", asn(64_500)),
                ("2001:db8::/32", asn(64_501)),
                ("203.0.113.0/25", Value::Map(vec![("asn", Value::Text("AS64502"))])),
            ]),
        ),
        ("country.mmdb", database(&[("192.0.2.0/25", country("DE")), ("2001:db8::/33", country("NL"))])),
    ]);
    for (name, bytes) in &files {
        std::fs::write(folder.join(name), bytes).expect("a file");
    }
    ["asn.mmdb", "country.mmdb"].map(|name| folder.join(name))
}
