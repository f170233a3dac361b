//! Cuts a file into blocks of whole lines. A block becomes one buffer that the batch's columns point into.

use std::io;

use memchr::{memchr, memrchr};

use crate::input::{Compression, Input};
use crate::position::HASHED;
use crate::reader::Mode;

/// Bytes read for a block.
pub(crate) const BLOCK: usize = 4 << 20;
/// Bytes of the longest line; what is longer is cut.
pub(crate) const MAX_LINE: usize = 1 << 20;

/// A piece of the file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// Where it begins, in decompressed bytes.
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) kind: Kind,
    /// Whether nothing more can be expected that belongs to these lines.
    pub(crate) is_last: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Whole lines; the last of a file may lack its line end, and so does one that is about to be cut.
    Lines,
    /// The rest of a line that was longer than [`MAX_LINE`].
    LongLine,
    /// A hole: what a writer leaves that goes on at its old place after its file was truncated.
    Nuls,
    /// The line in which an archive breaks off.
    CutShort,
}

/// Reads blocks.
pub(crate) struct Blocks {
    input: Input,
    /// Bytes of a block; a parameter for the tests.
    size: usize,
    mode: Mode,
    /// The beginning of a line whose end was not read yet.
    carry: Vec<u8>,
    /// Bytes of whole lines before that: pieces of one whose last piece was not read yet.
    held: usize,
    /// Where `carry` begins.
    offset: u64,
    /// Whether `offset` lies inside a line that was cut.
    in_long_line: bool,
    /// The last bytes read, as many as are hashed: whether they still stand there tells whether the file was overwritten.
    last: Vec<u8>,
    /// The file was overwritten, and what was read since is of the new content: it was left.
    overwritten: bool,
    /// The error that ended the file, until it is told.
    failed: Option<io::Error>,
    ended: bool,
}

impl Blocks {
    pub(crate) fn new(input: Input, mode: Mode, size: usize) -> Self {
        Self {
            input,
            size,
            mode,
            carry: Vec::new(),
            held: 0,
            offset: 0,
            in_long_line: false,
            last: Vec::new(),
            overwritten: false,
            failed: None,
            ended: false,
        }
    }

    /// Goes on at `offset`, where `input` must stand, behind the bytes `last`.
    pub(crate) fn resume(&mut self, offset: u64, in_long_line: bool, last: &[u8]) {
        self.offset = offset;
        self.in_long_line = in_long_line;
        self.last = last.to_vec();
    }

    /// Whether the file does not hold any more what was read last.
    pub(crate) fn is_overwritten(&self) -> bool {
        self.overwritten || !self.holds(self.input.consumed(), &self.last)
    }

    /// Whether `bytes` stand before `end` in the file. A reading error is no proof of change; the next read tells of it.
    fn holds(&self, end: u64, bytes: &[u8]) -> bool {
        let offset = end.saturating_sub(bytes.len() as u64);
        self.input.look_at(offset, bytes.len()).map_or(true, |now| now == bytes)
    }

    pub(crate) fn input(&self) -> &Input {
        &self.input
    }

    /// For what must happen before the first block.
    pub(crate) fn input_mut(&mut self) -> &mut Input {
        &mut self.input
    }

    /// Whether the next byte belongs to a line that was cut.
    pub(crate) fn in_long_line(&self) -> bool {
        self.in_long_line
    }

    /// Takes back the last lines of the last block, to give them again with what follows.
    pub(crate) fn hold(&mut self, lines: &[u8]) {
        self.held = lines.len();
        self.offset -= lines.len() as u64;
        self.carry.splice(..0, lines.iter().copied());
    }

    /// Bytes of an unfinished last line.
    pub(crate) fn unfinished(&self) -> usize {
        self.carry.len()
    }

