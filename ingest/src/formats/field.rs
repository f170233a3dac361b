//! What the fields of a line mean, and how their values become a row: shared by all formats that name their fields.

use super::json_scan::{Members, Value};
use super::request;
use crate::escape::{percent_decoded, unescape};
use crate::identity::{without_last_port, without_port};
use crate::reject::RejectReason;
use crate::row::{Row, Text, present};
use crate::time;

/// What a field means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Meaning {
    /// A column. Where several fields mean the same, the lowest rank wins and the others go to `extra`.
    Is(Field, u8),
    /// How long the answer took, in units of so many milliseconds. A unit in the value itself counts instead.
    Lasts(f64, u8),
    /// An object whose members have meanings too; they are looked up with this name in front: `request.uri`.
    Open,
    /// No column, but a field that the format has.
    Extra,
    /// A field that the format does not know.
    Unknown,
}

/// [`Meaning::Lasts`], in seconds, milli-, micro- and nanoseconds.
pub(super) const SECONDS: f64 = 1e3;
pub(super) const MILLISECONDS: f64 = 1.0;
pub(super) const MICROSECONDS: f64 = 1e-3;
pub(super) const NANOSECONDS: f64 = 1e-6;

/// What has a place in the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Time,
    /// `2024-03-05`, where the time of day is another field.
    Date,
    /// `10:00:00`, UTC.
    Clock,
    Peer,
    /// Peer, a colon and a port, IPv6 without brackets included.
    PeerPort,
    ForwardedFor,
    /// A forwarded-for header to whose end the writer put its own peer.
    AppendedFor,
    User,
    Session,
    RequestId,
    /// A whole request line.
    Request,
    Method,
    /// Path and query, or an absolute URL.
    Target,
    Path,
    /// A path without its first slash.
    PathInside,
    Query,
    Protocol,
    Scheme,
    Host,
    Status,
    RpcStatus,
    BytesIn,
    BytesOut,
    Duration,
    Referer,
    UserAgent,
}

/// How many fields there are.
const FIELDS: usize = Field::UserAgent as usize + 1;

#[inline]
fn bit(field: Field) -> u32 {
    const { assert!(FIELDS <= 32, "a bit each") };
    1 << field as u32
}

/// How a format writes blanks and the like in the headers that it logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decode {
    /// As they are.
    None,
    /// `%20`
    Percent,
    /// `+`
    Plus,
    /// `%20`, and `^` alone for what could not be had.
    Akamai,
}

/// The values of a line, by field.
pub(super) struct Found<'k, 'a> {
    slots: [Option<Slot<'k, 'a>>; FIELDS],
    /// Which of them there are, a bit each: most lines have few.
    filled: u32,
    /// Milliseconds in the unit of the duration.
    unit_ms: f64,
    /// Whether the line has a place for the request, even if there is none in it.
    has_request: bool,
    /// Whether what should be a number must be one: where fields have no names, another value is another field.
    strict: bool,
    decode: Decode,
}

#[derive(Clone, Copy)]
pub(super) struct Slot<'k, 'a> {
    pub(super) rank: u8,
    pub(super) key: &'k str,
    pub(super) value: Value<'a>,
    /// Whether a text holds escapes as nginx and Apache write them.
    pub(super) escaped: bool,
}

impl<'k, 'a> Found<'k, 'a> {
    /// For lines whose fields have names.
    pub(super) fn by_name(decode: Decode) -> Self {
        Self { slots: [None; FIELDS], filled: 0, unit_ms: MILLISECONDS, has_request: false, strict: false, decode }
    }

    /// For lines whose fields are known by their place.
    pub(super) fn by_place(decode: Decode) -> Self {
        Self { strict: true, ..Self::by_name(decode) }
    }

    /// Takes a field's value. `Open` is the caller's business; here it is unknown.
    pub(super) fn take_in(
        &mut self,
        meaning: Meaning,
        key: &'k str,
        value: Value<'a>,
        escaped: bool,
        row: &mut Row<'a>,
    ) {
        match meaning {
            Meaning::Is(field, rank) => {
                self.put(field, Slot { rank, key, value, escaped }, row);
            }
            Meaning::Lasts(unit_ms, rank) => {
                if self.put(Field::Duration, Slot { rank, key, value, escaped }, row) {
                    self.unit_ms = unit_ms;
                }
            }
            // A place is always there, whether something stands in it or not.
            Meaning::Extra if self.strict && is_missing(value) => {}
            Meaning::Extra => keep(key, value, escaped, row),
            Meaning::Open | Meaning::Unknown => {
                row.extra.unknown += 1;
                keep(key, value, escaped, row);
            }
        }
    }

