//! From a block of lines to a batch of rows and rejects.

mod cut;

use std::ops::{AddAssign, Range};
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::buffer::Buffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::{TimestampMicrosecondType, UInt64Type};
use bumpalo::Bump;

use crate::block::MAX_LINE;
use crate::formats::{AnyFormat, GivenUp, Heading, Joiner, MAX_HEADING};
use crate::identity::Identity;
use crate::layer::Layer;
use crate::privacy::{Privacy, Scrubber};
use crate::reject::{Reject, RejectReason};
use crate::requests::RequestBuilder;
use crate::route::Templates;
use crate::row::Row;
use crate::table::columns;
use cut::CutLines;

/// Lines of the largest batch: bounds what a file of very short lines costs.
const MAX_LINES: usize = 16_384;
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// What came of some lines of a file, in their order.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Rows of [`crate::table::schema`]; there may be none.
    pub rows: RecordBatch,
    /// Lines that are no rows.
    pub rejects: Vec<Reject>,
    /// Where its lines begin in the (decompressed) file, in bytes.
    pub offset: u64,
    /// Lines read: rows, rejects and blank lines.
    pub lines: u64,
    /// Decompressed bytes read.
    pub bytes: u64,
    /// The reader's newest timestamp before this batch, in µs.
    pub newest_before: Option<i64>,
    /// What was changed or passed over.
    pub counters: Counters,
}

impl Batch {
    /// A batch without lines.
    pub(crate) fn empty() -> Self {
        Self {
            rows: RecordBatch::new_empty(crate::table::schema()),
            rejects: Vec::new(),
            offset: 0,
            lines: 0,
            bytes: 0,
            newest_before: None,
            counters: Counters::default(),
        }
    }
}

impl Batch {
    /// Leaves out the lines that begin before `offset`.
    pub(crate) fn pass_over(&mut self, offset: u64) {
        let offsets = self.rows.column(columns::OFFSET).as_primitive::<UInt64Type>();
        let kept: BooleanArray = offsets.values().iter().map(|&at| Some(at >= offset)).collect();
        self.rows = filter_record_batch(&self.rows, &kept).expect("the mask has the rows' length");
        self.rejects.retain(|reject| reject.offset >= offset);
        self.lines = (self.rows.num_rows() + self.rejects.len()) as u64;
    }

    /// Makes rejects of the rows that are dated after `latest`, µs.
    pub(crate) fn reject_after(&mut self, latest: i64) {
        let ts = self.rows.column(columns::TS).as_primitive::<TimestampMicrosecondType>();
        let kept: BooleanArray = ts.values().iter().map(|&ts| Some(ts <= latest)).collect();
        let raw = self.rows.column(columns::RAW).as_string_view();
        let offsets = self.rows.column(columns::OFFSET).as_primitive::<UInt64Type>();
        let rejected = (0..kept.len()).filter(|&row| !kept.value(row));
        self.rejects.extend(
            rejected.map(|row| Reject::new(offsets.value(row), RejectReason::FarAhead, raw.value(row).as_bytes())),
        );
        self.rejects.sort_by_key(|reject| reject.offset);
        self.rows = filter_record_batch(&self.rows, &kept).expect("the mask has the rows' length");
    }
}

/// What was changed or passed over while reading, so that nothing is lost in silence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Lines without a character.
    pub blank_lines: u64,
    /// Lines that belong to the format but are no requests: headings and comments.
    pub heading_lines: u64,
    /// Lines that a collector cut off a longer one: they are in its row or reject.
    pub pieces: u64,
    /// Requests that another layer logs, too, whose rows count for their host.
    pub other_layer: u64,
    /// Lines with bytes that are not UTF-8; each stands as U+FFFD in the row.
    pub invalid_utf8_lines: u64,
    /// Lines cut at 1 MiB.
    pub long_lines: u64,
    /// Bytes of those that were passed over.
    pub cut_bytes: u64,
    /// NUL bytes before a line: the hole that a truncated file's writer leaves.
    pub nul_bytes: u64,
    /// Byte order marks at the beginning of a file.
    pub byte_order_marks: u64,
}

impl AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.blank_lines += other.blank_lines;
        self.heading_lines += other.heading_lines;
        self.pieces += other.pieces;
        self.other_layer += other.other_layer;
        self.invalid_utf8_lines += other.invalid_utf8_lines;
        self.long_lines += other.long_lines;
        self.cut_bytes += other.cut_bytes;
        self.nul_bytes += other.nul_bytes;
        self.byte_order_marks += other.byte_order_marks;
    }
}

