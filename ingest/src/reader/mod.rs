//! Reads one log file, batch by batch: once from start to end, or followed as it grows.

mod error;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::buffer::Buffer;

use crate::batch::{Batch, Counters, Parser};
use crate::block::{BLOCK, Block, Blocks, Kind};
use crate::formats::{AnyFormat, GivenUp, Heading, named};
use crate::identity::Identity;
use crate::input::{Bomb, Compression, Input};
use crate::position::{FileId, Mismatch, Position, Trail, begin_hash, birth, hash, key};
use crate::probe::Probe;
use crate::reject::RejectReason;
use crate::reread::Reread;
use crate::source::SourceOptions;

pub use error::ReadError;

/// What a file's end means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing follows: a last line without a line end counts.
    Once,
    /// More may be written: such a line waits. (Compressed files do not grow; for them this is `Once`.)
    Follow,
}

/// A block that is being parsed.
struct Current {
    bytes: Buffer,
    /// Where it begins.
    offset: u64,
    /// How much of it was parsed.
    parsed: usize,
    is_last: bool,
}

/// Reads one file.
pub struct LogReader {
    path: PathBuf,
    /// Where the file stands if `path` leads there through links; empty: at `path`.
    real: PathBuf,
    key: String,
    file: FileId,
    generation: u32,
    parser: Arc<Parser>,
    /// What the last returned batch was parsed with: a heading in it is not yet in force.
    parsed_with: Arc<Parser>,
    /// The heading in force.
    heading: Option<String>,
    lateness_us: i64,
    blocks: Blocks,
    /// The block at hand and how much of it was parsed.
    current: Option<Current>,
    /// What follows are rests of lines whose pieces were too many.
    given_up: GivenUp,
    /// Decompressed bytes up to the last returned batch's end.
    offset: u64,
    trail: Trail,
    newest_ts: Option<i64>,
    /// Where the first request stands.
    first_row: Option<u64>,
    /// Lines dated after it are rejected, µs.
    latest: i64,
}

impl LogReader {
    /// Opens a file at its beginning.
    pub fn open(probe: &Probe, options: &SourceOptions, mode: Mode) -> Result<Self, ReadError> {
        Self::open_generation(probe, options, mode, 0)
    }

    /// [`Self::open`] for a file that began anew.
    pub(crate) fn open_generation(
        probe: &Probe,
        options: &SourceOptions,
        mode: Mode,
        generation: u32,
    ) -> Result<Self, ReadError> {
        Self::open_with(&probe.path, known_format(&probe.format, options)?, options, mode, generation, BLOCK)
    }

    /// [`Self::open`] with all that the others leave out.
    fn open_with(
        path: &Path,
        format: AnyFormat,
        options: &SourceOptions,
        mode: Mode,
        generation: u32,
        block: usize,
    ) -> Result<Self, ReadError> {
        let failed = |error| ReadError::Open { path: path.to_owned(), error };
        let input = Input::open(path).map_err(failed)?;
        let metadata = input.metadata().map_err(failed)?;
        let identity = Identity::new(options).map_err(ReadError::Options)?;
        let lateness = options.lateness.unwrap_or(format.default_lateness());
        let source = path.to_string_lossy().into_owned();
        let parser = Arc::new(Parser {
            format,
            identity,
            templates: options.templates.clone(),
            privacy: options.privacy.clone(),
            layer: options.layer.clone(),
            source,
        });
        let is_link = path.is_symlink();
        Ok(Self {
            real: if is_link { path.canonicalize().unwrap_or_default() } else { PathBuf::new() },
            key: key(path, &metadata, generation),
            file: FileId::of(&metadata),
            generation,
            parsed_with: Arc::clone(&parser),
            parser,
            heading: None,
            lateness_us: i64::try_from(lateness.as_micros()).unwrap_or(i64::MAX),
            blocks: Blocks::new(input, mode, block),
            current: None,
            given_up: GivenUp::default(),
            offset: 0,
            trail: Trail::default(),
            newest_ts: None,
            first_row: None,
            latest: i64::MAX,
            path: path.to_owned(),
        })
    }

    /// Goes on where a position was taken, to follow; an error if the file is not the one it was.
    pub fn resume(position: &Position, options: &SourceOptions) -> Result<Self, ReadError> {
        let format = known_format(options.format.as_deref().unwrap_or(&position.format), options)?;
        let (path, generation) = (&position.path, position.generation);
        let mut reader = Self::open_with(path, format, options, Mode::Follow, generation, BLOCK)?;
        reader.go_to(position)?;
        reader.key.clone_from(&position.key);
        if let Some(heading) = &position.heading
            && let Some(Heading::Fields(format)) = reader.parser.format.heading(heading)
        {
            reader.takes_effect(heading.clone(), format);
            reader.parsed_with = Arc::clone(&reader.parser);
        }
        Ok(reader)
    }

