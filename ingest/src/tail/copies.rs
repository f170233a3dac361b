//! Copies and archives of files that were read: their lines must not count again, but what nobody read before must.
//!
//! Two logs may well begin alike, with the same heading or a health check of the same second. So a copy is what agrees with
//! all that was read, as far as both go. **Invariant: content is read once, wherever it is longest.** A copy that is no longer
//! than what was read is left alone; one that has more goes on where that was read, and takes its position over, unless
//! the original can still be read on. An archive does so only once the original is gone.

use super::Tailer;
use super::beginning::Beginning;
use super::file::Tailed;
use super::seen::Found;
use crate::input::{Compression, Input};
use crate::position::{FileId, HASHED, Position};
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

impl Tailer {
    /// Which of the files that were read `found` was made of. `plain`: it is not compressed.
    pub(super) fn origin(&self, id: FileId, found: &Found, plain: bool) -> Origin {
        let Ok(mut input) = Input::open(&found.path) else { return Origin::None }; // reading it will tell
        let open = self.files.iter().filter(|file| !file.is_archive());
        let places = open.clone().map(|file| file.reader.prefix_at()).chain(self.known.places());
        let mut beginning = Beginning::read(&mut input, places.collect());
        if beginning.is_empty() {
            return Origin::None;
        }
        let size = plain.then_some(found.stamp.size());
        let mut originals = Vec::new();
        for file in open {
            match relation(&input, &beginning, size, file) {
                Relation::Unread if file.at_end => return Origin::Here,
                Relation::Unread => return Origin::Unread,
                Relation::Copy if plain || self.is_proved(found, &file.position()) => return Origin::Here,
                Relation::Other | Relation::Copy => {}
                Relation::Longer => originals.push(Original::Open(file.reader.file())),
            }
        }
        // (how long an archive is that shows more than is hashed, only unpacking tells: [`Tailer::is_shorter_archive`])
        let covers = |beginning: &mut Beginning, position: &Position| {
            // (an archive may have the inode of a log that is gone, but it is not that log)
            let is_another = position.file() != id || !(plain || position.compressed);
            (plain || beginning.shows_all(position.prefix_at)) && is_another && beginning.is_covered_by(position, size)
        };
        for position in self.known.resting_like(&beginning) {
            let is_archive = !plain && beginning.is_of(position) && self.is_proved(found, position);
            if is_archive || covers(&mut beginning, position) {
                return Origin::Here;
            }
            let is_long_enough = size.is_some_and(|size| size >= position.offset());
            if is_long_enough && position.is_telling() && beginning.is_of(position) {
                originals.push(Original::Resting(position.file()));
            }
        }
        for (at, position) in self.known.gone().iter().enumerate() {
            if beginning.is_of(position) {
                originals.push(Original::Gone(at));
            }
        }
        // (what was cut off at its own end is no copy: what comes next is new)
        if self.known.gone().iter().any(|position| covers(&mut beginning, position)) {
            return Origin::Read;
        }
        if originals.is_empty() { Origin::None } else { Origin::Of(originals) }
    }

    /// Whether a file that begins with a position's first bytes is an archive that ends before the position: the log was copied,
    /// and what the server wrote until it was truncated was read.
    pub(super) fn is_shorter_archive(found: &Found, position: &Position) -> bool {
        let Ok(mut input) = Input::open(&found.path) else { return false };
        position.is_telling()
            && input.compression() != Compression::None
            && matches!(input.skip_to(0, position.offset()), Ok(false))
    }

    /// Whether a file that begins with a position's first bytes is made of the same content. Bytes without a request, which
    /// other logs may begin with, too, prove nothing: then what was read last must agree as well, as far as can be told.
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
            Original::Open(id) => {
                let given = self.files.extract_if(.., |file| file.reader.file() == id);
                given.for_each(|file| self.known.touch(&file.position()));
            }
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
fn relation(input: &Input, beginning: &Beginning, size: Option<u64>, original: &Tailed) -> Relation {
    let read = original.reader.prefix();
    // (of a heading alone nothing can be told: what comes after it is about to be read)
    let has_only_a_heading = original.reader.newest_ts().is_none() && original.stands_still().is_none();
    if original.reader.consumed() == 0 || read.is_empty() || has_only_a_heading {
        let bytes = beginning.at(0);
        let alike = original.reader.input().look_at(0, bytes.len()).is_ok_and(|begin| begin == bytes);
        return if alike { Relation::Unread } else { Relation::Other };
    }
    if original.reader.newest_ts().is_none() || !alike(read, beginning.at(original.reader.prefix_at())) {
        return Relation::Other;
    }
    match size {
        None => Relation::Copy,
        Some(size) if ends_alike(input, size, original) => {
            if size > original.reader.consumed() && original.stands_still().is_some() {
                Relation::Longer
            } else {
                Relation::Copy
            }
        }
        // Copied and then truncated, since it was looked at last: the next look finds out, and what the copy is of.
        Some(_) if original.has_changed() => Relation::Copy,
        Some(_) => Relation::Other,
    }
}

/// Whether one begins with the other.
fn alike(one: &[u8], other: &[u8]) -> bool {
    let common = one.len().min(other.len());
    common > 0 && one[..common] == other[..common]
}

/// Whether a file of so many bytes agrees with what was read of another one where the shorter of the two ends.
fn ends_alike(input: &Input, size: u64, original: &Tailed) -> bool {
    let end = size.min(original.reader.consumed());
    let length = end.min(HASHED as u64);
    let of = |input: &Input| input.look_at(end - length, usize::try_from(length).unwrap_or(0)).ok();
    let (here, there) = (of(input), of(original.reader.input()));
    here.is_some() && here == there
}
