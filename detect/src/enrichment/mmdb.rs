//! Databases in `MaxMind`'s format: those of `MaxMind` and `DB-IP`, and those of `IPinfo`, which name things otherwise.

use std::net::IpAddr;
use std::path::Path;

use maxminddb::{PathElement, Reader};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// Bytes of the largest database.
const MAX_FILE: u64 = 1 << 30;

/// One database, in memory.
pub struct Mmdb {
    reader: Reader<Vec<u8>>,
    digest: [u8; 32],
}

impl std::fmt::Debug for Mmdb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mmdb").field("type", &self.reader.metadata().database_type).finish_non_exhaustive()
    }
}

impl Mmdb {
    /// Reads a file. Err: why it cannot be used.
    pub fn open(path: &Path) -> Result<Self, String> {
        if std::fs::metadata(path).is_ok_and(|m| m.len() > MAX_FILE) {
            return Err(format!("a database has up to {} MiB", MAX_FILE >> 20));
        }
        let bytes = std::fs::read(path).map_err(|e| format!("the database cannot be read: {e}"))?;
        let digest = Sha256::digest(&bytes).into();
        let reader = Reader::from_source(bytes).map_err(|e| format!("this is no database in MaxMind's format: {e}"))?;
        Ok(Self { reader, digest })
    }

    /// Of its content.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The number of the autonomous system.
    pub fn asn(&self, address: IpAddr) -> Option<i64> {
        self.value::<u32>(address, &["autonomous_system_number"])
            .map(i64::from)
            .or_else(|| self.value::<String>(address, &["asn"])?.strip_prefix("AS")?.parse().ok())
    }

    /// The country's two letters.
    pub fn country(&self, address: IpAddr) -> Option<String> {
        let paths =
            [&["country", "iso_code"][..], &["registered_country", "iso_code"], &["country_code"], &["country"]];
        paths.iter().find_map(|path| self.value(address, path)).filter(|code: &String| code.len() == 2)
    }

    /// What stands at a path of the address's record. A record that is damaged, or of another kind, has nothing.
    fn value<'de, T: Deserialize<'de>>(&'de self, address: IpAddr, path: &[&str]) -> Option<T> {
        let path: Vec<PathElement<'_>> = path.iter().map(|key| PathElement::Key(key)).collect();
        self.reader.lookup(address).ok()?.decode_path(&path).ok().flatten()
    }
}
