//! `gcp_json`: Google Cloud's HTTP load balancers, one `LogEntry` a line.

use super::GATHERED;
use super::field::{Decode, Field, Meaning, SECONDS};
use super::json::JsonFormat;

/// See the module.
pub(super) const FORMAT: JsonFormat = JsonFormat {
    name: "gcp_json",
    layout: r#"{"timestamp": .., "httpRequest": {"requestMethod": .., "requestUrl": .., "status": .., "requestSize": .., "responseSize": .., "remoteIp": .., "userAgent": .., "referer": .., "latency": "0.1s", "protocol": ..}, "trace": .., "jsonPayload": {..}}"#,
    lateness: GATHERED,
    meaning,
    decode: Decode::None,
};

fn meaning(key: &str) -> Meaning {
    use Field::{BytesIn, BytesOut, Method, Peer, Protocol, Referer, RequestId, Status, Target, Time, UserAgent};
    let (field, rank) = match key {
        "httpRequest" => return Meaning::Open,
        "timestamp" => (Time, 0),
        "httpRequest.remoteIp" => (Peer, 0),
        "trace" => (RequestId, 0),
        "insertId" => (RequestId, 1),
        "httpRequest.requestMethod" => (Method, 0),
        "httpRequest.requestUrl" => (Target, 0),
        "httpRequest.protocol" => (Protocol, 0),
        "httpRequest.status" => (Status, 0),
        "httpRequest.requestSize" => (BytesIn, 0),
        "httpRequest.responseSize" => (BytesOut, 0),
        "httpRequest.latency" => return Meaning::Lasts(SECONDS, 0),
        "httpRequest.referer" => (Referer, 0),
        "httpRequest.userAgent" => (UserAgent, 0),
        "jsonPayload" | "labels" | "logName" | "operation" | "receiveTimestamp" | "resource" | "severity"
        | "spanId" | "traceSampled" => return Meaning::Extra,
        _ if key.starts_with("httpRequest.") => return Meaning::Extra,
        _ => return Meaning::Unknown,
    };
    Meaning::Is(field, rank)
}
