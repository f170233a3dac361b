//! What the JSON formats share. Each of them says what its keys mean; here the values become a row.

use super::json_scan::{Members, NotJson, Value};
use super::request;
use crate::identity::without_port;
use crate::reject::RejectReason;
use crate::row::{Row, Text, present};
use crate::time;

/// Objects within objects that are looked into.
const MAX_DEPTH: usize = 4;

/// What a key means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A field. Where several keys mean the same, the lowest rank wins and the others go to `extra`.
    Is(Field, u8),
    /// An object whose members have meanings too; they are looked up with this name in front: `request.uri`.
    Open,
    /// No column, but a key that the format has.
    Extra,
    /// A key that the format does not know.
    Unknown,
}

/// What has a place in the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Time,
    Peer,
    ForwardedFor,
    User,
    Session,
    RequestId,
    /// A whole request line.
    Request,
    Method,
    /// Path and query, or an absolute URL.
    Target,
    Path,
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

/// A JSON format.
pub(super) struct Layout {
    /// What a key means; keys of inner objects have those of the outer in front: `request.headers.Referer`.
    pub(super) meaning: fn(&str) -> Meaning,
    /// Milliseconds in the unit of a duration.
    pub(super) duration_unit_ms: f64,
}

/// The values of a line, by field.
#[derive(Default)]
struct Found<'a> {
    slots: [Option<Slot<'a>>; FIELDS],
    /// Whether the line has a place for the request, even if there is none in it.
    has_request: bool,
}

#[derive(Clone, Copy)]
struct Slot<'a> {
    rank: u8,
    key: &'a str,
    value: Value<'a>,
}

/// Parses one line.
pub(super) fn parse<'a>(line: &'a str, row: &mut Row<'a>, layout: &Layout) -> Result<(), RejectReason> {
    let mut found = Found::default();
    found.read(line, "", 0, layout, row).map_err(|NotJson| RejectReason::NotJson)?;
    if !found.has_request {
        return Err(RejectReason::OtherLayout);
    }
    let time = found.take(Field::Time).ok_or(RejectReason::NoTimestamp)?;
    row.ts = timestamp(time.value, row).ok_or(RejectReason::BadTimestamp)?;
    found.fill(row, layout)
}

impl<'a> Found<'a> {
    fn read(
        &mut self,
        object: &'a str,
        prefix: &'a str,
        depth: usize,
        layout: &Layout,
        row: &mut Row<'a>,
    ) -> Result<(), NotJson> {
        let mut members = Members::of(object, row.arena)?;
        while let Some((key, value)) = members.member()? {
            let key = if prefix.is_empty() { key } else { row.arena.alloc_str(&format!("{prefix}.{key}")) };
            match ((layout.meaning)(key), value) {
                (Meaning::Is(field, rank), _) => self.put(field, Slot { rank, key, value }, row),
                (Meaning::Open, Value::Nested(inner)) if inner.starts_with('{') && depth < MAX_DEPTH => {
                    self.read(inner, key, depth + 1, layout, row)?;
                }
                (Meaning::Extra, _) => keep(key, value, row),
                (Meaning::Open | Meaning::Unknown, _) => {
                    row.extra.unknown += 1;
                    keep(key, value, row);
                }
            }
        }
        Ok(())
    }

    /// Keeps the better of two values, the other goes to `extra`. One that is missing never displaces one that is not.
    fn put(&mut self, field: Field, slot: Slot<'a>, row: &mut Row<'a>) {
        self.has_request |= matches!(field, Field::Request | Field::Method | Field::Target | Field::Path);
        if is_missing(slot.value) {
            return;
        }
        let place = &mut self.slots[field as usize];
        let loser = match place {
            Some(better) if better.rank <= slot.rank => Some(slot),
            _ => place.replace(slot),
        };
        if let Some(loser) = loser {
            keep(loser.key, loser.value, row);
        }
    }

    fn take(&mut self, field: Field) -> Option<Slot<'a>> {
        self.slots[field as usize].take()
    }

    fn text(&mut self, field: Field, row: &mut Row<'a>) -> Text<'a> {
        let Slot { key, value, .. } = self.take(field)?;
        let text = match value {
            Value::Text(text) | Value::Number(text) => Some(text),
            // A header's values.
            Value::Nested(list) => first_text(list, row),
            Value::Bool(_) | Value::Null => None,
        };
        if text.is_none() {
            keep(key, value, row);
        }
        text.and_then(present)
    }

    /// A number; what is none goes to `extra`.
    fn number<N: std::str::FromStr>(&mut self, field: Field, row: &mut Row<'a>) -> Option<N> {
        let Slot { key, value, .. } = self.take(field)?;
        let parsed = match value {
            Value::Number(text) | Value::Text(text) => text.parse().ok(),
            _ => None,
        };
        if parsed.is_none() {
            keep(key, value, row);
        }
        parsed
    }

    fn fill(mut self, row: &mut Row<'a>, layout: &Layout) -> Result<(), RejectReason> {
        row.text.peer = self.text(Field::Peer, row).map(without_port);
        row.text.forwarded_for = self.text(Field::ForwardedFor, row);
        row.text.user = self.text(Field::User, row);
        row.text.session = self.text(Field::Session, row);
        row.text.request_id = self.text(Field::RequestId, row);
        row.text.referer = self.text(Field::Referer, row);
        row.text.user_agent = self.text(Field::UserAgent, row);
        row.text.host = self.text(Field::Host, row).map(without_port);
        self.request(row);
        row.text.scheme = self.text(Field::Scheme, row).or(row.text.scheme);
        row.text.protocol = self.text(Field::Protocol, row).or(row.text.protocol);
        if let Some(status) = self.text(Field::Status, row) {
            let status: u16 = status.parse().ok().filter(|s| *s <= 999).ok_or(RejectReason::BadStatus)?;
            row.status = Some(status).filter(|s| *s > 0); // 0: no answer was given
        }
        row.rpc_status = self.number(Field::RpcStatus, row);
        row.bytes_in = self.number(Field::BytesIn, row);
        row.bytes_out = self.number(Field::BytesOut, row);
        let duration: Option<f64> = self.number(Field::Duration, row);
        row.duration_ms = duration.map(|d| d * layout.duration_unit_ms).filter(|ms| ms.is_finite() && *ms >= 0.0);
        Ok(())
    }

    /// Method, path and query: from the target as it was sent, else from the request line, else from the path that the
    /// server made of it.
    fn request(&mut self, row: &mut Row<'a>) {
        if let Some(line) = self.text(Field::Request, row) {
            request::set_line(line, false, row);
        }
        row.text.method = self.text(Field::Method, row).or(row.text.method);
        if let Some(target) = self.text(Field::Target, row) {
            request::set_target(target, false, row);
        } else if row.text.path.is_none()
            && let Some(path) = self.text(Field::Path, row)
        {
            request::set_target(path, false, row);
        }
        if row.text.query.is_none() {
            row.text.query = self.text(Field::Query, row);
        }
        for field in [Field::Path, Field::Query] {
            if let Some(unused) = self.take(field) {
                keep(unused.key, unused.value, row);
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
        Value::Text(text) => {
            let bytes = text.as_bytes();
            let clf = bytes.try_into().ok().and_then(|clf| time::clf(clf, &mut row.times));
            clf.or_else(|| time::iso(bytes)).or_else(|| time::unix(bytes))
        }
        _ => None,
    }
}

/// Puts a value into `extra` under its key.
fn keep(key: &str, value: Value<'_>, row: &mut Row<'_>) {
    match value {
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
