//! `caddy_json`: Caddy's access log.

use std::time::Duration;

use super::json::{Field, Layout, Meaning, parse};
use super::{Format, LOGGED_AT_END, Line};
use crate::reject::RejectReason;
use crate::row::Row;

/// See the module.
pub(super) struct CaddyJson;

impl Format for CaddyJson {
    fn name(&self) -> &'static str {
        "caddy_json"
    }

    fn layout(&self) -> &'static str {
        r#"{"ts": .., "request": {"remote_ip": .., "client_ip": .., "proto": .., "method": .., "host": .., "uri": .., "headers": {"User-Agent": [..]}}, "bytes_read": .., "user_id": .., "duration": .., "size": .., "status": ..}"#
    }

    fn default_lateness(&self) -> Duration {
        LOGGED_AT_END
    }

    fn parse<'a>(&self, line: Line<'a>, row: &mut Row<'a>) -> Result<(), RejectReason> {
        parse(line, row, &Layout { meaning, duration_unit_ms: 1000.0 })
    }
}

fn meaning(key: &str) -> Meaning {
    use Field::{
        BytesIn, BytesOut, Duration, ForwardedFor, Host, Method, Peer, Protocol, Referer, RequestId, Status, Target,
        Time, User, UserAgent,
    };
    let (field, rank) = match key {
        "request" | "request.headers" => return Meaning::Open,
        "ts" => (Time, 0),
        // Who Caddy's own `trusted_proxies` say it is: the peer where none are configured.
        "request.client_ip" => (Peer, 0),
        "request.remote_ip" => (Peer, 1),
        "request.remote_addr" => (Peer, 2),
        "request.headers.X-Forwarded-For" => (ForwardedFor, 0),
        "user_id" => (User, 0),
        "request.headers.X-Request-Id" => (RequestId, 0),
        "request.method" => (Method, 0),
        "request.uri" => (Target, 0),
        "request.proto" => (Protocol, 0),
        "request.host" => (Host, 0),
        "status" => (Status, 0),
        "bytes_read" => (BytesIn, 0),
        "size" => (BytesOut, 0),
        "duration" => (Duration, 0),
        "request.headers.Referer" => (Referer, 0),
        "request.headers.User-Agent" => (UserAgent, 0),
        "level" | "logger" | "msg" | "resp_headers" | "common_log" | "request.remote_port" | "request.tls" => {
            return Meaning::Extra;
        }
        _ if key.starts_with("request.headers.") => return Meaning::Extra,
        _ => return Meaning::Unknown,
    };
    Meaning::Is(field, rank)
}