/// What lines are parsed with.
#[derive(Clone)]
pub(crate) struct Parser {
    pub(crate) format: AnyFormat,
    pub(crate) identity: Identity,
    pub(crate) templates: Option<Arc<Templates>>,
    pub(crate) privacy: Option<Arc<Privacy>>,
    pub(crate) layer: Option<Arc<Layer>>,
    /// The file's name, for column `source`.
    pub(crate) source: String,
}

/// What came of [`Parser::parse`], and how many bytes of the block it covers.
pub(crate) struct Parsed {
    pub(crate) batch: Batch,
    pub(crate) length: usize,
    /// The last heading in them, and the format that it makes of the parser's.
    pub(crate) heading: Option<(String, AnyFormat)>,
    /// The rest of the block is pieces of lines whose end may follow.
    pub(crate) rest_waits: bool,
    /// Lines that were given up, whose rests follow: they must be passed over.
    pub(crate) given_up: GivenUp,
}

impl Parser {
    /// A reject of bytes that were not parsed.
    pub(crate) fn reject(&self, offset: u64, reason: RejectReason, line: &[u8]) -> Reject {
        Reject::new(offset, reason, self.privacy.as_ref().map_or(line.into(), |privacy| privacy.bytes(line)).as_ref())
    }

    /// Parses lines in a stretch of `block`: all, or as many as fit a batch. The block begins at `offset`. Lines that a
    /// collector cut, and whose end is not there, are left out (`rest_waits`), unless no more is to come (`is_last`).
    pub(crate) fn parse(&self, block: &Buffer, stretch: Range<usize>, offset: u64, is_last: bool) -> Parsed {
        let Range { start, mut end } = stretch;
        let (mut max_lines, mut rest_waits) = (MAX_LINES, false);
        loop {
            let (parsed, clean) = self.parse_lines(block, start..end, offset, max_lines, false);
            let Some(clean) = clean else { return Parsed { rest_waits, ..parsed } };
            let at_end = start + parsed.length == end;
            if clean == 0 && !at_end {
                max_lines *= 2; // what stands between the pieces fills a batch
            } else if at_end && is_last {
                return self.parse_lines(block, start..end, offset, max_lines, true).0;
            } else if clean == 0 {
                return Parsed {
                    batch: Batch::empty(),
                    length: 0,
                    heading: None,
                    rest_waits: true,
                    given_up: parsed.given_up,
                };
            } else {
                (end, rest_waits) = (start + clean, at_end);
            }
        }
    }

    /// Parses the lines in a stretch of `block`; also how many bytes of it have nothing to do with lines that are still open at
    /// its end, if there are such lines and they are not to be given up (`close`).
    fn parse_lines(
        &self,
        block: &Buffer,
        stretch: Range<usize>,
        offset: u64,
        max_lines: usize,
        close: bool,
    ) -> (Parsed, Option<usize>) {
        let start = stretch.start;
        let rest = &block[stretch];
        let mut ends: Vec<usize> = memchr::memchr_iter(b'\n', rest).take(max_lines).map(|end| end + 1).collect();
        let unterminated = ends.len() < max_lines && ends.last().copied().unwrap_or(0) < rest.len();
        if unterminated {
            ends.push(rest.len());
        }
        let mut length = ends.last().copied().unwrap_or(0);
        let bytes = &rest[..length];
        let offset = offset + start as u64;
        let mut lines = Lines {
            format: &self.format,
            heading: None,
            layer: self.layer.as_deref(),
            scrubber: Scrubber::new(self.privacy.as_deref(), bytes),
            builder: RequestBuilder::new(block.clone(), ends.len(), &self.identity, self.templates.as_deref()),
            rejects: Vec::new(),
            counters: Counters::default(),
        };
        let arena = Bump::new();
        let mut row = Row::new(&arena);
        let (mut clean, mut given_up) = (None, GivenUp::default());
        match (self.format.pieces(), simdutf8::basic::from_utf8(bytes)) {
            (Some((pieces, inner)), _) => {
                let mut cut = CutLines { pieces, inner, joiner: Joiner::default(), clean: 0 };
                if let Some((end, streams)) = cut.parse(&mut lines, bytes, &ends, offset, &mut row) {
                    ends.truncate(ends.partition_point(|at| *at <= end));
                    (length, given_up) = (end, streams);
                } else if close {
                    given_up = cut.give_up(&mut lines);
                }
                clean = Some(cut.clean).filter(|_| !cut.joiner.is_empty());
                lines.rejects.sort_by_key(|reject| reject.offset);
            }
            (None, Ok(text)) => lines.valid(text, &ends, offset, &mut row),
            (None, Err(_)) => lines.invalid(bytes, &ends, offset, &mut row),
        }
        let heading = lines.heading;
        let batch = Batch {
            rows: lines.builder.finish(&self.source),
            rejects: lines.rejects,
            offset,
            lines: ends.len() as u64,
            bytes: length as u64,
            newest_before: None,
            counters: lines.counters,
        };
        (Parsed { batch, length, heading, rest_waits: false, given_up }, clean)
    }
}

