//! `envoy_json`: Envoy's and Istio's access log in JSON, with the keys of their documentation.

use super::LOGGED_WITH_START;
use super::field::{Decode, Field, MILLISECONDS, Meaning};
use super::json::JsonFormat;

/// See the module.
pub(super) const FORMAT: JsonFormat = JsonFormat {
    name: "envoy_json",
    layout: r#"{"start_time": .., "method": .., "path": .., "protocol": .., "response_code": .., "bytes_received": .., "bytes_sent": .., "duration": <ms>, "x_forwarded_for": .., "user_agent": .., "request_id": .., "authority": .., "downstream_remote_address": ..}"#,
    lateness: LOGGED_WITH_START,
    meaning,
    decode: Decode::None,
};

fn meaning(key: &str) -> Meaning {
    use Field::{
        AppendedFor, BytesIn, BytesOut, Host, Method, PeerPort, Protocol, Referer, RequestId, RpcStatus, Status,
        Target, Time, UserAgent,
    };
    let (field, rank) = match key {
        "start_time" => (Time, 0),
        "downstream_remote_address" => (PeerPort, 0),
        "downstream_direct_remote_address" => (PeerPort, 1),
        "x_forwarded_for" => (AppendedFor, 0),
        "request_id" => (RequestId, 0),
        "method" => (Method, 0),
        "path" => (Target, 0),
        "protocol" => (Protocol, 0),
        "authority" => (Host, 0),
        "response_code" => (Status, 0),
        "grpc_status" | "grpc_status_number" => (RpcStatus, 0),
        "bytes_received" => (BytesIn, 0),
        "bytes_sent" => (BytesOut, 0),
        "duration" => return Meaning::Lasts(MILLISECONDS, 0),
        "referer" => (Referer, 0),
        "user_agent" => (UserAgent, 0),
        "response_flags"
        | "response_code_details"
        | "connection_termination_details"
        | "route_name"
        | "requested_server_name"
        | "downstream_local_address" => return Meaning::Extra,
        _ if key.starts_with("upstream_") => return Meaning::Extra,
        _ => return Meaning::Unknown,
    };
    Meaning::Is(field, rank)
}
