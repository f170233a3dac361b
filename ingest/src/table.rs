//! The table `requests`: its columns and their types. One row is one request, whatever format it was logged in.
//! What is missing is NULL, never "" or "-".

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// Positions of the columns in [`schema`].
pub mod columns {
    /// When the request was received or logged, as the format says (µs, UTC).
    pub const TS: usize = 0;
    /// The identity that baselines key on.
    pub const CLIENT: usize = 1;
    /// The real peer, behind trusted proxies.
    pub const CLIENT_IP: usize = 2;
    /// User name, API key id or token subject, as logged.
    pub const USER: usize = 3;
    /// Session or cookie id, as logged.
    pub const SESSION: usize = 4;
    /// The request's id, as logged.
    pub const REQUEST_ID: usize = 5;
    /// `GET`; NULL where the request line was garbage.
    pub const METHOD: usize = 6;
    /// `https`.
    pub const SCHEME: usize = 7;
    /// The host asked for or that answered, in lower case.
    pub const HOST: usize = 8;
    /// The path as logged, without the query.
    pub const PATH: usize = 9;
    /// What follows the first `?`.
    pub const QUERY: usize = 10;
    /// `HTTP/1.1`.
    pub const PROTOCOL: usize = 11;
    /// The path's template, `/v1/users/{id}`.
    pub const ROUTE: usize = 12;
    /// What the path's variable parts and the query's id parameters named.
    pub const OBJECT: usize = 13;
    /// How many records the request asked for, where it says so.
    pub const RECORDS: usize = 14;
    /// The HTTP status.
    pub const STATUS: usize = 15;
    /// The RPC status: a failed gRPC call is an HTTP 200.
    pub const RPC_STATUS: usize = 16;
    /// Bytes of the request.
    pub const BYTES_IN: usize = 17;
    /// Bytes of the answer.
    pub const BYTES_OUT: usize = 18;
    /// How long the answer took, in milliseconds.
    pub const DURATION_MS: usize = 19;
    /// The `Referer` header.
    pub const REFERER: usize = 20;
    /// The `User-Agent` header.
    pub const USER_AGENT: usize = 21;
    /// The file that the line stands in.
    pub const SOURCE: usize = 22;
    /// The line's place in the file: bytes from its (decompressed) beginning.
    pub const OFFSET: usize = 23;
    /// The line itself.
    pub const RAW: usize = 24;
    /// JSON of what else the line carried.
    pub const EXTRA: usize = 25;
}

/// The schema of `requests`.
pub fn schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let text = |name| Field::new(name, DataType::Utf8View, true);
        let number = |name, kind| Field::new(name, kind, true);
        Arc::new(Schema::new(vec![
            Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
            Field::new("client", DataType::Utf8View, false),
            text("client_ip"),
            text("user"),
            text("session"),
            text("request_id"),
            text("method"),
            text("scheme"),
            text("host"),
            text("path"),
            text("query"),
            text("protocol"),
            text("route"),
            text("object"),
            number("records", DataType::UInt32),
            number("status", DataType::UInt16),
            number("rpc_status", DataType::UInt16),
            number("bytes_in", DataType::UInt64),
            number("bytes_out", DataType::UInt64),
            number("duration_ms", DataType::Float64),
            text("referer"),
            text("user_agent"),
            text("source"),
            number("offset", DataType::UInt64),
            text("raw"),
            text("extra"),
        ]))
    });
    SCHEMA.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constants_name_the_columns() {
        let schema = schema();
        let expected = [
            (columns::TS, "ts"),
            (columns::CLIENT, "client"),
            (columns::CLIENT_IP, "client_ip"),
            (columns::USER, "user"),
            (columns::SESSION, "session"),
            (columns::REQUEST_ID, "request_id"),
            (columns::METHOD, "method"),
            (columns::SCHEME, "scheme"),
            (columns::HOST, "host"),
            (columns::PATH, "path"),
            (columns::QUERY, "query"),
            (columns::PROTOCOL, "protocol"),
            (columns::ROUTE, "route"),
            (columns::OBJECT, "object"),
            (columns::RECORDS, "records"),
            (columns::STATUS, "status"),
            (columns::RPC_STATUS, "rpc_status"),
            (columns::BYTES_IN, "bytes_in"),
            (columns::BYTES_OUT, "bytes_out"),
            (columns::DURATION_MS, "duration_ms"),
            (columns::REFERER, "referer"),
            (columns::USER_AGENT, "user_agent"),
            (columns::SOURCE, "source"),
            (columns::OFFSET, "offset"),
            (columns::RAW, "raw"),
            (columns::EXTRA, "extra"),
        ];
        assert_eq!(schema.fields().len(), expected.len());
        for (at, name) in expected {
            assert_eq!(schema.field(at).name(), name);
        }
    }
}
