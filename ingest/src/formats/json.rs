//! The JSON formats: each says what its keys mean, here a line's members are read.

use std::time::Duration;

use super::field::{Decode, Found, Meaning};
use super::json_scan::{Members, NotJson, Value};
use super::{Format, Line};
use crate::reject::RejectReason;
use crate::row::Row;

/// Objects within objects that are looked into.
const MAX_DEPTH: usize = 4;

/// A JSON format.
pub(super) struct JsonFormat {
    pub(super) name: &'static str,
    pub(super) layout: &'static str,
    pub(super) lateness: Duration,
    /// What a key means; keys of inner objects have those of the outer in front: `request.headers.Referer`.
    pub(super) meaning: fn(&str) -> Meaning,
    pub(super) decode: Decode,
}

impl Format for JsonFormat {
    fn name(&self) -> &str {
        self.name
    }

    fn layout(&self) -> &str {
        self.layout
    }

    fn default_lateness(&self) -> Duration {
        self.lateness
    }

    fn parse<'a>(&self, line: Line<'a>, row: &mut Row<'a>) -> Result<(), RejectReason> {
        parse(line, row, &self.meaning, self.decode)
    }
}

/// Parses one line.
pub(super) fn parse<'a>(
    line: &'a str,
    row: &mut Row<'a>,
    meaning: &impl Fn(&str) -> Meaning,
    decode: Decode,
) -> Result<(), RejectReason> {
    let mut found = Found::by_name(decode);
    read(&mut found, line, "", 0, meaning, row).map_err(|NotJson| RejectReason::NotJson)?;
    found.fill(row)
}

fn read<'a>(
    found: &mut Found<'a, 'a>,
    object: &'a str,
    prefix: &'a str,
    depth: usize,
    meaning: &impl Fn(&str) -> Meaning,
    row: &mut Row<'a>,
) -> Result<(), NotJson> {
    let mut members = Members::of(object, row.arena)?;
    while let Some((key, value)) = members.member()? {
        let key = if prefix.is_empty() { key } else { row.arena.alloc_str(&format!("{prefix}.{key}")) };
        match (meaning(key), value) {
            (Meaning::Open, Value::Nested(inner)) if inner.starts_with('{') && depth < MAX_DEPTH => {
                read(found, inner, key, depth + 1, meaning, row)?;
            }
            (meaning, value) => found.take_in(meaning, key, value, false, row),
        }
    }
    Ok(())
}
