//! Formats that the config describes: a layout copied from the server's own config, or what the keys of JSON lines mean.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::field::{Decode, Field, MILLISECONDS, Meaning, SECONDS};
use super::template::Template;
use super::{AnyFormat, Format, LOGGED_WITH_START, Line, json, names};
use crate::reject::RejectReason;
use crate::row::Row;

/// The name of a format made of `log_format`.
pub(crate) const LOG_FORMAT: &str = "log_format";
/// The name of a format made of `fields`.
pub(crate) const FIELDS: &str = "fields";

/// Lines as a `log_format`, a `LogFormat` or an Envoy format string describes them.
struct LogFormat {
    layout: String,
    template: Template,
}

/// JSON lines with keys that the config names.
struct JsonFields {
    layout: String,
    /// A key, with those of the objects around it in front; sorted.
    keys: BTreeMap<String, Meaning>,
}

/// Err: why such lines cannot be read, and what to do.
pub(crate) fn log_format(layout: &str) -> Result<AnyFormat, String> {
    if layout.len() > 16 * 1024 {
        return Err("log_format is longer than 16 KiB; copy only the format".to_owned());
    }
    let template = Template::new(layout, names::meaning)
        .map_err(|why| format!("log_format cannot be read: {why}; copy it as it stands in the server's config"))?;
    Ok(AnyFormat::Made(Arc::new(LogFormat { layout: layout.to_owned(), template })))
}

/// `fields` has the table's columns and the keys they stand under. Err: what is wrong, and what to do.
pub(crate) fn json_fields(fields: &BTreeMap<String, String>) -> Result<AnyFormat, String> {
    let mut keys = BTreeMap::new();
    for (column, key) in fields {
        let meaning = column_meaning(column).ok_or_else(|| {
            format!("fields: `{column}` is not among what a line can hold; there are: {}", COLUMNS.join(", "))
        })?;
        // `a.b.c` makes `a` and `a.b` objects to look into.
        for (at, _) in key.match_indices('.') {
            keys.entry(key[..at].to_owned()).or_insert(Meaning::Open);
        }
        if let Some(Meaning::Is(..) | Meaning::Lasts(..)) = keys.insert(key.clone(), meaning) {
            return Err(format!("fields: two columns stand under the key `{key}`; give it to one of them"));
        }
    }
    let has = |columns: &[&str]| columns.iter().any(|column| fields.contains_key(*column));
    if !has(&["ts"]) || !has(&["request", "url", "path"]) {
        return Err("fields must name the keys of `ts` and of `request`, `url` or `path`".to_owned());
    }
    let layout = fields.iter().map(|(column, key)| format!("{key}: {column}")).collect::<Vec<_>>().join(", ");
    Ok(AnyFormat::Made(Arc::new(JsonFields { layout: format!("{{{layout}}}"), keys })))
}

/// What `fields` can name.
const COLUMNS: [&str; 22] = [
    "ts",
    "client_ip",
    "forwarded_for",
    "user",
    "session",
    "request_id",
    "request",
    "method",
    "scheme",
    "host",
    "url",
    "path",
    "query",
    "protocol",
    "status",
    "rpc_status",
    "bytes_in",
    "bytes_out",
    "duration_ms",
    "duration_s",
    "referer",
    "user_agent",
];

fn column_meaning(column: &str) -> Option<Meaning> {
    Some(Meaning::Is(
        match column {
            "ts" => Field::Time,
            "client_ip" => Field::Peer,
            "forwarded_for" => Field::ForwardedFor,
            "user" => Field::User,
            "session" => Field::Session,
            "request_id" => Field::RequestId,
            "request" => Field::Request,
            "method" => Field::Method,
            "scheme" => Field::Scheme,
            "host" => Field::Host,
            "url" => Field::Target,
            "path" => Field::Path,
            "query" => Field::Query,
            "protocol" => Field::Protocol,
            "status" => Field::Status,
            "rpc_status" => Field::RpcStatus,
            "bytes_in" => Field::BytesIn,
            "bytes_out" => Field::BytesOut,
            "duration_ms" => return Some(Meaning::Lasts(MILLISECONDS, 0)),
            "duration_s" => return Some(Meaning::Lasts(SECONDS, 1)),
            "referer" => Field::Referer,
            "user_agent" => Field::UserAgent,
            _ => return None,
        },
        0,
    ))
}

impl Format for LogFormat {
    fn name(&self) -> &'static str {
        LOG_FORMAT
    }

    fn layout(&self) -> &str {
        &self.layout
    }

    fn default_lateness(&self) -> Duration {
        LOGGED_WITH_START
    }

    fn parse<'a>(&self, line: Line<'a>, row: &mut Row<'a>) -> Result<(), RejectReason> {
        self.template.parse(line, row)
    }
}

impl Format for JsonFields {
    fn name(&self) -> &'static str {
        FIELDS
    }

    fn layout(&self) -> &str {
        &self.layout
    }

    fn default_lateness(&self) -> Duration {
        LOGGED_WITH_START
    }

    fn parse<'a>(&self, line: Line<'a>, row: &mut Row<'a>) -> Result<(), RejectReason> {
        let meaning = |key: &str| self.keys.get(key).copied().unwrap_or(Meaning::Extra);
        json::parse(line, row, &meaning, Decode::None)
    }
}