    /// Verifies that the file is the position's, and goes there.
    fn go_to(&mut self, position: &Position) -> Result<(), ReadError> {
        let changed = |what| ReadError::Changed { path: position.path.clone(), what };
        let compressed = self.blocks.input().compression() != Compression::None;
        // An archive may be that of the file itself, compressed since; a plain file its copy.
        let same_file = (self.file == position.file() || position.newest_ts.is_some()) && !position.compressed;
        if !(same_file || compressed) {
            return Err(changed("another file has its name"));
        }
        // Where no request was read, only its birth tells a file from the next one with its inode: headings are all alike.
        if position.first_row.is_none() && birth(&self.key) != birth(&position.key) {
            return Err(changed("another file has its inode"));
        }
        let trail = position.verify(self.blocks.input_mut()).map_err(|mismatch| match mismatch {
            Mismatch::Changed(what) => changed(what),
            Mismatch::Unreadable(error) => ReadError::Open { path: position.path.clone(), error },
        })?;
        self.blocks.resume(position.offset, position.in_long_line, trail.tail());
        self.offset = position.offset;
        self.trail = trail;
        self.given_up = position.given_up;
        self.newest_ts = position.newest_ts;
        self.first_row = position.first_row;
        Ok(())
    }

    /// The next lines; `None` if there are none for now. After an error the file has ended.
    pub fn next_batch(&mut self) -> Result<Option<Batch>, ReadError> {
        loop {
            if self.current.is_none() {
                let Some(block) = self.blocks.next().map_err(|error| self.failed(error))? else { return Ok(None) };
                if block.kind != Kind::Lines {
                    return Ok(Some(self.passed_over(&block)));
                }
                let Block { offset, bytes, is_last, .. } = block;
                self.current = Some(Current { bytes: Buffer::from_vec(bytes), offset, parsed: 0, is_last });
            }
            if let Some(batch) = self.parse_current() {
                return Ok(Some(batch));
            }
        }
    }

    /// The next lines of the block at hand; `None` if what is left of it waits for what follows.
    fn parse_current(&mut self) -> Option<Batch> {
        let mut current = self.current.take()?;
        let (start, mut stop) = (current.parsed, current.bytes.len());
        if !self.given_up.is_none()
            && let Some((pieces, _)) = self.parser.format.pieces()
        {
            let rests = self.given_up.rests(pieces, &current.bytes[start..]);
            if rests > 0 {
                return Some(self.pass_over(current, rests));
            }
            stop = start + self.given_up.others(pieces, &current.bytes[start..]);
        }
        let is_last = current.is_last || stop < current.bytes.len();
        let parsed = self.parser.parse(&current.bytes, start..stop, current.offset, is_last);
        let end = start + parsed.length;
        let block = current.bytes.clone();
        self.advance(&block[start..end]);
        self.parsed_with = Arc::clone(&self.parser);
        if let Some((heading, format)) = parsed.heading {
            self.takes_effect(heading, format);
        }
        let offset = current.offset;
        self.given_up.and(parsed.given_up);
        if parsed.rest_waits {
            self.blocks.hold(&block[end..]);
        } else if end < block.len() {
            current.parsed = end;
            self.current = Some(current);
        }
        if parsed.length == 0 {
            return None;
        }
        let mut batch = parsed.batch;
        if newest(&batch) > Some(self.latest) {
            batch.reject_after(self.latest);
        }
        batch.newest_before = self.newest_ts;
        self.newest_ts = self.newest_ts.max(newest(&batch));
        if self.first_row.is_none()
            && let Some(at) = first_offset(&batch)
        {
            self.first_row = Some(at);
            let from = usize::try_from(at.saturating_sub(offset)).unwrap_or(end).min(end);
            self.trail.begins(at, &block[from..end]);
        }
        Some(batch)
    }

    /// Passes over the next bytes of the block at hand.
    fn pass_over(&mut self, mut current: Current, length: usize) -> Batch {
        let (start, end) = (current.parsed, current.parsed + length);
        let (offset, bytes) = (current.offset + start as u64, current.bytes[start..end].to_vec());
        current.parsed = end;
        let is_last = current.is_last;
        self.current = Some(current).filter(|current| end < current.bytes.len());
        self.passed_over(&Block { offset, bytes, kind: Kind::LongLine, is_last })
    }

    /// A block that holds no lines.
    fn passed_over(&mut self, block: &Block) -> Batch {
        let bytes = block.bytes.len() as u64;
        let mut batch = Batch::empty();
        match block.kind {
            Kind::LongLine => batch.counters = Counters { cut_bytes: bytes, ..Counters::default() },
            Kind::Nuls => batch.counters = Counters { nul_bytes: bytes, ..Counters::default() },
            Kind::Lines | Kind::CutShort => {
                batch.lines = 1;
                batch.rejects.push(self.parser.reject(block.offset, RejectReason::CutShort, &block.bytes));
            }
        }
        batch.offset = block.offset;
        batch.bytes = bytes;
        batch.newest_before = self.newest_ts;
        self.advance(&block.bytes);
        batch
    }

    /// From now on, lines are read as a heading says.
    fn takes_effect(&mut self, heading: String, format: AnyFormat) {
        self.heading = Some(heading);
        self.parser = Arc::new(Parser { format, ..(*self.parser).clone() });
    }

