//! Copies and archives of files that were read: their lines must not count again, but what nobody read before must.
//!
//! Two logs may well begin alike, with the same heading or a health check of the same second. So a copy is what agrees with
//! all that was read, as far as both go. **Invariant: content is read once, wherever it is longest.** A copy that is no longer
//! than what was read is left alone; one that has more goes on where that was read, and takes its position over, unless
//! the original can still be read on. An archive does so only once the original is gone.

use std::collections::HashMap;

use super::Tailer;
use super::file::Tailed;
use super::seen::Found;
use crate::input::Input;
use crate::position::{FileId, HASHED, Position, hash};
use crate::reader::{LogReader, ReadError};

/// What a new file is a copy of.
pub(super) enum Origin {
    /// Nothing that was read.
    None,
    /// A file that is still there itself.
    Here,
    /// A file that is about to be read: only then it can be told.
    Unread,
    /// A file that was read further than this copy goes.
    Read,
    /// Perhaps one of these, and if so it has more of it.
    Of(Vec<Original>),
}

/// Where the position is that a copy may go on from.
#[derive(Clone, Copy)]
pub(super) enum Original {
    /// Of an open file that was read to its end.
    Open(FileId),
    /// Of a named file that is closed.
    Resting(FileId),
    /// Its place among those of files that are gone.
    Gone(usize),
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
        let whole = input.fill(&mut bytes, HASHED).is_ok();
        if bytes.is_empty() {
            return Origin::None;
        }
        let size = if plain { found.stamp.size() } else { bytes.len() as u64 };
        let mut originals = Vec::new();
        for file in self.files.iter().filter(|file| !file.is_archive()) {
            match relation(&input, &bytes, plain.then_some(size), file) {
                Relation::Unread if file.at_end => return Origin::Here,
                Relation::Unread => return Origin::Unread,
                Relation::Copy if plain || self.is_proved(found, &file.position()) => return Origin::Here,
                Relation::Other | Relation::Copy => {}
                Relation::Longer => originals.push(Original::Open(file.reader.file())),
            }
        }
        let mut beginning = Beginning { bytes: &bytes, hashes: HashMap::new() };
        // An archive that is still being written may show less than what is hashed.
        let may_cover = plain || !whole;
        let covers = |position: &Position| position.file() != id && position.covers(&bytes, size);
        for position in self.known.resting() {
            let is_archive = !plain && beginning.is_of(position) && self.is_proved(found, position);
            if is_archive || may_cover && covers(position) {
                return Origin::Here;
            }
            if plain && position.is_telling() && size >= position.offset() && beginning.is_of(position) {
                originals.push(Original::Resting(position.file()));
            }
        }
        let gone = self.known.gone().iter().enumerate();
        originals.extend(gone.filter(|(_, position)| beginning.is_of(position)).map(|(at, _)| Original::Gone(at)));
        // (what was cut off at its own end is no copy: what comes next is new)
        if may_cover && self.known.gone().iter().any(covers) {
            return Origin::Read;
        }
        if originals.is_empty() { Origin::None } else { Origin::Of(originals) }
    }

    /// Whether a file that begins with a position's first bytes is made of the same content. What other logs may begin
    /// with, too, a hole or a heading, proves nothing: then what was read last must agree as well, as far as can be told.
    pub(super) fn is_proved(&self, found: &Found, position: &Position) -> bool {
        let there = || Position { path: found.path.clone(), ..position.clone() };
        let resume = || LogReader::resume(&there(), &self.sources[found.source].options);
        position.is_telling() || !matches!(resume(), Err(ReadError::Changed { .. }))
    }

    /// The position that a copy may go on from.
    pub(super) fn position_of(&self, original: Original) -> Option<Position> {
        match original {
            Original::Open(id) => self.files.iter().find(|file| file.reader.file() == id).map(Tailed::position),
            Original::Resting(id) => self.known.of(id).cloned(),
            Original::Gone(at) => self.known.gone().get(at).cloned(),
        }
    }

    /// From now on the copy has it.
    pub(super) fn hand_over(&mut self, original: Original) {
        match original {
            Original::Open(id) => self.files.retain(|file| file.reader.file() != id),
            Original::Resting(id) => drop(self.known.take(id)),
            Original::Gone(at) => drop(self.known.take_gone(at)),
        }
    }
}

/// How a new file stands to an open one.
enum Relation {
    /// It is another log.
    Other,
    /// They begin alike; the open one was not read yet.
    Unread,
    /// It has nothing that the open one has not.
    Copy,
    /// It has all that was read of the open one, which has no more, and goes on.
    Longer,
}

/// `size`: of a file that is not compressed.
fn relation(input: &Input, bytes: &[u8], size: Option<u64>, original: &Tailed) -> Relation {
    let read = original.reader.prefix();
    if original.reader.consumed() == 0 || read.is_empty() {
        let alike = original.reader.input().look_at(0, bytes.len()).is_ok_and(|begin| begin == bytes);
        return if alike { Relation::Unread } else { Relation::Other };
    }
    if original.reader.newest_ts().is_none() {
        return Relation::Other;
    }
    match size {
        None if alike(read, bytes) => Relation::Copy,
        Some(size) if is_copy(input, bytes, size, original) => {
            if size > original.reader.consumed() && original.stands_still().is_some() {
                Relation::Longer
            } else {
                Relation::Copy
            }
        }
        // Copied and then truncated, since it was looked at last: the next look finds out, and what the copy is of.
        Some(_) if alike(read, bytes) && original.has_changed() => Relation::Copy,
        _ => Relation::Other,
    }
}

/// Whether one begins with the other.
fn alike(one: &[u8], other: &[u8]) -> bool {
    let common = one.len().min(other.len());
    common > 0 && one[..common] == other[..common]
}

/// Whether a file of so many bytes, which begins with `bytes`, agrees with what was read of another one: at its beginning,
/// and where the shorter of the two ends.
fn is_copy(input: &Input, bytes: &[u8], size: u64, original: &Tailed) -> bool {
    let read = original.reader.prefix();
    if !alike(read, bytes) {
        return false;
    }
    let end = size.min(original.reader.consumed());
    let length = end.min(HASHED as u64);
    let of = |input: &Input| input.look_at(end - length, usize::try_from(length).unwrap_or(0)).ok();
    let (here, there) = (of(input), of(original.reader.input()));
    here.is_some() && here == there
}
