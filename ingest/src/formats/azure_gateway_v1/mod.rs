//! `azure_gateway_v1`: Azure Application Gateway v1: times in milliseconds, and no query.

use super::GATHERED;
use super::field::{Decode, Field, MILLISECONDS, Meaning};
use super::json::JsonFormat;

/// See the module.
pub(super) const FORMAT: JsonFormat = JsonFormat {
    name: "azure_gateway_v1",
    layout: r#"{"timestamp": .., "category": "ApplicationGatewayAccessLog", "properties": {"clientIP": .., "httpMethod": .., "requestUri": .., "httpStatus": .., "timeTaken": <ms>, "receivedBytes": .., "sentBytes": .., "userAgent": ..}}"#,
    lateness: GATHERED,
    meaning,
    decode: Decode::None,
};

fn meaning(key: &str) -> Meaning {
    use Field::{BytesIn, BytesOut, Method, Path, Peer, Protocol, Status, Time, UserAgent};
    let (field, rank) = match key {
        "properties" => return Meaning::Open,
        "timestamp" => (Time, 0),
        "time" => (Time, 1),
        "properties.clientIP" | "properties.clientIp" => (Peer, 0),
        "properties.httpMethod" => (Method, 0),
        "properties.requestUri" => (Path, 0),
        "properties.httpVersion" => (Protocol, 0),
        "properties.httpStatus" => (Status, 0),
        "properties.receivedBytes" => (BytesIn, 0),
        "properties.sentBytes" => (BytesOut, 0),
        "properties.timeTaken" => return Meaning::Lasts(MILLISECONDS, 0),
        "properties.userAgent" => (UserAgent, 0),
        "resourceId" | "operationName" | "category" | "properties.instanceId" | "properties.clientPort"
        | "properties.sslEnabled"
        // Of the gateway's own making: which server it chose, and the like.
        | "properties.requestQuery" => return Meaning::Extra,
        _ => return Meaning::Unknown,
    };
    Meaning::Is(field, rank)
}