/// A batch's lines on their way.
struct Lines<'p> {
    format: &'p AnyFormat,
    /// The heading in force, if it stands among these lines.
    heading: Option<(String, AnyFormat)>,
    layer: Option<&'p Layer>,
    scrubber: Scrubber<'p>,
    builder: RequestBuilder<'p>,
    rejects: Vec<Reject>,
    counters: Counters,
}

impl Lines<'_> {
    fn valid<'a>(&mut self, text: &'a str, ends: &[usize], offset: u64, row: &mut Row<'a>) {
        let mut start = 0;
        for &end in ends {
            let line = self.scrubber.line(&text[start..end], start..end, row.arena);
            self.line(line, offset + start as u64, row, None);
            start = end;
        }
    }

    /// Somewhere a byte is not UTF-8: line by line, so that only the lines concerned are copied.
    fn invalid<'a>(&mut self, bytes: &'a [u8], ends: &[usize], offset: u64, row: &mut Row<'a>) {
        let mut start = 0;
        for &end in ends {
            let line = self.text(&bytes[start..end], row.arena);
            let line = self.scrubber.line(line, start..end, row.arena);
            self.line(line, offset + start as u64, row, None);
            start = end;
        }
    }

    fn text<'a>(&mut self, bytes: &'a [u8], arena: &'a Bump) -> &'a str {
        simdutf8::basic::from_utf8(bytes).unwrap_or_else(|_| {
            self.counters.invalid_utf8_lines += 1;
            arena.alloc_str(&String::from_utf8_lossy(bytes))
        })
    }

    /// A line in the parser's format, or in `inner`.
    #[inline]
    fn line<'a>(&mut self, line: &'a str, mut offset: u64, row: &mut Row<'a>, inner: Option<&AnyFormat>) {
        let mut line = line.strip_suffix('\n').unwrap_or(line);
        line = line.strip_suffix('\r').unwrap_or(line);
        if offset == 0
            && let Some(rest) = line.strip_prefix(BYTE_ORDER_MARK)
        {
            self.counters.byte_order_marks += 1;
            offset += BYTE_ORDER_MARK.len() as u64;
            line = rest;
        }
        if line.starts_with('\0') {
            let rest = line.trim_start_matches('\0');
            let nuls = (line.len() - rest.len()) as u64;
            self.counters.nul_bytes += nuls;
            offset += nuls;
            line = rest;
        }
        if line.is_empty() {
            self.counters.blank_lines += 1;
            return;
        }
        if line.len() > MAX_LINE {
            let kept = &line[..line.floor_char_boundary(MAX_LINE)];
            self.counters.long_lines += 1;
            self.counters.cut_bytes += (line.len() - kept.len()) as u64;
            line = kept;
        }
        row.clear();
        let format = inner.unwrap_or_else(|| self.heading.as_ref().map_or(self.format, |(_, format)| format));
        match format.parse(line, row) {
            Ok(()) if self.layer.is_some_and(|layer| !layer.counts(row.text.host)) => {
                self.counters.other_layer += 1;
            }
            Ok(()) => self.builder.push(row, line, offset),
            Err(reason) => self.no_row(offset, reason, line),
        }
    }

    #[cold]
    fn no_row(&mut self, offset: u64, reason: RejectReason, line: &str) {
        let format = self.heading.as_ref().map_or(self.format, |(_, format)| format);
        match format.heading(line) {
            None => self.rejects.push(Reject::new(offset, reason, line.as_bytes())),
            Some(heading) => {
                self.counters.heading_lines += 1;
                if let Heading::Fields(format) = heading {
                    let kept = &line[..line.floor_char_boundary(MAX_HEADING)];
                    self.heading = Some((kept.to_owned(), format));
                }
            }
        }
    }
}