    fn advance(&mut self, bytes: &[u8]) {
        self.trail.extend(bytes);
        self.offset += bytes.len() as u64;
    }

    fn failed(&self, error: io::Error) -> ReadError {
        let (path, consumed) = (self.path.clone(), self.consumed());
        if self.blocks.input().compression() == Compression::None {
            return ReadError::Read { path, consumed, error };
        }
        match error.kind() {
            _ if error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Bomb>) => {
                ReadError::Bomb { path, consumed, error }
            }
            io::ErrorKind::UnexpectedEof => ReadError::Truncated { path, consumed },
            _ => ReadError::Damaged { path, consumed, error },
        }
    }

    /// Lines dated after `latest` (µs) are rejected from now on.
    pub(crate) fn reject_after(&mut self, latest: i64) {
        self.latest = latest;
    }

    /// The first bytes of the first request and what follows it that were read, as many as are hashed for the position.
    pub(crate) fn prefix(&self) -> &[u8] {
        self.trail.prefix()
    }

    /// Where they stand.
    pub(crate) fn prefix_at(&self) -> u64 {
        self.trail.prefix_at()
    }

    /// Where the last returned batch ended.
    pub fn position(&self) -> Position {
        let (prefix, tail) = (self.trail.prefix(), self.trail.tail());
        Position {
            key: self.key.clone(),
            path: self.path.clone(),
            real: self.real.clone(),
            dev: self.file.dev,
            ino: self.file.ino,
            generation: self.generation,
            compressed: self.blocks.input().compression() != Compression::None,
            offset: self.offset,
            in_long_line: self.current.is_none() && self.blocks.in_long_line(),
            given_up: self.given_up,
            prefix_at: self.trail.prefix_at(),
            prefix_len: u32::try_from(prefix.len()).unwrap_or(0),
            prefix_hash: hash(prefix),
            begin_hash: begin_hash(prefix).unwrap_or(0),
            line_ends: self.trail.line_ends(),
            tail_len: u32::try_from(tail.len()).unwrap_or(0),
            tail_hash: hash(tail),
            passed_over: 0,
            finished: false,
            overwritten: false,
            format: self.format().to_owned(),
            heading: self.heading.clone(),
            newest_ts: self.newest_ts,
            first_row: self.first_row,
        }
    }

    /// A way to read what was read again.
    pub fn reread(&self) -> Reread {
        Reread::new(&self.path, self.blocks.input(), &self.parsed_with)
    }

    /// The file's key, as in [`crate::TailBatch`].
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The format's name.
    pub fn format(&self) -> &str {
        self.parser.format.name()
    }

    /// How far a line may lie behind the newest, in µs.
    pub fn lateness_us(&self) -> i64 {
        self.lateness_us
    }

    /// The newest timestamp of the batches returned so far, in µs.
    pub fn newest_ts(&self) -> Option<i64> {
        self.newest_ts
    }

    /// Bytes on disk read so far, for a progress bar.
    pub fn consumed(&self) -> u64 {
        self.blocks.input().consumed()
    }

    /// Whether lines that were read are still to be returned.
    pub(crate) fn has_pending(&self) -> bool {
        self.current.is_some()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file has another name now; `real`: where it stands, if not there.
    pub(crate) fn renamed(&mut self, path: &Path, real: PathBuf) {
        path.clone_into(&mut self.path);
        self.real = real;
        let parser = Parser { source: path.to_string_lossy().into_owned(), ..(*self.parser).clone() };
        self.parser = Arc::new(parser);
    }

    pub(crate) fn file(&self) -> FileId {
        self.file
    }

    /// This is not the file that the position was taken of, but one that was made of it.
    pub(crate) fn is_another(&mut self, generation: u32) {
        if let Ok(metadata) = self.input().metadata() {
            self.key = key(&self.path, &metadata, generation);
            self.generation = generation;
        }
    }

    pub(crate) fn input(&self) -> &Input {
        self.blocks.input()
    }

    /// Whether the file does not hold any more what was read last.
    pub(crate) fn is_overwritten(&self) -> bool {
        self.blocks.is_overwritten()
    }

    /// Bytes of a last line that still lacks its end.
    pub(crate) fn unfinished(&self) -> usize {
        self.blocks.unfinished()
    }
}

fn known_format(name: &str, options: &SourceOptions) -> Result<AnyFormat, ReadError> {
    named(name, options).map_err(ReadError::Options)
}

fn first_offset(batch: &Batch) -> Option<u64> {
    use arrow::array::{AsArray, UInt64Array};
    let offsets: &UInt64Array = batch.rows.column(crate::table::columns::OFFSET).as_primitive();
    offsets.values().first().copied()
}

fn newest(batch: &Batch) -> Option<i64> {
    use arrow::array::{AsArray, TimestampMicrosecondArray};
    let ts: &TimestampMicrosecondArray = batch.rows.column(crate::table::columns::TS).as_primitive();
    ts.values().iter().copied().max()
}

#[cfg(test)]
mod cut_tests;
#[cfg(test)]
mod tests;