    /// The next block; `None` if there is nothing more for now. An error comes once, after all that could be read.
    pub(crate) fn next(&mut self) -> io::Result<Option<Block>> {
        loop {
            let mut bytes = std::mem::take(&mut self.carry);
            let held = std::mem::take(&mut self.held);
            let read = self.read(&mut bytes);
            if self.in_long_line {
                return if bytes.is_empty() { self.end() } else { Ok(Some(self.rest_of_long_line(bytes))) };
            }
            if let Some(end) = memrchr(b'\n', &bytes[held..]) {
                return Ok(Some(self.cut(bytes, held + end + 1, Kind::Lines)));
            }
            if held > 0 {
                // The last line may lack its line end.
                let length = match self.unfinished_line() {
                    _ if bytes.len() - held > MAX_LINE => Some(held),
                    _ if read > 0 => None,
                    Some(Kind::Lines) => Some(bytes.len()),
                    unfinished => unfinished.map(|_| held),
                };
                if let Some(length) = length {
                    return Ok(Some(Block { is_last: true, ..self.cut(bytes, length, Kind::Lines) }));
                }
                (self.carry, self.held) = (bytes, held);
                if read > 0 {
                    continue;
                }
                return self.end();
            }
            let nuls = bytes.iter().take_while(|b| **b == 0).count();
            if nuls > 0 {
                return Ok(Some(self.cut(bytes, nuls, Kind::Nuls)));
            }
            let length = bytes.len();
            if length > MAX_LINE {
                self.in_long_line = true;
                return Ok(Some(self.cut(bytes, length, Kind::Lines)));
            }
            if read > 0 {
                self.carry = bytes;
                continue;
            }
            if length > 0
                && let Some(kind) = self.unfinished_line()
            {
                return Ok(Some(self.cut(bytes, length, kind)));
            }
            self.carry = bytes;
            return self.end();
        }
    }

    /// What a last line without a line end is; `None`: it waits.
    fn unfinished_line(&self) -> Option<Kind> {
        match (self.mode, &self.failed) {
            (Mode::Once, Some(_)) => Some(Kind::CutShort),
            (Mode::Once, None) => Some(Kind::Lines),
            // Perhaps the archive is still being written.
            (Mode::Follow, Some(_)) => None,
            (Mode::Follow, None) => (self.input.compression() != Compression::None).then_some(Kind::Lines),
        }
    }

    fn read(&mut self, bytes: &mut Vec<u8>) -> usize {
        if self.ended {
            return 0;
        }
        let before = bytes.len();
        if let Err(error) = self.input.fill(bytes, self.size) {
            self.failed = Some(error);
            self.ended = true;
        }
        if self.mode == Mode::Follow && self.input.compression() == Compression::None && bytes.len() > before {
            self.check(bytes, before);
        }
        bytes.len() - before
    }

    /// Between two looks at a file it may be truncated and grow beyond where it was read: what was just read does not
    /// follow what was read before then, and is read again with the new content.
    fn check(&mut self, bytes: &mut Vec<u8>, before: usize) {
        let read = &bytes[before..];
        let end = self.input.consumed();
        let newest = &read[read.len().saturating_sub(HASHED)..];
        // What is there no longer was read before the file was overwritten.
        if !self.holds(end - read.len() as u64, &self.last) && self.holds(end, newest) {
            self.overwritten = true;
            self.ended = true;
            bytes.truncate(before);
            return;
        }
        self.last.extend_from_slice(newest);
        self.last.drain(..self.last.len().saturating_sub(HASHED));
    }

    fn end(&mut self) -> io::Result<Option<Block>> {
        self.failed.take().map_or(Ok(None), Err)
    }

    fn rest_of_long_line(&mut self, bytes: Vec<u8>) -> Block {
        let end = memchr(b'\n', &bytes);
        self.in_long_line = end.is_none();
        let length = end.map_or(bytes.len(), |end| end + 1);
        self.cut(bytes, length, Kind::LongLine)
    }

    /// The first `length` bytes as a block; the rest waits.
    fn cut(&mut self, mut bytes: Vec<u8>, length: usize, kind: Kind) -> Block {
        self.carry = bytes[length..].to_vec();
        bytes.truncate(length);
        if bytes.capacity() > 2 * length {
            // A few new lines of a followed file must not hold the memory of a whole block as long as their rows live.
            bytes.shrink_to_fit();
        }
        let offset = self.offset;
        self.offset += length as u64;
        Block { offset, bytes, kind, is_last: false }
    }
}