    /// Keeps the better of two values, the other goes to `extra`. One that is missing never displaces one that is not.
    fn put(&mut self, field: Field, slot: Slot<'k, 'a>, row: &mut Row<'a>) -> bool {
        self.has_request |=
            matches!(field, Field::Request | Field::Method | Field::Target | Field::Path | Field::PathInside);
        if is_missing(slot.value) || (self.decode == Decode::Akamai && slot.value == Value::Text("^")) {
            return false;
        }
        let place = &mut self.slots[field as usize];
        self.filled |= bit(field);
        let (loser, taken) = match place {
            Some(better) if better.rank <= slot.rank => (Some(slot), false),
            _ => (place.replace(slot), true),
        };
        if let Some(loser) = loser {
            keep(loser.key, loser.value, loser.escaped, row);
        }
        taken
    }

    #[inline]
    fn has(&self, field: Field) -> bool {
        self.filled & bit(field) != 0
    }

    #[inline]
    fn take(&mut self, field: Field) -> Option<Slot<'k, 'a>> {
        if !self.has(field) {
            return None;
        }
        self.filled &= !bit(field);
        self.slots[field as usize].take()
    }

    /// A field's text as logged, and whether it holds escapes.
    #[inline]
    fn logged(&mut self, field: Field, row: &mut Row<'a>) -> Option<(&'a str, bool)> {
        if self.has(field) { self.logged_there(field, row) } else { None }
    }

    fn logged_there(&mut self, field: Field, row: &mut Row<'a>) -> Option<(&'a str, bool)> {
        let Slot { key, value, escaped, .. } = self.take(field)?;
        let text = match value {
            Value::Text(text) | Value::Number(text) => Some(text),
            // A header's values.
            Value::Nested(list) => first_text(list, row),
            Value::Bool(_) | Value::Null => None,
        };
        if text.is_none() {
            keep(key, value, escaped, row);
        }
        text.filter(|text| present(text).is_some()).map(|text| (text, escaped))
    }

