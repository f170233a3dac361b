//! The JSON formats: each says what its keys mean, here a line's members are read.

use std::time::Duration;

use super::field::{Decode, Found, Meaning};
use super::json_scan::{Members, NotJson, Value};
use super::keys::Keys;
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
    let mut keys = std::mem::take(&mut row.keys);
    let read = outermost(&mut found, line, &mut keys, meaning, row);
    row.keys = keys;
    read.map_err(|NotJson| RejectReason::NotJson)?;
    found.fill(row)
}

fn outermost<'a>(
    found: &mut Found<'a, 'a>,
    line: &'a str,
    keys: &mut Keys,
    meaning: &impl Fn(&str) -> Meaning,
    row: &mut Row<'a>,
) -> Result<(), NotJson> {
    let mut members = Members::of(line, row.arena)?;
    for place in 0.. {
        if let Some(expected) = keys.expected(place)
            && let Some(begin) = members.skip(&expected.around)
        {
            let key = &line[begin + expected.at.start..begin + expected.at.end];
            let (value, means) = (members.value()?, expected.meaning);
            if means == Meaning::Open {
                take(found, key, value, means, 0, meaning, row)?;
            } else {
                found.take_in(means, key, value, false, row);
            }
            continue;
        }
        let begin = members.at();
        let Some((key, value, around)) = members.member_between()? else { break };
        let means = meaning(key);
        keys.remember(place, key, &line[begin..around], means);
        take(found, key, value, means, 0, meaning, row)?;
    }
    Ok(())
}

fn take<'a>(
    found: &mut Found<'a, 'a>,
    key: &'a str,
    value: Value<'a>,
    means: Meaning,
    depth: usize,
    meaning: &impl Fn(&str) -> Meaning,
    row: &mut Row<'a>,
) -> Result<(), NotJson> {
    match (means, value) {
        (Meaning::Open, Value::Nested(inner)) if inner.starts_with('{') && depth < MAX_DEPTH => {
            let mut members = Members::of(inner, row.arena)?;
            while let Some((name, value)) = members.member()? {
                let key = row.arena.alloc_str(&format!("{key}.{name}"));
                take(found, key, value, meaning(key), depth + 1, meaning, row)?;
            }
        }
        (means, value) => found.take_in(means, key, value, false, row),
    }
    Ok(())
}
