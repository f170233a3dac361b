//! How far a file was read, and how to know it again after a restart: not by its name, which rotation changes, nor by
//! its inode alone, which the next file may get, but by what was read of it.

use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::formats::GivenUp;
use crate::input::Input;

/// Bytes hashed at the beginning and before the offset.
pub(crate) const HASHED: usize = 1024;
/// Bytes of a request that tell it from others: time and client.
const TELLING: u64 = 40;
/// Line ends up to which a file is hashed.
const LINE_ENDS: usize = 32;

/// How far a file was read. Opaque: commit it together with what was derived from the lines, and give it back to
/// [`crate::LogReader::resume`] or [`crate::Tailer::new`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "a record of what is stored, not a state")]
pub struct Position {
    /// The file's key: the same through restarts and renames, another for another content.
    pub(crate) key: String,
    #[serde(with = "path_serde")]
    pub(crate) path: PathBuf,
    /// Where it stood under that name, if `path` led there through links; empty: at `path`.
    #[serde(with = "path_serde", default)]
    pub(crate) real: PathBuf,
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    /// How often this file began anew.
    pub(crate) generation: u32,
    pub(crate) compressed: bool,
    /// Decompressed bytes read.
    pub(crate) offset: u64,
    /// Whether `offset` lies inside a line that was cut.
    pub(crate) in_long_line: bool,
    /// What follows are rests of lines whose pieces were too many.
    #[serde(default)]
    pub(crate) given_up: GivenUp,
    /// Hash of the first `prefix_len` bytes.
    pub(crate) prefix_len: u32,
    pub(crate) prefix_hash: u64,
    /// Hashes of the file up to its first line ends: a copy may have been made when it was shorter.
    #[serde(default)]
    pub(crate) line_ends: Vec<(u32, u64)>,
    /// Hash of the `tail_len` bytes before `offset`.
    pub(crate) tail_len: u32,
    pub(crate) tail_hash: u64,
    /// Whether the file is an archive that was read to its end.
    pub(crate) finished: bool,
    /// Whether the file has other content by now, so that at most a copy has what was read.
    #[serde(default)]
    pub(crate) overwritten: bool,
    pub(crate) format: String,
    /// The heading in force (W3C's `#Fields`): without it no line after it can be read.
    #[serde(default)]
    pub(crate) heading: Option<String>,
    pub(crate) newest_ts: Option<i64>,
    /// Where the first request stands. What comes before (headings, banners, holes) other files may have, too.
    #[serde(default)]
    pub(crate) first_row: Option<u64>,
}

impl Position {
    /// The file's key, as in [`crate::TailBatch`].
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Where the file was last seen.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Decompressed bytes read.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) fn file(&self) -> FileId {
        FileId { dev: self.dev, ino: self.ino }
    }

    /// The position in content that this file no longer has: a copy or an archive of it may turn up.
    pub(crate) fn orphaned(self) -> Self {
        Self { overwritten: true, ..self }
    }

    /// Whether the first bytes tell this file from all that are no copies of it: a request begins in them.
    pub(crate) fn is_telling(&self) -> bool {
        self.first_row.is_some_and(|at| at + TELLING <= u64::from(self.prefix_len))
    }

    /// Whether a file begins with the first bytes that were read.
    pub(crate) fn is_beginning_of(&self, path: &Path) -> io::Result<bool> {
        let mut bytes = Vec::new();
        Input::open(path)?.fill(&mut bytes, (self.prefix_len as usize).min(HASHED))?;
        Ok(hash(&bytes) == self.prefix_hash)
    }

    /// Whether a file of `size` bytes that begins with `prefix` is the beginning of what was read.
    pub(crate) fn covers(&self, prefix: &[u8], size: u64) -> bool {
        if size >= self.offset || !self.is_telling() {
            return false;
        }
        if prefix.len() == HASHED {
            return self.prefix_len as usize == HASHED && hash(prefix) == self.prefix_hash;
        }
        let whole = memchr::memrchr(b'\n', prefix).map_or(0, |end| end + 1);
        let known = self.line_ends.iter().find(|(length, _)| *length as usize == whole);
        self.first_row.is_some_and(|at| at < whole as u64)
            && known.is_some_and(|(_, known)| hash(&prefix[..whole]) == *known)
    }
}

/// What tells one file from another while both exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct FileId {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
}

impl FileId {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self { dev: metadata.dev(), ino: metadata.ino() }
    }
}

/// A file's key: its first name for people; inode, birth and generation to tell it from those of the same name.
pub(crate) fn key(path: &Path, metadata: &Metadata, generation: u32) -> String {
    let birth = metadata.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let birth = birth.map_or(0, |since| since.as_nanos());
    format!("{}#{:x}-{birth:x}-{generation}", path.display(), metadata.ino())
}

/// What a key says of the file but for its name.
pub(crate) fn birth(key: &str) -> Option<&str> {
    key.rsplit('#').next()
}

/// The bytes that positions hash: the first and the last of what was read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trail {
    prefix: Vec<u8>,
    tail: Vec<u8>,
}

impl Trail {
    /// What was read up to a position.
    pub(crate) fn new(prefix: Vec<u8>, tail: Vec<u8>) -> Self {
        Self { prefix, tail }
    }

    /// More was read.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        let missing = HASHED - self.prefix.len();
        self.prefix.extend_from_slice(&bytes[..bytes.len().min(missing)]);
        if bytes.len() >= HASHED {
            self.tail.clear();
        }
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(HASHED)..]);
        let surplus = self.tail.len().saturating_sub(HASHED);
        self.tail.drain(..surplus);
    }

    pub(crate) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// Hashes of the file up to each of its first line ends.
    pub(crate) fn line_ends(&self) -> Vec<(u32, u64)> {
        let ends = memchr::memchr_iter(b'\n', &self.prefix).take(LINE_ENDS).map(|end| end + 1);
        ends.filter_map(|end| Some((u32::try_from(end).ok()?, hash(&self.prefix[..end])))).collect()
    }

    pub(crate) fn tail(&self) -> &[u8] {
        &self.tail
    }
}

/// The first 64 bits of SHA-256: log text is written by attackers, who must not be able to make two files look alike.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Paths are bytes: text where they are UTF-8, a list of numbers where not.
mod path_serde {
    use super::{Deserialize, Deserializer, OsStrExt, OsString, OsStringExt, Path, PathBuf, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Stored {
        Text(String),
        Bytes(Vec<u8>),
    }

    pub(super) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        match path.to_str() {
            Some(text) => Stored::Text(text.to_owned()),
            None => Stored::Bytes(path.as_os_str().as_bytes().to_vec()),
        }
        .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        Ok(match Stored::deserialize(deserializer)? {
            Stored::Text(text) => text.into(),
            Stored::Bytes(bytes) => OsString::from_vec(bytes).into(),
        })
    }
}
