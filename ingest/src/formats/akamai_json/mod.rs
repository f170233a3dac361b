//! `akamai_json`: Akamai `DataStream` 2 in JSON. `^` stands for what could not be had; paths come without their slash.

use super::GATHERED;
use super::field::{Decode, Field, MILLISECONDS, Meaning};
use super::json::JsonFormat;

/// See the module.
pub(super) const FORMAT: JsonFormat = JsonFormat {
    name: "akamai_json",
    layout: r#"{"reqTimeSec": .., "cliIP": .., "reqMethod": .., "reqHost": .., "reqPath": .., "queryStr": .., "statusCode": .., "totalBytes": .., "UA": .., "referer": .., "xForwardedFor": .., "reqId": ..}"#,
    lateness: GATHERED,
    meaning,
    decode: Decode::Akamai,
};

fn meaning(key: &str) -> Meaning {
    use Field::{
        BytesOut, ForwardedFor, Host, Method, PathInside, Peer, Protocol, Query, Referer, RequestId, Scheme, Status,
        Time, UserAgent,
    };
    let (field, rank) = match key {
        "reqTimeSec" => (Time, 0),
        "cliIP" => (Peer, 0),
        "xForwardedFor" => (ForwardedFor, 0),
        "reqId" => (RequestId, 0),
        "reqMethod" => (Method, 0),
        "proto" => (Protocol, 0),
        "reqScheme" => (Scheme, 0),
        "reqHost" => (Host, 0),
        "reqPath" => (PathInside, 0),
        "queryStr" => (Query, 0),
        "statusCode" => (Status, 0),
        "totalBytes" => (BytesOut, 0),
        "bytes" => (BytesOut, 1),
        "timeToFirstByte" | "turnAroundTimeMSec" => return Meaning::Lasts(MILLISECONDS, 0),
        "referer" => (Referer, 0),
        "UA" => (UserAgent, 0),
        "version"
        | "cp"
        | "reqPort"
        | "rspContentLen"
        | "rspContentType"
        | "objSize"
        | "uncompressedSize"
        | "overheadBytes"
        | "tlsOverheadTimeMSec"
        | "tlsVersion"
        | "dnsLookupTimeMSec"
        | "reqEndTimeMSec"
        | "transferTimeMSec"
        | "maxAgeSec"
        | "cacheStatus"
        | "country"
        | "state"
        | "city"
        | "asn"
        | "edgeIP"
        | "serverCountry"
        | "hostname"
        | "accLang"
        | "cookie"
        | "range"
        | "errorCode"
        | "customField"
        | "ewUsageInfo"
        | "ewExecutionInfo"
        | "service"
        | "streamId"
        | "breadcrumbs"
        | "securityRules"
        | "billingRegion"
        | "isMidgress"
        | "cacheable" => {
            return Meaning::Extra;
        }
        _ => return Meaning::Unknown,
    };
    Meaning::Is(field, rank)
}
