//! Collectors cut long lines: Docker at 16 KiB, Kubernetes' runtimes too. The pieces of a line are put together again, for
//! each of the container's two streams by itself, since lines of the other may stand between them.

use std::borrow::Cow;

use bumpalo::Bump;

use super::json_scan::{Members, Value};
use crate::block::MAX_LINE;
use crate::time;

/// What a collector's line holds of the line that was logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    pub(crate) stream: Stream,
    /// Without a line end. It may end in the middle of a character.
    pub(crate) text: &'a [u8],
    /// Whether the line ends with it.
    pub(crate) is_last: bool,
}

/// Whose line it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    fn named(name: &str) -> Option<Self> {
        match name {
            "stdout" => Some(Self::Stdout),
            "stderr" => Some(Self::Stderr),
            _ => None,
        }
    }
}

/// How a collector cuts lines.
#[derive(Clone, Copy)]
pub struct Pieces {
    /// A cheap look at a line: whether it surely holds a whole one, if nothing before it waits for its end.
    pub(super) is_whole: fn(&[u8]) -> bool,
    pub(super) open: for<'a> fn(&'a [u8], &'a Bump) -> Option<Piece<'a>>,
}

/// `{"log":"..","stream":"stdout",..}`; all pieces but the last lack the line end.
pub(super) const DOCKER: Pieces = Pieces { is_whole: docker_is_whole, open: docker };
/// `time stdout P ..`; the last has `F`.
pub(super) const CRI: Pieces = Pieces { is_whole: cri_is_whole, open: cri };

fn docker_is_whole(line: &[u8]) -> bool {
    // (a quote within the text has a backslash, and one before the `n` would be another's second half)
    let Some(end) = memchr::memmem::find(line, br#"\n","stream":""#) else { return false };
    line[..end].iter().rev().take_while(|b| **b == b'\\').count() % 2 == 0
}

fn docker<'a>(line: &'a [u8], arena: &'a Bump) -> Option<Piece<'a>> {
    let mut members = Members::of(std::str::from_utf8(line).ok()?, arena).ok()?;
    let (mut log, mut stream) = (None, None);
    while let Some((key, value)) = members.member().ok()? {
        match (key, value) {
            ("log", Value::Text(text)) => log = Some(text),
            ("stream", Value::Text(name)) => stream = Stream::named(name),
            _ => {}
        }
    }
    let (log, stream) = (log?, stream?);
    let line = log.strip_suffix('\n');
    let text = line.map_or(log, |line| line.strip_suffix('\r').unwrap_or(line));
    Some(Piece { stream, text: text.as_bytes(), is_last: line.is_some() })
}

fn cri_is_whole(line: &[u8]) -> bool {
    memchr::memchr(b' ', line).is_some_and(|end| matches!(line.get(end + 8..end + 10), Some(b"F " | b"F:")))
}

fn cri<'a>(line: &'a [u8], _: &'a Bump) -> Option<Piece<'a>> {
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    time::iso(parts.next()?)?;
    let stream = Stream::named(std::str::from_utf8(parts.next()?).ok()?)?;
    // (tags to come stand behind a colon)
    let is_last = match parts.next()?.split(|byte| *byte == b':').next()? {
        b"F" => true,
        b"P" => false,
        _ => return None,
    };
    Some(Piece { stream, text: parts.next().unwrap_or_default(), is_last })
}

/// Puts the pieces of lines together.
#[derive(Debug, Default)]
pub(crate) struct Joiner {
    stdout: Option<Open>,
    stderr: Option<Open>,
    /// Where the line begins since which some line has been open.
    since: u64,
}

/// A line that waits for its end.
#[derive(Debug, Default)]
pub(crate) struct Open {
    /// Where its first piece stands.
    pub(crate) offset: u64,
    pub(crate) text: Vec<u8>,
    /// How many there are.
    pub(crate) pieces: u64,
}

impl Open {
    pub(crate) fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.text)
    }
}

/// What a line is.
#[derive(Debug)]
pub(crate) enum Taken {
    /// Whole, or none of the collector's: it is read as it stands.
    Whole,
    /// A piece; the rest is to come.
    Waits,
    /// The last piece of this line.
    Line(Open),
}

impl Joiner {
    /// Whether no line is open.
    pub(crate) fn is_empty(&self) -> bool {
        self.stdout.is_none() && self.stderr.is_none()
    }

    /// Takes in the line that stands at `offset`.
    pub(crate) fn take(&mut self, pieces: Pieces, line: &[u8], offset: u64, arena: &Bump) -> Taken {
        if self.is_empty() && (pieces.is_whole)(line) {
            return Taken::Whole;
        }
        let Some(piece) = (pieces.open)(line, arena) else { return Taken::Whole };
        let is_first = self.is_empty();
        let open = match piece.stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        if piece.is_last && open.is_none() {
            return Taken::Whole;
        }
        if is_first {
            self.since = offset;
        }
        let line = open.get_or_insert_with(|| Open { offset, ..Open::default() });
        line.text.extend_from_slice(piece.text);
        line.pieces += 1;
        match open.take_if(|_| piece.is_last) {
            Some(line) => Taken::Line(line),
            None => Taken::Waits,
        }
    }

    /// Whether lines have been open for so long, up to `offset`, that they are not waited for.
    pub(crate) fn is_overdue(&self, offset: u64) -> bool {
        !self.is_empty() && offset.saturating_sub(self.since) > MAX_LINE as u64
    }

    /// Gives up the lines that are open, the first first.
    pub(crate) fn give_up(&mut self) -> Vec<(Stream, Open)> {
        let stdout = self.stdout.take().map(|open| (Stream::Stdout, open));
        let mut open: Vec<_> =
            stdout.into_iter().chain(self.stderr.take().map(|open| (Stream::Stderr, open))).collect();
        open.sort_by_key(|(_, open)| open.offset);
        open
    }
}

/// Streams on which a line was given up: what follows on them up to its last piece is its rest, and no line.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct GivenUp {
    stdout: bool,
    stderr: bool,
}

impl GivenUp {
    pub(crate) fn is_none(self) -> bool {
        self == Self::default()
    }

    pub(crate) fn insert(&mut self, stream: Stream) {
        *self.of(stream) = true;
    }

    /// Those as well.
    pub(crate) fn and(&mut self, more: Self) {
        self.stdout |= more.stdout;
        self.stderr |= more.stderr;
    }

    fn of(&mut self, stream: Stream) -> &mut bool {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    /// Whether a line is such a rest.
    pub(crate) fn takes(&mut self, pieces: Pieces, line: &[u8]) -> bool {
        let arena = Bump::new();
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let Some(piece) = (pieces.open)(line.strip_suffix(b"\r").unwrap_or(line), &arena) else { return false };
        let is_rest = *self.of(piece.stream);
        *self.of(piece.stream) &= !piece.is_last;
        is_rest
    }

    /// How many bytes of `lines` are rests, up to a line that is none.
    pub(crate) fn rests(&mut self, pieces: Pieces, lines: &[u8]) -> usize {
        let is_rest = |line: &&[u8]| !self.is_none() && self.takes(pieces, line);
        lines.split_inclusive(|byte| *byte == b'\n').take_while(is_rest).map(<[u8]>::len).sum()
    }

    /// How many bytes of `lines` are other lines, up to a rest.
    pub(crate) fn others(self, pieces: Pieces, lines: &[u8]) -> usize {
        let is_other = |line: &&[u8]| !{ self }.takes(pieces, line);
        lines.split_inclusive(|byte| *byte == b'\n').take_while(is_other).map(<[u8]>::len).sum()
    }
}
