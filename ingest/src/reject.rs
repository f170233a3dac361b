//! Lines that are not requests. They are data: kept with their reason, counted, never dropped in silence.

use std::fmt;

/// Bytes of a rejected line that are kept.
const KEPT: usize = 512;

/// Why a line is not a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RejectReason {
    /// The line does not begin as lines of this format do.
    OtherLayout,
    /// The line ends before its last field.
    TooFewFields,
    /// A quoted field has no closing quote.
    UnclosedQuote,
    /// There is no timestamp.
    NoTimestamp,
    /// What stands for the timestamp is not one.
    BadTimestamp,
    /// The status is not a number from 0 to 999.
    BadStatus,
    /// A size or duration is not a number.
    BadNumber,
    /// The line is not one JSON object.
    NotJson,
    /// Nothing said before what the line's fields are.
    NoHeading,
    /// The line is a piece of a longer one, which its container's log cut.
    Piece,
    /// The archive ends within this line.
    CutShort,
    /// The timestamp is further ahead than whoever follows the file allows.
    FarAhead,
}

impl RejectReason {
    /// A short name for counters: `too_few_fields`.
    pub fn name(self) -> &'static str {
        match self {
            Self::OtherLayout => "other_layout",
            Self::TooFewFields => "too_few_fields",
            Self::UnclosedQuote => "unclosed_quote",
            Self::NoTimestamp => "no_timestamp",
            Self::BadTimestamp => "bad_timestamp",
            Self::BadStatus => "bad_status",
            Self::BadNumber => "bad_number",
            Self::NotJson => "not_json",
            Self::NoHeading => "no_heading",
            Self::Piece => "piece",
            Self::CutShort => "cut_short",
            Self::FarAhead => "far_ahead",
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OtherLayout => "the line does not begin as lines of this format do",
            Self::TooFewFields => "the line ends before its last field",
            Self::UnclosedQuote => "a quoted field has no closing quote",
            Self::NoTimestamp => "there is no timestamp",
            Self::BadTimestamp => "the timestamp is not one",
            Self::BadStatus => "the status is not a number from 0 to 999",
            Self::BadNumber => "a size or duration is not a number",
            Self::NotJson => "the line is not one JSON object",
            Self::NoHeading => "no `#Fields` line says what the line's fields are",
            Self::Piece => "the line is a piece of a longer one that the container's log cut",
            Self::CutShort => "the archive ends within this line",
            Self::FarAhead => "the timestamp is far in the future",
        })
    }
}

/// A line that is not a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Where the line begins, in (decompressed) bytes.
    pub offset: u64,
    /// Why it is not a row.
    pub reason: RejectReason,
    /// The line's first 512 bytes, control characters escaped.
    pub line: String,
}

impl Reject {
    pub(crate) fn new(offset: u64, reason: RejectReason, line: &[u8]) -> Self {
        Self { offset, reason, line: excerpt(line) }
    }
}

/// The first bytes of a line as a person can look at them: whatever is not text is replaced, control characters escaped.
pub(crate) fn excerpt(line: &[u8]) -> String {
    let kept = &line[..line.len().min(KEPT)];
    let mut shown = String::with_capacity(kept.len());
    for c in String::from_utf8_lossy(kept).chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_short_and_harmless() {
        assert_eq!(excerpt(b"a\x1b[31m\0\xff"), "a\\u{1b}[31m\\u{0}\u{fffd}");
        assert_eq!(excerpt(&[b'x'; 10_000]).len(), KEPT);
    }
}
