//! Detects a file's format by evidence: the format that explains its first lines best.
//!
//! A line that a format parses is worth one point, one of which it knows every field two: `common` parses what `combined`
//! does, with fields left over. Lines that were cut, and a few of another layout, must not decide; so among formats of
//! about as many points the one that leaves fewest fields over is taken.

use std::cmp::Reverse;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bumpalo::Bump;

use crate::block::MAX_LINE;
use crate::discover::describe;
use crate::formats::{AnyFormat, Heading, Joiner, Taken, WRAPPERS, Wrapper, candidates, named, wrapped};
use crate::hint::hint;
use crate::input::{Compression, Input};
use crate::reader::Mode;
use crate::reject::{RejectReason, excerpt};
use crate::row::Row;
use crate::source::SourceOptions;

/// Lines that are looked at.
const LINES: usize = 100;
/// Bytes of lines that are looked at; more only if fewer lines end in them.
const BYTES: usize = 64 * 1024;
/// Bytes that are read for them, if a line ends there: behind lines that are too long others may come that tell more.
const READ: usize = 16 << 20;
/// A format must parse one line in this many. Formats are too particular to fit by chance, and what starts a server
/// writes other lines first.
const ONE_IN: u32 = 10;

/// What the first lines of a file tell about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The file.
    pub path: PathBuf,
    /// The format's name.
    pub format: String,
    /// How it is compressed.
    pub compression: Compression,
    /// Bytes on disk.
    pub size: u64,
    /// The first parsed line's timestamp, in µs.
    pub first_ts: i64,
    /// How far lines of this format may lie behind the newest, where the options do not say it.
    pub default_lateness: Duration,
    /// How well each format fits, the best first.
    pub scores: Vec<Score>,
}

/// How well a format fits the first lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Score {
    /// The format's name.
    pub format: String,
    /// Lines looked at.
    pub lines: u32,
    /// Lines it parses.
    pub parsed: u32,
    /// Lines of these in which it knows every field.
    pub exact: u32,
    /// Fields in the others that it does not know.
    pub unknown: u32,
    /// Why it does not parse the first of the others.
    pub reason: Option<RejectReason>,
}

impl Score {
    fn points(&self) -> u32 {
        self.parsed + self.exact
    }

    /// Fields left over per line, in thousandths.
    fn left_over(&self) -> u32 {
        self.unknown.saturating_mul(1000) / self.parsed.max(1)
    }
}

/// Why a file's format is not known. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// It cannot be read.
    #[error("{}: cannot be read: {}; is it there, and readable for this user?", path.display(), describe(error))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It has no lines.
    #[error("{}: is empty; nothing to do until something is logged", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// It is no text.
    #[error("{}: is binary, not a log of lines; {}", path.display(), hint.unwrap_or("leave it out"))]
    Binary {
        /// The file.
        path: PathBuf,
        /// What it is, and what to do.
        hint: Option<&'static str>,
    },
    /// An archive ends or breaks before its first line does.
    #[error("{}: the archive breaks off before its first line ends ({error}); copy the file again", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// What the decoder says.
        error: io::Error,
    },
    /// No format fits.
    #[error("{}: its format is unknown: {}. It begins: {sample}{}", path.display(), why(*hint, scores), otherwise(*hint))]
    Unknown {
        /// The file.
        path: PathBuf,
        /// How the formats fit.
        scores: Vec<Score>,
        /// The first line, shortened and escaped.
        sample: String,
        /// What it is, and what to do.
        hint: Option<&'static str>,
    },
    /// The format that the options name does not fit.
    #[error(
        "{}: is not in the configured format: {}. It begins: {sample}; correct `format` for its source, or leave it out",
        path.display(), tried(scores)
    )]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// How the format fits.
        scores: Vec<Score>,
        /// The first line, shortened and escaped.
        sample: String,
    },
    /// The format that the options ask for does not exist, or the one they describe cannot be.
    #[error("{0}")]
    Options(String),
}

fn why(hint: Option<&str>, scores: &[Score]) -> String {
    hint.map_or_else(|| tried(scores), str::to_owned)
}

fn otherwise(hint: Option<&str>) -> &'static str {
    if hint.is_some() { "" } else { "; if it is an access log, set `format` for its source" }
}

/// Formats that an error message speaks of.
const TRIED: usize = 3;

