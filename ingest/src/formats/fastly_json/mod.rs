//! `fastly_json`: Fastly's log streaming with the JSON format of its documentation. (Its default layout is `common`.)

use super::GATHERED;
use super::field::{Decode, Field, MICROSECONDS, Meaning};
use super::json::JsonFormat;

/// See the module.
pub(super) const FORMAT: JsonFormat = JsonFormat {
    name: "fastly_json",
    layout: r#"{"timestamp": .., "client_ip": .., "host": .., "url": .., "request_method": .., "request_protocol": .., "request_referer": .., "request_user_agent": .., "response_status": .., "response_body_size": ..}"#,
    lateness: GATHERED,
    meaning,
    decode: Decode::None,
};

fn meaning(key: &str) -> Meaning {
    use Field::{BytesIn, BytesOut, Host, Method, Peer, Protocol, Referer, RequestId, Status, Target, Time, UserAgent};
    let (field, rank) = match key {
        "timestamp" => (Time, 0),
        "client_ip" => (Peer, 0),
        "request_id" => (RequestId, 0),
        "request_method" => (Method, 0),
        "url" => (Target, 0),
        "request_protocol" => (Protocol, 0),
        "host" => (Host, 0),
        "response_status" => (Status, 0),
        "request_body_size" => (BytesIn, 0),
        "response_body_size" => (BytesOut, 0),
        "time_elapsed" => return Meaning::Lasts(MICROSECONDS, 0),
        "request_referer" => (Referer, 0),
        "request_user_agent" => (UserAgent, 0),
        _ if ["geo_", "fastly_", "response_", "cache_", "tls_"].iter().any(|begin| key.starts_with(begin)) => {
            return Meaning::Extra;
        }
        _ => return Meaning::Unknown,
    };
    Meaning::Is(field, rank)
}
