//! What files of the user's say about addresses: lists of networks, and databases of networks and countries in `MaxMind`'s
//! format (MMDB). SQL asks them through `in_network`, `asn` and `country`.
//!
//! As lookups, they are read whole when the program starts or its rules are loaded anew, and do not change while an engine lives.

mod mmdb;
mod networks;
#[cfg(test)]
mod tiny;

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::config::Config;
use crate::diagnostic::{Diagnostic, Place};

pub use mmdb::Mmdb;
pub use networks::Networks;
#[cfg(test)]
pub(crate) use tiny::write as tiny_databases;

/// Bytes of the largest list.
const MAX_LIST: u64 = 64 << 20;
/// The functions whose values depend on these files.
pub const FUNCTIONS: [&str; 3] = ["asn", "country", "in_network"];

/// `[mmdb]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Databases {
    /// Which autonomous system an address belongs to: GeoLite2-ASN and the like.
    pub asn: Option<PathBuf>,
    /// Which country it is in: GeoLite2-Country and the like.
    pub country: Option<PathBuf>,
}

/// All that the files say.
#[derive(Debug, Default)]
pub struct Enrichment {
    networks: BTreeMap<String, Arc<Networks>>,
    asn: Option<Mmdb>,
    country: Option<Mmdb>,
    /// Of the files' contents.
    digest: String,
    /// A file could not be read.
    is_incomplete: bool,
}

impl Enrichment {
    /// Reads the config's files. Those that cannot be read are problems: what they would say is unknown.
    pub fn read(config: &Config) -> (Self, Vec<Diagnostic>) {
        let mut all = Self::default();
        let mut problems = Vec::new();
        let mut hash = Sha256::new();
        for (name, path) in &config.networks {
            match read_list(path) {
                Ok((networks, text)) => {
                    hash.update(format!("{name} {} ", text.len()));
                    hash.update(text);
                    all.networks.insert(name.clone(), Arc::new(networks));
                }
                Err(problem) => problems.push(problem),
            }
        }
        for (path, place) in [(&config.mmdb.asn, &mut all.asn), (&config.mmdb.country, &mut all.country)] {
            let Some(path) = path else { continue };
            match Mmdb::open(path) {
                Ok(database) => {
                    hash.update(database.digest());
                    *place = Some(database);
                }
                Err(why) => problems.push(
                    Diagnostic::new(&path.display().to_string(), "", None, why)
                        .with_help("[mmdb] names databases in MaxMind's format, such as GeoLite2-ASN.mmdb"),
                ),
            }
        }
        all.is_incomplete = !problems.is_empty();
        all.digest = format!("{:x}", hash.finalize());
        (all, problems)
    }

    /// What depends on the files' contents, for what is kept beyond them.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Whether one of the files could not be read.
    pub fn is_incomplete(&self) -> bool {
        self.is_incomplete
    }

    /// The names of the lists.
    pub fn names(&self) -> Vec<&str> {
        self.networks.keys().map(String::as_str).collect()
    }

    /// The list of this name, or the networks that the text itself lists. Err: why it is neither.
    pub fn list(&self, which: &str) -> Result<Arc<Networks>, String> {
        if let Some(list) = self.networks.get(which) {
            return Ok(Arc::clone(list));
        }
        Networks::parse(which.split(',')).map(Arc::new).map_err(|_| {
            let known = if self.networks.is_empty() {
                "there are none; add name = \"file\" to [networks]".to_owned()
            } else {
                format!("there are: {}", self.names().join(", "))
            };
            format!("{which:?} is no network, and no list of that name is in the config ({known})")
        })
    }

    /// The number of the autonomous system that an address belongs to.
    pub fn asn(&self, address: IpAddr) -> Option<i64> {
        self.asn.as_ref()?.asn(address)
    }

    /// The two letters of the country that an address is in.
    pub fn country(&self, address: IpAddr) -> Option<String> {
        self.country.as_ref()?.country(address)
    }
}

impl PartialEq for Enrichment {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Enrichment {}

impl Hash for Enrichment {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

/// The address in a column such as `client_ip`, or `client`, where one of IPv6 stands for its network.
pub fn address(text: &str) -> Option<IpAddr> {
    text.split_once('/').map_or(text, |(address, _)| address).parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

fn read_list(path: &Path) -> Result<(Networks, String), Diagnostic> {
    let origin = path.display().to_string();
    let problem = |message: String| Diagnostic::new(&origin, "", None, message);
    if std::fs::metadata(path).is_ok_and(|m| m.len() > MAX_LIST) {
        return Err(problem(format!("a list of networks has up to {} MiB", MAX_LIST >> 20)));
    }
    let text = std::fs::read_to_string(path).map_err(|e| problem(format!("the list cannot be read: {e}")))?;
    let networks = Networks::parse(text.lines()).map_err(|(line, why)| {
        let width = text.lines().nth(line).map_or(1, |l| l.chars().count().max(1));
        Diagnostic::new(&origin, &text, Some(Place { line: line + 1, column: 1, width }), why)
            .with_help("write one network or address a line, as 192.0.2.0/24 or 2001:db8::/32; # begins a comment")
    })?;
    Ok((networks, text))
}
