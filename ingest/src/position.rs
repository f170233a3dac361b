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
pub(crate) const TELLING: usize = 40;
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
    /// Where the first request stands, once there is one: what comes before (headings, banners, holes) other files may
    /// have, too.
    #[serde(default)]
    pub(crate) prefix_at: u64,
    /// Hash of the `prefix_len` bytes from there.
    pub(crate) prefix_len: u32,
    pub(crate) prefix_hash: u64,
    /// Hash of the first few of them, as many as tell a request from others; 0: there are fewer.
    #[serde(default)]
    pub(crate) begin_hash: u64,
    /// Hashes of the same bytes up to their first line ends: a copy may have been made when the file was shorter.
    #[serde(default)]
    pub(crate) line_ends: Vec<(u32, u64)>,
    /// Hash of the `tail_len` bytes before `offset`.
    pub(crate) tail_len: u32,
    pub(crate) tail_hash: u64,
    /// Lines that begin before it are passed over.
    #[serde(default)]
    pub(crate) passed_over: u64,
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
    /// Where the first request stands.
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

    /// Whether the hashed bytes tell this file from all that are no copies of it: a request begins in them.
    pub(crate) fn is_telling(&self) -> bool {
        self.first_row.is_some_and(|at| at + TELLING as u64 <= self.prefix_at + u64::from(self.prefix_len))
    }

    /// Whether a file holds the first bytes that were read.
    pub(crate) fn is_beginning_of(&self, path: &Path) -> io::Result<bool> {
        let (mut input, mut bytes) = (Input::open(path)?, Vec::new());
        if input.skip_to(0, self.prefix_at)? {
            input.fill(&mut bytes, (self.prefix_len as usize).min(HASHED))?;
        }
        Ok(hash(&bytes) == self.prefix_hash)
    }

    /// Of a shorter file that has `bytes` where the first request stands: how many of them may be known, and what their
    /// hash must then be.
    pub(crate) fn known_beginning(&self, bytes: &[u8]) -> Option<(usize, u64)> {
        if !self.is_telling() {
            return None;
        }
        if bytes.len() == HASHED {
            return (self.prefix_len as usize == HASHED).then_some((HASHED, self.prefix_hash));
        }
        let whole = memchr::memrchr(b'\n', bytes).map_or(0, |end| end + 1);
        let has_row = self.first_row.is_some_and(|at| at < self.prefix_at + whole as u64);
        let (_, hash) = self.line_ends.iter().find(|(length, _)| *length as usize == whole).filter(|_| has_row)?;
        Some((whole, *hash))
    }

    /// Reads what the hashes are of, and leaves `input`, of which nothing was read, at the offset. An error if
    /// it is not the file.
    pub(crate) fn verify(&self, input: &mut Input) -> Result<Trail, Mismatch> {
        let prefix_len = (self.prefix_len as usize).min(HASHED);
        let tail_at = self.offset.saturating_sub(u64::from(self.tail_len).min(HASHED as u64));
        let (first, prefix_end) = (self.prefix_at.min(tail_at), self.prefix_at.saturating_add(prefix_len as u64));
        let begins_differently = Mismatch::Changed("it begins differently");
        if !input.skip_to(0, first)? {
            return Err(begins_differently);
        }
        // In one piece, if they are near each other.
        let piece = if tail_at <= prefix_end { self.offset } else { prefix_end };
        let mut bytes = Vec::new();
        input.fill(&mut bytes, usize::try_from(piece.saturating_sub(first)).unwrap_or(0).min(3 * HASHED))?;
        let from = |at: u64| usize::try_from(at - first).ok().and_then(|at| bytes.get(at..));
        let prefix = from(self.prefix_at).and_then(|prefix| prefix.get(..prefix_len)).map(<[u8]>::to_vec);
        let Some(prefix) = prefix.filter(|prefix| hash(prefix) == self.prefix_hash) else {
            return Err(begins_differently);
        };
        let shorter = Mismatch::Changed("it is shorter");
        let tail = if piece == self.offset {
            from(tail_at).unwrap_or_default().to_vec()
        } else if input.skip_to(piece, tail_at)? {
            let mut tail = Vec::new();
            input.fill(&mut tail, HASHED.min(self.tail_len as usize))?;
            tail
        } else {
            return Err(shorter);
        };
        if tail.len() as u64 != self.offset - tail_at {
            return Err(shorter);
        }
        if hash(&tail) != self.tail_hash {
            return Err(Mismatch::Changed("what was read last has changed"));
        }
        Ok(Trail { prefix_at: self.prefix_at, prefix, tail })
    }
}

/// Why a file is not a position's.
#[derive(Debug)]
pub(crate) enum Mismatch {
    /// It has other content.
    Changed(&'static str),
    /// Nobody knows.
    Unreadable(io::Error),
}

impl From<io::Error> for Mismatch {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
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

/// The bytes that positions hash: the first from the first request on (of all, before there is one), and the last that
/// were read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trail {
    prefix_at: u64,
    prefix: Vec<u8>,
    tail: Vec<u8>,
}

impl Trail {
    /// The first request stands at `at`; `bytes` were read from there on.
    pub(crate) fn begins(&mut self, at: u64, bytes: &[u8]) {
        self.prefix_at = at;
        self.prefix = bytes[..bytes.len().min(HASHED)].to_vec();
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

    pub(crate) fn prefix_at(&self) -> u64 {
        self.prefix_at
    }

    /// Hashes of the first bytes up to each of their line ends.
    pub(crate) fn line_ends(&self) -> Vec<(u32, u64)> {
        let ends = memchr::memchr_iter(b'\n', &self.prefix).take(LINE_ENDS).map(|end| end + 1);
        ends.filter_map(|end| Some((u32::try_from(end).ok()?, hash(&self.prefix[..end])))).collect()
    }

    pub(crate) fn tail(&self) -> &[u8] {
        &self.tail
    }
}

/// See [`Position::begin_hash`].
pub(crate) fn begin_hash(prefix: &[u8]) -> Option<u64> {
    prefix.get(..TELLING).map(hash)
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
