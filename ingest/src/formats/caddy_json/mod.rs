//! `caddy_json`: Caddy's access log.

use super::LOGGED_AT_END;
use super::field::{Decode, Field, Meaning, SECONDS};
use super::json::JsonFormat;

/// See the module.
pub(super) const FORMAT: JsonFormat = JsonFormat {
    name: "caddy_json",
    layout: r#"{"ts": .., "request": {"remote_ip": .., "client_ip": .., "proto": .., "method": .., "host": .., "uri": .., "headers": {"User-Agent": [..]}}, "bytes_read": .., "user_id": .., "duration": .., "size": .., "status": ..}"#,
    lateness: LOGGED_AT_END,
    meaning,
    decode: Decode::None,
};

fn meaning(key: &str) -> Meaning {
    use Field::{
        BytesIn, BytesOut, ForwardedFor, Host, Method, Peer, Protocol, Referer, RequestId, Status, Target, Time, User,
        UserAgent,
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
        "duration" => return Meaning::Lasts(SECONDS, 0),
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
