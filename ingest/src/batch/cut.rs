//! Lines that a collector may have cut, on their way: pieces are put together before anything else is done with them, so that
//! a secret that stands across the cut is found.

use bumpalo::Bump;

use super::Lines;
use crate::block::MAX_LINE;
use crate::formats::{AnyFormat, GivenUp, Joiner, Open, Pieces, Taken};
use crate::reject::{Reject, RejectReason};
use crate::row::Row;

pub(super) struct CutLines<'p> {
    pub(super) pieces: Pieces,
    /// The format of lines that were put together.
    pub(super) inner: &'p AnyFormat,
    pub(super) joiner: Joiner,
    /// Bytes after which no line was open.
    pub(super) clean: usize,
}

impl CutLines<'_> {
    /// Where parsing has to stop because lines were given up, whose rests are to be passed over.
    pub(super) fn parse<'a>(
        &mut self,
        lines: &mut Lines<'_>,
        bytes: &'a [u8],
        ends: &[usize],
        offset: u64,
        row: &mut Row<'a>,
    ) -> Option<(usize, GivenUp)> {
        let mut start = 0;
        for &end in ends {
            let line = &bytes[start..end];
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            let at = offset + start as u64;
            if self.joiner.is_overdue(offset + end as u64) {
                let mut given_up = self.give_up(lines);
                self.clean = start;
                if !given_up.takes(self.pieces, text) {
                    return Some((start, given_up));
                }
                lines.counters.pieces += 1;
                (self.clean, start) = (end, end);
                if given_up.is_none() {
                    continue;
                }
                return Some((end, given_up));
            }
            let is_long = text.len() > MAX_LINE;
            match if is_long { Taken::Whole } else { self.joiner.take(self.pieces, text, at, row.arena) } {
                Taken::Waits => {}
                Taken::Line(line) => {
                    lines.counters.pieces += line.pieces - 1;
                    let text = lines.put_together(&line, row.arena);
                    lines.line(text, at, row, Some(self.inner));
                }
                Taken::Whole => {
                    let text = lines.text(line, row.arena);
                    let text = lines.scrubber.line(text, start..end, row.arena);
                    lines.line(text, at, row, None);
                }
            }
            if self.joiner.is_empty() {
                self.clean = end;
            }
            start = end;
        }
        None
    }

    /// Makes rejects of the lines that are open.
    pub(super) fn give_up(&mut self, lines: &mut Lines<'_>) -> GivenUp {
        let mut given_up = GivenUp::default();
        for (stream, line) in self.joiner.give_up() {
            given_up.insert(stream);
            lines.counters.pieces += line.pieces - 1;
            let arena = Bump::new();
            let text = lines.put_together(&line, &arena);
            lines.rejects.push(Reject::new(line.offset, RejectReason::Piece, text.as_bytes()));
        }
        given_up
    }
}

impl Lines<'_> {
    fn put_together<'a>(&mut self, line: &Open, arena: &'a Bump) -> &'a str {
        let text = self.text(arena.alloc_slice_copy(&line.text), arena);
        self.scrubber.alone(text, arena)
    }
}