    #[inline]
    fn text(&mut self, field: Field, row: &mut Row<'a>) -> Text<'a> {
        let (text, escaped) = self.logged(field, row)?;
        present(if escaped { unescape(text, row.arena) } else { text })
    }

    /// A header, as its client sent it.
    fn header(&mut self, field: Field, row: &mut Row<'a>) -> Text<'a> {
        let text = self.text(field, row)?;
        present(match self.decode {
            Decode::Percent | Decode::Akamai if text.contains('%') => row.arena.alloc_str(&percent_decoded(text)),
            Decode::Plus if text.contains('+') => row.arena.alloc_str(&text.replace('+', " ")),
            _ => text,
        })
    }

    /// A number. What is none goes to `extra` or, where places count, is an error; so is not what is less than none.
    fn number<N: std::str::FromStr>(&mut self, field: Field, row: &mut Row<'a>) -> Result<Option<N>, RejectReason> {
        let Some(slot) = self.take(field) else { return Ok(None) };
        let parsed = match slot.value {
            Value::Number(text) | Value::Text(text) => {
                let text = text.strip_prefix('+').unwrap_or(text);
                match text.parse() {
                    Ok(number) => return Ok(Some(number)),
                    Err(_) => text.strip_prefix('-').is_some_and(|rest| rest.parse::<N>().is_ok()),
                }
            }
            _ => false,
        };
        self.not_a_number(slot, parsed, row)
    }

    fn not_a_number<N>(
        &self,
        slot: Slot<'k, 'a>,
        negative: bool,
        row: &mut Row<'a>,
    ) -> Result<Option<N>, RejectReason> {
        if self.strict && !negative {
            return Err(RejectReason::BadNumber);
        }
        keep(slot.key, slot.value, slot.escaped, row);
        Ok(None)
    }

    fn duration(&mut self, row: &mut Row<'a>) -> Result<Option<f64>, RejectReason> {
        let Some(slot) = self.take(Field::Duration) else { return Ok(None) };
        let (Value::Number(text) | Value::Text(text)) = slot.value else { return self.not_a_number(slot, false, row) };
        let text = text.strip_prefix('+').unwrap_or(text);
        let digits = text.trim_end_matches(|c: char| c.is_alphabetic());
        let unit_ms = match &text[digits.len()..] {
            "" => self.unit_ms,
            "s" => SECONDS,
            "ms" => MILLISECONDS,
            "us" | "µs" | "μs" => MICROSECONDS,
            "ns" => NANOSECONDS,
            _ => f64::NAN,
        };
        match time::decimal(digits).map_or_else(|| digits.parse::<f64>(), Ok) {
            Ok(duration) => Ok(Some(duration * unit_ms).filter(|ms| ms.is_finite() && *ms >= 0.0)),
            Err(_) => self.not_a_number(slot, false, row),
        }
    }

    /// Moves the values to the row.
    pub(super) fn fill(mut self, row: &mut Row<'a>) -> Result<(), RejectReason> {
        if !self.has_request {
            return Err(RejectReason::OtherLayout);
        }
        row.ts = self.timestamp(row)?;
        let with_port = self.text(Field::PeerPort, row).map(without_last_port).and_then(present);
        row.text.peer = self.text(Field::Peer, row).map(without_port).and_then(present).or(with_port);
        let appended = self.text(Field::AppendedFor, row);
        let last = appended.and_then(|header| header.rsplit(',').next()).map(str::trim);
        row.text.peer = row.text.peer.or(last.map(without_port).and_then(present));
        row.text.forwarded_for = self.text(Field::ForwardedFor, row).or(appended);
        row.text.user = self.text(Field::User, row);
        row.text.session = self.text(Field::Session, row);
        row.text.request_id = self.text(Field::RequestId, row);
        row.text.referer = self.header(Field::Referer, row);
        row.text.user_agent = self.header(Field::UserAgent, row);
        row.text.host = self.text(Field::Host, row).map(without_port).and_then(present);
        self.request(row);
        row.text.scheme = self.text(Field::Scheme, row).or(row.text.scheme);
        row.text.protocol = self.text(Field::Protocol, row).or(row.text.protocol);
        if let Some(status) = self.text(Field::Status, row).filter(|status| *status != "-1") {
            let status: u16 = status.parse().ok().filter(|s| *s <= 999).ok_or(RejectReason::BadStatus)?;
            row.status = Some(status).filter(|s| *s > 0); // 0: no answer was given
        }
        row.rpc_status = self.number(Field::RpcStatus, row)?;
        row.bytes_in = self.number(Field::BytesIn, row)?;
        row.bytes_out = self.number(Field::BytesOut, row)?;
        row.duration_ms = self.duration(row)?;
        Ok(())
    }

    fn timestamp(&mut self, row: &mut Row<'a>) -> Result<i64, RejectReason> {
        let (date, clock) = (self.take(Field::Date), self.take(Field::Clock));
        if let Some(time) = self.take(Field::Time) {
            return timestamp(time.value, row).ok_or(RejectReason::BadTimestamp);
        }
        let (Some(date), Some(clock)) = (date, clock) else { return Err(RejectReason::NoTimestamp) };
        let (Value::Text(date), Value::Text(clock)) = (date.value, clock.value) else {
            return Err(RejectReason::BadTimestamp);
        };
        time::date_and_clock(date.as_bytes(), clock.as_bytes()).ok_or(RejectReason::BadTimestamp)
    }

    /// Method, path and query: from the target as it was sent, else from the request line, else from the path that the
    /// server made of it.
    fn request(&mut self, row: &mut Row<'a>) {
        if let Some((line, escaped)) = self.logged(Field::Request, row) {
            request::set_line(line, escaped, row);
        }
        row.text.method = self.text(Field::Method, row).or(row.text.method);
        if let Some((target, escaped)) = self.logged(Field::Target, row) {
            request::set_target(target, escaped, row);
        } else if row.text.path.is_none()
            && let Some((path, escaped)) = self.logged(Field::Path, row)
        {
            request::set_target(path, escaped, row);
        }
        if row.text.path.is_none()
            && let Some(inside) = self.text(Field::PathInside, row)
        {
            row.text.path = Some(row.arena.alloc_str(&format!("/{inside}")));
        }
        if row.text.query.is_none() {
            let query = self.text(Field::Query, row);
            row.text.query = query.map(|query| query.strip_prefix('?').unwrap_or(query)).filter(|q| !q.is_empty());
        }
        for field in [Field::Path, Field::PathInside, Field::Query] {
            if let Some(unused) = self.take(field) {
                keep(unused.key, unused.value, unused.escaped, row);
            }
        }
    }
}

/// `-`, "" and null all say that there is none.
fn is_missing(value: Value<'_>) -> bool {
    match value {
        Value::Text(text) => present(text).is_none(),
        Value::Null => true,
        _ => false,
    }
}

/// The first of a list, if it is a text.
fn first_text<'a>(list: &'a str, row: &Row<'a>) -> Text<'a> {
    match Members::of(list, row.arena).ok()?.element().ok()?? {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn timestamp(value: Value<'_>, row: &mut Row<'_>) -> Option<i64> {
    match value {
        Value::Number(number) => time::unix(number.as_bytes()),
        Value::Text(text) => time::logged(text.as_bytes(), &mut row.times),
        _ => None,
    }
}

/// Puts a value into `extra` under its key.
fn keep(key: &str, value: Value<'_>, escaped: bool, row: &mut Row<'_>) {
    match value {
        Value::Text(text) if escaped => row.extra.text(key, unescape(text, row.arena)),
        Value::Text(text) => row.extra.text(key, text),
        Value::Bool(value) => row.extra.json(key, if value { "true" } else { "false" }),
        Value::Null => row.extra.json(key, "null"),
        // Only what is JSON indeed may stand in JSON.
        Value::Number(raw) | Value::Nested(raw) => match serde_json::from_str::<serde::de::IgnoredAny>(raw) {
            Ok(_) => row.extra.json(key, raw),
            Err(_) => row.extra.text(key, raw),
        },
    }
}
