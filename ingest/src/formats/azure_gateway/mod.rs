//! `azure_gateway`: Azure Application Gateway v2, category `ApplicationGatewayAccessLog`, one record a line. (A line with
//! a list `records` is no row.)

use super::GATHERED;
use super::field::{Decode, Field, Meaning, SECONDS};
use super::json::JsonFormat;

/// See the module.
pub(super) const FORMAT: JsonFormat = JsonFormat {
    name: "azure_gateway",
    layout: r#"{"timeStamp": .., "category": "ApplicationGatewayAccessLog", "properties": {"clientIP": .., "httpMethod": .., "requestUri": .., "requestQuery": .., "httpStatus": .., "timeTaken": <s>, "receivedBytes": .., "sentBytes": .., "userAgent": .., "originalHost": .., "transactionId": ..}}"#,
    lateness: GATHERED,
    meaning,
    decode: Decode::None,
};

fn meaning(key: &str) -> Meaning {
    use Field::{
        BytesIn, BytesOut, Host, Method, Path, Peer, Protocol, Query, RequestId, Status, Target, Time, UserAgent,
    };
    let (field, rank) = match key {
        "properties" => return Meaning::Open,
        "timeStamp" => (Time, 0),
        "time" => (Time, 1),
        "properties.clientIP" | "properties.clientIp" => (Peer, 0),
        "properties.transactionId" => (RequestId, 0),
        "properties.httpMethod" => (Method, 0),
        "properties.originalRequestUriWithArgs" => (Target, 0),
        "properties.requestUri" => (Path, 0),
        "properties.requestQuery" => (Query, 0),
        "properties.httpVersion" => (Protocol, 0),
        "properties.originalHost" => (Host, 0),
        "properties.host" => (Host, 1),
        "properties.httpStatus" => (Status, 0),
        "properties.receivedBytes" => (BytesIn, 0),
        "properties.sentBytes" => (BytesOut, 0),
        "properties.timeTaken" => return Meaning::Lasts(SECONDS, 0),
        "properties.userAgent" => (UserAgent, 0),
        "resourceId" | "operationName" | "category" | "listenerName" | "ruleName" | "backendPoolName"
        | "backendSettingName" => return Meaning::Extra,
        _ if key.starts_with("properties.") => return Meaning::Extra,
        _ => return Meaning::Unknown,
    };
    Meaning::Is(field, rank)
}
