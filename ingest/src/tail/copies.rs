//! Copies and archives of files that were read: their lines must not count again, but what nobody read before must.
//!
//! Two logs may well begin alike, with the same heading or a health check of the same second. So a copy is what agrees with
//! all that was read, as far as both go; it is left alone as long as its original is there, and read from where that one
//! was read once the original is gone.

use std::collections::HashMap;

use super::Tailer;
use super::file::Tailed;
use super::seen::Found;
use crate::input::Input;
use crate::position::{FileId, HASHED, Position, hash};

/// What a new file is a copy of.
pub(super) enum Origin {
    /// Nothing that was read.
    None,
    /// A file that is still there itself.
    Here,
    /// A file that was read further than this copy goes.
    Read,
    /// Perhaps one of these that are gone, by their place among them.
    Gone(Vec<usize>),
}

/// A file's first bytes, and the hashes of so many of them.
struct Beginning<'a> {
    bytes: &'a [u8],
    hashes: HashMap<u32, Option<u64>>,
}

impl Beginning<'_> {
    fn is_of(&mut self, position: &Position) -> bool {
        let length = position.prefix_len;
        let bytes = self.bytes;
        let hash = *self.hashes.entry(length).or_insert_with(|| bytes.get(..length as usize).map(hash));
        !position.compressed && position.newest_ts.is_some() && hash == Some(position.prefix_hash)
    }
}

impl Tailer {
    /// Which of the files that were read `found` was made of. `plain`: it is not compressed.
    pub(super) fn origin(&self, id: FileId, found: &Found, plain: bool) -> Origin {
        let Ok(mut input) = Input::open(&found.path) else { return Origin::None }; // reading it will tell
        let mut bytes = Vec::new();
        if input.fill(&mut bytes, HASHED).is_err() && bytes.is_empty() {
            return Origin::None;
        }
        let size = found.stamp.size();
        let of_open = |file: &Tailed| {
            let read = file.reader.prefix();
            if file.is_archive() {
                return false;
            }
            if file.reader.consumed() == 0 {
                // Met just now as well: once it was read, one can tell.
                return !plain && file.reader.input().look_at(0, bytes.len()).is_ok_and(|begin| begin == bytes);
            }
            if file.reader.newest_ts().is_none() {
                return false;
            }
            if plain { is_copy(&input, &bytes, size, file) } else { bytes.starts_with(read) }
        };
        let mut beginning = Beginning { bytes: &bytes, hashes: HashMap::new() };
        if self.files.iter().any(of_open)
            || self.known.resting().any(|position| position.is_telling() && beginning.is_of(position))
        {
            return Origin::Here;
        }
        let gone = self.known.gone().iter().enumerate();
        let candidates: Vec<_> = gone.filter(|(_, position)| beginning.is_of(position)).collect();
        // (what was cut off at its own end is no copy: what comes next is new)
        let covers = |position: &Position| position.file() != id && position.covers(&bytes, size);
        if plain && self.known.gone().iter().any(covers) {
            return Origin::Read;
        }
        if candidates.is_empty() { Origin::None } else { Origin::Gone(candidates.iter().map(|(at, _)| *at).collect()) }
    }
}

/// Whether a file of so many bytes, which begins with `bytes`, agrees with what was read of another one: at its beginning,
/// and where the shorter of the two ends.
fn is_copy(input: &Input, bytes: &[u8], size: u64, original: &Tailed) -> bool {
    let read = original.reader.prefix();
    let common = read.len().min(bytes.len());
    if common == 0 || read[..common] != bytes[..common] {
        return false;
    }
    let end = size.min(original.reader.consumed());
    let length = end.min(HASHED as u64);
    let of = |input: &Input| input.look_at(end - length, usize::try_from(length).unwrap_or(0)).ok();
    let (here, there) = (of(input), of(original.reader.input()));
    here.is_some() && here == there
}
