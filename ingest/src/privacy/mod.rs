//! What must not leave the log: tokens, keys, passwords and cookies that stand in its lines, and parameters that the config
//! names. It is replaced in the line before the line is parsed, so that no column, no reject and no message ever has it.
//!
//! With a key, a value becomes `hmac_` and 16 hexadecimal digits, the same for the same value: it can still be counted and
//! followed. Then that is done with session ids and e-mail addresses, too. Without a key, a value becomes `***`, and session
//! ids and e-mail addresses stay: all of them alike would hide who asks, and what for.
//!
//! `needles` has what is looked for in whole blocks; `find` says, in the few lines that have one, where values are.

mod find;
mod needles;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bumpalo::Bump;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::escape::percent_decoded;
use needles::Needles;

/// What stands for a value where there is no key.
const MASK: &str = "***";

/// How values are found and replaced.
#[derive(Clone)]
pub struct Privacy {
    needles: Needles,
    names: Names,
    key: Option<Vec<u8>>,
}

/// Which values are secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Names {
    /// Those whose names or forms say so.
    recognised: bool,
    /// Those of these parameters and JSON keys, in lower case.
    named: Vec<String>,
}

/// Why a value is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Secret,
    /// Only with a key.
    Session,
    /// Only with a key.
    Email,
}

impl Privacy {
    /// `recognised`: values whose names or forms say that they are secret. `named`: values of these parameters and JSON keys.
    /// `key`: replaces values by their keyed hash (HMAC-SHA-256, the first 64 bits). Err: the name that cannot be one.
    pub fn new(recognised: bool, named: &[String], key: Option<&[u8]>) -> Result<Self, String> {
        let is_name = |name: &&String| !name.is_empty() && name.bytes().all(find::is_name_byte);
        if let Some(name) = named.iter().find(|name| !is_name(name)) {
            return Err(format!("{name:?} is no parameter's name: those have letters, digits, _, - and ."));
        }
        let lower = named.iter().map(|name| name.to_ascii_lowercase()).collect();
        let needles = Needles::new(recognised, named, key.is_some());
        Ok(Self { needles, names: Names { recognised, named: lower }, key: key.map(<[u8]>::to_vec) })
    }

    /// A line as it may be kept; `None`: as it is.
    pub fn scrubbed(&self, line: &str) -> Option<String> {
        let mut found = find::values(line, self);
        found.sort_by_key(|(range, _)| (range.start, std::cmp::Reverse(range.end)));
        let (mut text, mut copied) = (String::new(), 0);
        for (range, kind) in found {
            if range.start < copied || &line[range.clone()] == MASK {
                continue;
            }
            let Some(replacement) = self.replacement(&line[range.clone()], kind) else { continue };
            text.push_str(&line[copied..range.start]);
            text.push_str(&replacement);
            copied = range.end;
        }
        if copied == 0 {
            return None;
        }
        text.push_str(&line[copied..]);
        Some(text)
    }

    /// The same for what may be no text.
    pub(crate) fn bytes<'l>(&self, line: &'l [u8]) -> Cow<'l, [u8]> {
        self.scrubbed(&String::from_utf8_lossy(line))
            .map_or(Cow::Borrowed(line), |scrubbed| scrubbed.into_bytes().into())
    }

    fn replacement(&self, value: &str, kind: Kind) -> Option<String> {
        let Some(key) = &self.key else { return (kind == Kind::Secret).then(|| MASK.to_owned()) };
        let plain = percent_decoded(value);
        let plain = if kind == Kind::Email { plain.to_lowercase() } else { plain };
        // (a key of any length will do)
        let mut hmac = Hmac::<Sha256>::new_from_slice(key).ok()?;
        hmac.update(plain.as_bytes());
        let digest = hmac.finalize().into_bytes();
        let number = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        Some(format!("hmac_{number:016x}"))
    }
}

/// The key is not shown.
impl fmt::Debug for Privacy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Privacy")
            .field("names", &self.names)
            .field("has_key", &self.key.is_some())
            .finish_non_exhaustive()
    }
}

impl PartialEq for Privacy {
    fn eq(&self, other: &Self) -> bool {
        (&self.names, &self.key) == (&other.names, &other.key)
    }
}

impl Eq for Privacy {}

/// Scrubs the lines of one block, in their order. Lines without anything to look at cost a comparison.
pub(crate) struct Scrubber<'b> {
    privacy: Option<&'b Privacy>,
    block: &'b [u8],
    /// Where something to look at stands next in the block.
    next: usize,
}

impl<'b> Scrubber<'b> {
    pub(crate) fn new(privacy: Option<&'b Privacy>, block: &'b [u8]) -> Self {
        let next = privacy.and_then(|privacy| privacy.needles.find(block)).unwrap_or(usize::MAX);
        Self { privacy, block, next }
    }

    /// `line`, which stands at `range` in the block, as it may be kept.
    #[inline]
    pub(crate) fn line<'a>(&mut self, line: &'a str, range: Range<usize>, arena: &'a Bump) -> &'a str {
        if self.next >= range.end { line } else { self.look(line, range.end, arena) }
    }

    /// A line that stands nowhere in the block, as it may be kept.
    pub(crate) fn alone<'a>(&self, line: &'a str, arena: &'a Bump) -> &'a str {
        let scrubbed = self.privacy.and_then(|privacy| privacy.scrubbed(line));
        scrubbed.map_or(line, |scrubbed| arena.alloc_str(&scrubbed))
    }

    #[cold]
    fn look<'a>(&mut self, line: &'a str, end: usize, arena: &'a Bump) -> &'a str {
        let Some(privacy) = self.privacy else { return line };
        self.next = privacy.needles.find(&self.block[end..]).map_or(usize::MAX, |at| end + at);
        privacy.scrubbed(line).map_or(line, |scrubbed| arena.alloc_str(&scrubbed))
    }
}

#[cfg(test)]
mod tests;
