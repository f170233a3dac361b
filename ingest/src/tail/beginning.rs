//! What a file holds where others have their first requests: by that, a copy is known.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::input::{Compression, Input};
use crate::position::{HASHED, Position, begin_hash, hash};

/// A file's bytes at some places, as many as positions hash, and the hashes of so many of them.
pub(super) struct Beginning {
    places: BTreeMap<u64, Vec<u8>>,
    hashes: HashMap<(u64, usize), Option<u64>>,
    is_whole: bool,
}

impl Beginning {
    /// Reads the bytes at `places`, and those at the start. Of `input` nothing must have been read.
    pub(super) fn read(input: &mut Input, mut places: BTreeSet<u64>) -> Self {
        places.insert(0);
        let mut read = Self { places: BTreeMap::new(), hashes: HashMap::new(), is_whole: true };
        if input.compression() == Compression::None {
            let at = |at: u64| (at, input.look_at(at, HASHED).unwrap_or_default());
            read.places = places.into_iter().map(at).collect();
        } else {
            read.is_whole = read.unpack(input, &places).is_ok();
        }
        read
    }

    /// In one pass. An error: the archive breaks off or is damaged.
    fn unpack(&mut self, input: &mut Input, places: &BTreeSet<u64>) -> std::io::Result<()> {
        // The last bytes that were read, and where they end.
        let (mut last, mut end) = (Vec::new(), 0);
        for &place in places {
            let known = usize::try_from(end - place.min(end)).unwrap_or(0).min(last.len());
            if place > end {
                if !input.skip_to(end, place)? {
                    break;
                }
                end = place;
            }
            last.drain(..last.len() - known);
            let before = last.len();
            let result = input.fill(&mut last, HASHED - before);
            end += (last.len() - before) as u64;
            self.places.insert(place, last.clone());
            result?;
        }
        Ok(())
    }

    /// Whether there is nothing at all.
    pub(super) fn is_empty(&self) -> bool {
        self.at(0).is_empty()
    }

    /// Whether no more is there than shows at a place; of an archive that breaks off, no more yet.
    pub(super) fn shows_all(&self, place: u64) -> bool {
        !self.is_whole || self.at(place).len() < HASHED
    }

    /// The bytes at a place; fewer than are hashed if the file ends before.
    pub(super) fn at(&self, place: u64) -> &[u8] {
        self.places.get(&place).map_or(&[], Vec::as_slice)
    }

    /// As a position has it that is of a file with these bytes at a place.
    pub(super) fn begin_hash(&self, place: u64) -> Option<u64> {
        begin_hash(self.at(place))
    }

    fn hash(&mut self, place: u64, length: usize) -> Option<u64> {
        let bytes = self.places.get(&place);
        let compute = || bytes.and_then(|bytes| bytes.get(..length)).map(hash);
        *self.hashes.entry((place, length)).or_insert_with(compute)
    }

    /// Whether the file has the first bytes that a position is of.
    pub(super) fn is_of(&mut self, position: &Position) -> bool {
        !position.compressed
            && position.newest_ts.is_some()
            && self.hash(position.prefix_at, position.prefix_len as usize) == Some(position.prefix_hash)
    }

    /// Whether the file is the beginning of what was read up to a position. `size`: of a file that is not compressed.
    pub(super) fn is_covered_by(&mut self, position: &Position, size: Option<u64>) -> bool {
        let place = position.prefix_at;
        let size = size.unwrap_or(place + self.at(place).len() as u64);
        if size >= position.offset() {
            return false;
        }
        let Some((length, known)) = position.known_beginning(self.at(place)) else { return false };
        self.hash(place, length) == Some(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    /// Whatever the places are, and whether they overlap, an archive shows what the file does.
    #[test]
    fn an_archive_shows_what_it_was_made_of() {
        let content: Vec<u8> = (0..9_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let folder = tempfile::TempDir::new().expect("a folder");
        let (plain, archive) = (folder.path().join("plain"), folder.path().join("archive"));
        std::fs::write(&plain, &content).expect("writes");
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let packed = encoder.write_all(&content).and_then(|()| encoder.finish()).expect("memory");
        std::fs::write(&archive, packed).expect("writes");
        for places in [vec![], vec![1], vec![500, 700, 1_023], vec![1_024, 4_000, 4_100], vec![8_500, 9_000, 20_000]] {
            let read = |path| Beginning::read(&mut Input::open(path).expect("opens"), places.iter().copied().collect());
            let (here, there) = (read(&plain), read(&archive));
            for place in places.iter().copied().chain([0]) {
                let end = content.len().min(usize::try_from(place).expect("small") + HASHED);
                let expected = content.get(usize::try_from(place).expect("small")..end).unwrap_or_default();
                assert_eq!(here.at(place), expected, "{place}");
                assert_eq!(there.at(place), expected, "{place} of {places:?}");
            }
            assert!(there.is_whole);
        }
    }
}
