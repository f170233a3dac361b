//! One line's fields, on their way from a format's parser to the columns.

use std::fmt::Write as _;

use bumpalo::Bump;

use crate::formats::Keys;
use crate::time::TimeCache;

/// A field's text: a part of the line where the bytes can stay as they are, in the batch's arena where they had to change.
pub type Text<'a> = Option<&'a str>;

/// What a format's parser found in one line. Missing is `None`; [`present`] knows how logs write that.
#[derive(Debug)]
pub struct Row<'a> {
    /// When, in µs since 1970 (UTC).
    pub ts: i64,
    /// The columns of text; see [`crate::table::columns`] for each.
    pub text: Texts<'a>,
    /// The HTTP status, 1 to 999.
    pub status: Option<u16>,
    /// The RPC status.
    pub rpc_status: Option<u16>,
    /// Bytes of the request.
    pub bytes_in: Option<u64>,
    /// Bytes of the answer.
    pub bytes_out: Option<u64>,
    /// Milliseconds, finite.
    pub duration_ms: Option<f64>,
    /// What has no column.
    pub extra: Extra,
    /// Keeps texts that had to be written anew.
    pub arena: &'a Bump,
    /// Speeds up timestamps; kept from line to line.
    pub times: TimeCache,
    /// Speeds up JSON; kept from line to line of one format.
    pub keys: Keys,
}

/// The texts of a [`Row`].
#[derive(Debug, Default, Clone, Copy)]
pub struct Texts<'a> {
    /// Who connected, as logged: an address, a host name, `unix:`.
    pub peer: Text<'a>,
    /// The forwarded-for header: whoever sends it can claim anything.
    pub forwarded_for: Text<'a>,
    /// Who the log says it was.
    pub user: Text<'a>,
    /// Session or cookie id.
    pub session: Text<'a>,
    /// The request's id.
    pub request_id: Text<'a>,
    /// The method.
    pub method: Text<'a>,
    /// `http`, `https`.
    pub scheme: Text<'a>,
    /// The host, in any case.
    pub host: Text<'a>,
    /// The path without the query.
    pub path: Text<'a>,
    /// The query without its `?`.
    pub query: Text<'a>,
    /// `HTTP/1.1`.
    pub protocol: Text<'a>,
    /// The `Referer` header.
    pub referer: Text<'a>,
    /// The `User-Agent` header.
    pub user_agent: Text<'a>,
}

impl<'a> Row<'a> {
    /// An empty row.
    pub fn new(arena: &'a Bump) -> Self {
        Self {
            ts: 0,
            text: Texts::default(),
            status: None,
            rpc_status: None,
            bytes_in: None,
            bytes_out: None,
            duration_ms: None,
            extra: Extra::default(),
            arena,
            times: TimeCache::default(),
            keys: Keys::default(),
        }
    }

    /// Forgets the line.
    pub fn clear(&mut self) {
        self.text = Texts::default();
        self.status = None;
        self.rpc_status = None;
        self.bytes_in = None;
        self.bytes_out = None;
        self.duration_ms = None;
        self.extra.json.clear();
        self.extra.unknown = 0;
    }
}

/// A value, unless it stands for "none": logs write `-` or nothing.
#[inline]
pub fn present(value: &str) -> Text<'_> {
    match value.as_bytes() {
        [] | [b'-'] => None,
        _ => Some(value),
    }
}

/// The JSON object of column `extra` while it is written.
#[derive(Debug, Default)]
pub struct Extra {
    json: String,
    /// Fields in it that the format does not know: the fewer, the better the format fits.
    pub unknown: u32,
}

impl Extra {
    /// Adds a text.
    pub fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        push_json_string(&mut self.json, value);
    }

    /// Adds a list of texts.
    pub fn list<'t>(&mut self, key: &str, values: impl Iterator<Item = &'t str>) {
        self.key(key);
        self.json.push('[');
        for (i, value) in values.enumerate() {
            if i > 0 {
                self.json.push(',');
            }
            push_json_string(&mut self.json, value);
        }
        self.json.push(']');
    }

    /// Adds a value that is JSON already.
    pub fn json(&mut self, key: &str, value: &str) {
        self.key(key);
        self.json.push_str(value);
    }

    /// The whole object; `None` if nothing was added.
    pub fn finish(&mut self) -> Option<&str> {
        if self.json.is_empty() {
            return None;
        }
        self.json.push('}');
        Some(&self.json)
    }

    fn key(&mut self, key: &str) {
        self.json.push(if self.json.is_empty() { '{' } else { ',' });
        push_json_string(&mut self.json, key);
        self.json.push(':');
    }
}

/// Writes `text` as a JSON string (RFC 8259 §7).
fn push_json_string(json: &mut String, text: &str) {
    json.push('"');
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c == '"' || c == '\\' || c < ' ') {
        json.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'"' => json.push_str("\\\""),
            b'\\' => json.push_str("\\\\"),
            b'\n' => json.push_str("\\n"),
            b'\t' => json.push_str("\\t"),
            control => {
                // Writing to a String cannot fail.
                let _ = write!(json, "\\u{control:04x}");
            }
        }
        rest = &rest[at + 1..];
    }
    json.push_str(rest);
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn extra_is_json(key in any::<String>(), text in any::<String>(), list in proptest::collection::vec(any::<String>(), 0..4)) {
            let mut extra = Extra::default();
            extra.text(&key, &text);
            extra.list("list", list.iter().map(String::as_str));
            let value: serde_json::Value = serde_json::from_str(extra.finish().expect("has fields")).expect("is JSON");
            if key != "list" {
                prop_assert_eq!(value[key.as_str()].as_str(), Some(text.as_str()));
            }
            prop_assert_eq!(&value["list"], &serde_json::json!(list));
        }
    }
}