fn tried(scores: &[Score]) -> String {
    let tried: Vec<_> = scores
        .iter()
        .take(TRIED)
        .map(|score| {
            let reason = score.reason.map_or(String::new(), |reason| format!(" ({reason})"));
            format!("{} parses {} of {} lines{reason}", score.format, score.parsed, score.lines)
        })
        .collect();
    let others = scores.len().saturating_sub(TRIED);
    tried.join(", ") + &if others > 0 { format!(", {others} others do no better") } else { String::new() }
}

/// Detects a file's format, or checks that it can be the one that the options name.
pub fn probe(path: &Path, options: &SourceOptions) -> Result<Probe, ProbeError> {
    probe_as(path, options, Mode::Once)
}

/// Detects the format of what stands in a file from byte `offset` (decompressed) on: where its format seems to change.
pub fn probe_at(path: &Path, offset: u64, options: &SourceOptions) -> Result<Probe, ProbeError> {
    probe_from(path, offset, options, Mode::Once)
}

/// [`probe`]; in a file that is followed, a last line without a line end does not count yet.
pub(crate) fn probe_as(path: &Path, options: &SourceOptions, mode: Mode) -> Result<Probe, ProbeError> {
    probe_from(path, 0, options, mode)
}

fn probe_from(path: &Path, offset: u64, options: &SourceOptions, mode: Mode) -> Result<Probe, ProbeError> {
    let candidates = candidates(options).map_err(ProbeError::Options)?;
    let is_given = options.format.is_some();
    let unreadable = |error| ProbeError::Unreadable { path: path.to_owned(), error };
    let mut input = Input::open(path).map_err(unreadable)?;
    let size = input.metadata().map_err(unreadable)?.len();
    let compression = input.compression();
    input.skip_to(0, offset).map_err(unreadable)?;
    let head = head(&mut input).map_err(|error| match compression {
        Compression::None => unreadable(error),
        _ => ProbeError::Truncated { path: path.to_owned(), error },
    })?;
    let text = String::from_utf8_lossy(&head);
    let last_line_counts = mode == Mode::Once || compression != Compression::None;
    let lines: Vec<&str> = lines(&text, last_line_counts).take(LINES).collect();
    let Some(first) = lines.first() else { return Err(ProbeError::Empty { path: path.to_owned() }) };

    let mut fits: Vec<_> = candidates.iter().map(|format| fit(format, &lines)).collect();
    for wrapper in WRAPPERS.iter().filter(|_| !is_given) {
        let arena = Bump::new();
        let opened = lines.iter().filter(|line| is_wrapped(wrapper, line, &arena)).count();
        if opened * ONE_IN as usize >= lines.len() {
            fits.extend(candidates.iter().map(|format| fit(&wrapped(*wrapper, format.clone()), &lines)));
        }
    }
    if fits.iter().any(|(score, _)| score.lines == 0) {
        return Err(ProbeError::Empty { path: path.to_owned() }); // but for headings
    }
    let most = fits.iter().map(|(score, _)| score.points()).max().unwrap_or(0);
    let close = |score: &Score| score.points() * 10 >= most * 9;
    fits.sort_by_key(|(score, _)| {
        let left_over = if close(score) { score.left_over() } else { u32::MAX };
        (left_over, Reverse(score.points()))
    });
    let sample = || {
        let first = first.as_bytes();
        excerpt(&options.privacy.as_ref().map_or(first.into(), |privacy| privacy.bytes(first)))
    };
    let best = fits.first().and_then(|(score, first_ts)| Some((score.clone(), (*first_ts)?)));
    let scores: Vec<_> = fits.into_iter().map(|(score, _)| score).collect();
    match best {
        Some((score, first_ts)) if is_given || score.parsed * ONE_IN >= score.lines => {
            let default_lateness = named(&score.format, options).map_err(ProbeError::Options)?.default_lateness();
            let (path, format) = (path.to_owned(), score.format);
            Ok(Probe { path, format, compression, size, first_ts, default_lateness, scores })
        }
        _ if is_binary(&head) => Err(ProbeError::Binary { path: path.to_owned(), hint: hint(&head) }),
        _ if is_given => Err(ProbeError::OtherFormat { path: path.to_owned(), scores, sample: sample() }),
        _ => Err(ProbeError::Unknown { path: path.to_owned(), scores, sample: sample(), hint: hint(&head) }),
    }
}

