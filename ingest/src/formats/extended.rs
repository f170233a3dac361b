//! The W3C Extended Log File Format (<https://www.w3.org/TR/WD-logfile>): a line `#Fields:` says what the lines after it
//! hold, until the next one. Without it nothing is known of a line, and none is a row.

use std::sync::Arc;
use std::time::Duration;

use super::field::{Decode, Found, Meaning};
use super::json_scan::Value;
use super::{AnyFormat, Format, Heading, Line, MAX_HEADING};
use crate::reject::RejectReason;
use crate::row::Row;

/// Fields of the longest heading that is believed.
const MAX_FIELDS: usize = 256;

/// One of the formats of this kind.
#[derive(Clone, Copy)]
pub(super) struct Flavour {
    pub(super) name: &'static str,
    pub(super) layout: &'static str,
    pub(super) lateness: Duration,
    /// Between fields.
    pub(super) separator: u8,
    pub(super) decode: Decode,
    pub(super) meaning: fn(&str) -> Meaning,
    /// Whether a heading with these fields is of this kind.
    pub(super) has: fn(&[&str]) -> bool,
}

/// A format and the heading in force.
pub(super) struct Extended {
    flavour: Flavour,
    columns: Vec<(String, Meaning)>,
}

impl Extended {
    pub(super) const fn new(flavour: Flavour) -> Self {
        Self { flavour, columns: Vec::new() }
    }

    /// The next field at `at`, and where it ends. Some writers quote those with blanks.
    fn field<'a>(&self, line: &'a str, at: usize) -> (&'a str, usize) {
        let rest = &line[at..];
        let separator = self.flavour.separator;
        if separator == b' '
            && let Some(inside) = rest.strip_prefix('"')
            && let Some(length) = inside.find('"')
            && matches!(inside.as_bytes().get(length + 1), None | Some(b' '))
        {
            return (&inside[..length], at + length + 2);
        }
        let length = memchr::memchr(separator, rest.as_bytes()).unwrap_or(rest.len());
        (&rest[..length], at + length)
    }
}

impl Format for Extended {
    fn name(&self) -> &str {
        self.flavour.name
    }

    fn layout(&self) -> &str {
        self.flavour.layout
    }

    fn default_lateness(&self) -> Duration {
        self.flavour.lateness
    }

    fn parse<'a>(&self, line: Line<'a>, row: &mut Row<'a>) -> Result<(), RejectReason> {
        if line.starts_with('#') || self.columns.is_empty() {
            return Err(RejectReason::NoHeading);
        }
        let mut found = Found::by_place(self.flavour.decode);
        let mut at = 0;
        for (n, (name, meaning)) in self.columns.iter().enumerate() {
            if n > 0 {
                if line.as_bytes().get(at) != Some(&self.flavour.separator) {
                    return Err(RejectReason::TooFewFields);
                }
                at += 1;
            }
            let (text, end) = self.field(line, at);
            found.take_in(*meaning, name, Value::Text(text), false, row);
            at = end;
        }
        // More than the heading says: it is another line's heading.
        if !line[at..].trim_end().is_empty() {
            return Err(RejectReason::OtherLayout);
        }
        found.fill(row)
    }

    fn heading(&self, line: Line<'_>) -> Option<Heading> {
        let Some(fields) = line.strip_prefix("#Fields:") else {
            return line.starts_with('#').then_some(Heading::Comment);
        };
        let names: Vec<&str> = fields.split([' ', '\t']).filter(|name| !name.is_empty()).take(MAX_FIELDS + 1).collect();
        // A heading of another kind ends this one: its lines must not be read with the old fields.
        let fits = line.len() < MAX_HEADING && names.len() <= MAX_FIELDS && (self.flavour.has)(&names);
        let column = |name: &&str| ((*name).to_owned(), (self.flavour.meaning)(name));
        let columns = if fits { names.iter().map(column).collect() } else { Vec::new() };
        Some(Heading::Fields(AnyFormat::Made(Arc::new(Self { flavour: self.flavour, columns }))))
    }
}
