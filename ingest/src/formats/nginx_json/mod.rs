//! `nginx_json`: JSON lines with the names of nginx's variables (`escape=json`), and the other names that configs give
//! them. Lines without `escape=json` hold `\xXX` and are repaired.

use super::LOGGED_AT_END;
use super::field::{Decode, Field, Meaning, SECONDS};
use super::json::JsonFormat;

/// See the module.
pub(super) const FORMAT: JsonFormat = JsonFormat {
    name: "nginx_json",
    layout: r#"{"time_iso8601": .., "remote_addr": .., "request_method": .., "request_uri": .., "status": .., "body_bytes_sent": .., "request_time": .., "http_referer": .., "http_user_agent": .., "http_x_forwarded_for": .., "host": .., "request_id": ..}"#,
    lateness: LOGGED_AT_END,
    meaning,
    decode: Decode::None,
};

/// What nginx calls its variables, and what configs call them in JSON.
pub(super) fn meaning(key: &str) -> Meaning {
    use Field::{
        BytesIn, BytesOut, ForwardedFor, Host, Method, Path, Peer, Protocol, Query, Referer, Request, RequestId,
        RpcStatus, Scheme, Status, Target, Time, User, UserAgent,
    };
    let (field, rank) = match key {
        // The finest first.
        "msec" => (Time, 0),
        "time_iso8601" => (Time, 1),
        "@timestamp" => (Time, 2),
        "time_local" => (Time, 3),
        "timestamp" => (Time, 4),
        "time" => (Time, 5),
        "remote_addr" => (Peer, 0),
        "client_ip" => (Peer, 1),
        "remote_ip" => (Peer, 2),
        "client" => (Peer, 3),
        "http_x_forwarded_for" => (ForwardedFor, 0),
        "x_forwarded_for" => (ForwardedFor, 1),
        "http_forwarded" => (ForwardedFor, 2),
        "remote_user" => (User, 0),
        "user" => (User, 1),
        "request_id" => (RequestId, 0),
        "req_id" => (RequestId, 1),
        "http_x_request_id" => (RequestId, 2),
        "request" => (Request, 0),
        "request_method" => (Method, 0),
        "method" => (Method, 1),
        "request_uri" => (Target, 0),
        "uri" => (Path, 0),
        "path" => (Path, 1),
        "args" => (Query, 0),
        "query_string" => (Query, 1),
        "server_protocol" => (Protocol, 0),
        "protocol" => (Protocol, 1),
        "scheme" => (Scheme, 0),
        "request_scheme" => (Scheme, 1),
        "host" => (Host, 0),
        "http_host" => (Host, 1),
        "server_name" => (Host, 2),
        "status" => (Status, 0),
        "grpc_status" => (RpcStatus, 0),
        "request_length" => (BytesIn, 0),
        "body_bytes_sent" => (BytesOut, 0),
        "bytes_sent" => (BytesOut, 1),
        "request_time" => return Meaning::Lasts(SECONDS, 0),
        "http_referer" => (Referer, 0),
        "http_referrer" => (Referer, 1),
        "referer" => (Referer, 2),
        "referrer" => (Referer, 3),
        "http_user_agent" => (UserAgent, 0),
        "user_agent" => (UserAgent, 1),
        _ if key.starts_with("upstream_") || key.starts_with("ssl_") => return Meaning::Extra,
        _ => return Meaning::Unknown,
    };
    Meaning::Is(field, rank)
}