/// The first bytes: as many as are looked at, and on until as much of that is whole lines. Holes and lines that are too long
/// to be read are left out, unless there are no others. An error only if there is nothing.
fn head(input: &mut Input) -> io::Result<Vec<u8>> {
    let (mut head, mut more) = (Vec::new(), Vec::new());
    let mut long: Option<Vec<u8>> = None;
    let (mut in_long, mut read) = (false, 0);
    loop {
        more.clear();
        read += BYTES;
        match input.fill(&mut more, BYTES) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if !has_line(&head) => return Err(error),
            Err(_) => break,
        }
        if in_long {
            let Some(end) = memchr::memchr(b'\n', &more) else { continue };
            more.drain(..=end);
            in_long = false;
        }
        head.append(&mut more);
        if is_enough(&head) || read > READ && has_line(&head) {
            break;
        }
        let begin = memchr::memrchr(b'\n', &head).map_or(0, |end| end + 1);
        // A hole is no part of the line behind it, which is not too long for that.
        let hole = head[begin..].iter().take_while(|b| **b == 0).count();
        head.drain(begin..begin + hole);
        if head.len() - begin > MAX_LINE {
            long.get_or_insert_with(|| head[begin..begin + BYTES].to_vec());
            head.truncate(begin);
            in_long = true;
        }
    }
    Ok(if has_line(&head) { head } else { head.into_iter().chain(long.unwrap_or_default()).collect() })
}

/// Whether a line ends here that is not blank, a hole or a heading.
fn has_line(bytes: &[u8]) -> bool {
    telling_lines(bytes).next().is_some()
}

/// Whether as many lines end here as are looked at, or have as many bytes.
fn is_enough(bytes: &[u8]) -> bool {
    let whole = memchr::memrchr(b'\n', bytes).unwrap_or(0);
    telling_lines(bytes).nth(LINES - 1).is_some() || whole >= BYTES && has_line(bytes)
}

fn telling_lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines =
        memchr::memchr_iter(b'\n', bytes).scan(0, |begin, end| Some(&bytes[std::mem::replace(begin, end + 1)..end]));
    lines.filter(|line| line.iter().find(|b| !matches!(b, 0 | b'\r')).is_some_and(|first| *first != b'#'))
}

/// Lines that are not blank, without what the reader strips too. The last may be cut; it is left out if there are others,
/// or if it does not count at all.
fn lines(text: &str, last_line_counts: bool) -> impl Iterator<Item = &str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let only_line = last_line_counts && whole.trim_matches(['\0', '\n', '\r']).is_empty();
    let whole = if only_line { text } else { whole };
    whole.split('\n').map(|line| line.trim_start_matches('\0').trim_end_matches('\r')).filter(|line| !line.is_empty())
}

fn is_wrapped(wrapper: &Wrapper, line: &str, arena: &Bump) -> bool {
    matches!((wrapper.open)(line, arena), Ok(_) | Err(RejectReason::Piece))
}

fn fit(format: &AnyFormat, lines: &[&str]) -> (Score, Option<i64>) {
    let mut score = Score { format: format.name().to_owned(), lines: 0, parsed: 0, exact: 0, unknown: 0, reason: None };
    let mut first_ts = None;
    let arena = Bump::new();
    let mut row = Row::new(&arena);
    let mut format = format.clone();
    let mut joiner = Joiner::default();
    for line in lines {
        row.clear();
        let taken = format.pieces().map(|(pieces, inner)| (joiner.take(pieces, line.as_bytes(), 0, &arena), inner));
        let parsed = match taken {
            None | Some((Taken::Whole, _)) => format.parse(line, &mut row),
            Some((Taken::Line(line), inner)) => inner.parse(arena.alloc_str(&line.text()), &mut row),
            Some((Taken::Waits, _)) => continue,
        };
        if parsed.is_err()
            && let Some(heading) = format.heading(line)
        {
            if let Heading::Fields(next) = heading {
                format = next;
            }
            continue;
        }
        score.lines += 1;
        match parsed {
            Ok(()) => {
                score.parsed += 1;
                score.exact += u32::from(row.extra.unknown == 0);
                score.unknown += row.extra.unknown;
                first_ts = first_ts.or(Some(row.ts));
            }
            Err(reason) => score.reason = score.reason.or(Some(reason)),
        }
    }
    if !joiner.is_empty() {
        score.lines += 1;
        score.reason = score.reason.or(Some(RejectReason::Piece));
    }
    (score, first_ts)
}

/// Logs have no control characters but blanks, line ends and colours; other files have many.
fn is_binary(bytes: &[u8]) -> bool {
    let odd = |b: &&u8| b.is_ascii_control() && !matches!(b, b'\t' | b'\n' | b'\r' | 0x1B);
    let odd = bytes.iter().filter(odd).count();
    odd * 50 > bytes.len() || (odd > 0 && std::str::from_utf8(bytes).is_err())
}
