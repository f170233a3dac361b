//! `traefik_json`: Traefik's access log. The agent is there only where headers are kept; Traefik's default drops them.

use super::LOGGED_WITH_START;
use super::field::{Decode, Field, Meaning, NANOSECONDS};
use super::json::JsonFormat;

/// See the module.
pub(super) const FORMAT: JsonFormat = JsonFormat {
    name: "traefik_json",
    layout: r#"{"StartUTC": .., "ClientHost": .., "ClientUsername": .., "RequestMethod": .., "RequestHost": .., "RequestPath": .., "RequestProtocol": .., "DownstreamStatus": .., "DownstreamContentSize": .., "Duration": <ns>, "request_User-Agent": ..}"#,
    lateness: LOGGED_WITH_START,
    meaning,
    decode: Decode::None,
};

fn meaning(key: &str) -> Meaning {
    use Field::{
        BytesIn, BytesOut, ForwardedFor, Host, Method, Peer, Protocol, Referer, RequestId, Scheme, Status, Target,
        Time, User, UserAgent,
    };
    let (field, rank) = match key {
        "StartUTC" => (Time, 0),
        "StartLocal" => (Time, 1),
        "time" => (Time, 2),
        "ClientHost" => (Peer, 0),
        "ClientAddr" => (Peer, 1),
        "request_X-Forwarded-For" => (ForwardedFor, 0),
        "ClientUsername" => (User, 0),
        "request_X-Request-Id" => (RequestId, 0),
        "RequestMethod" => (Method, 0),
        "RequestPath" => (Target, 0),
        "RequestProtocol" => (Protocol, 0),
        "RequestScheme" => (Scheme, 0),
        "RequestHost" => (Host, 0),
        "RequestAddr" => (Host, 1),
        "DownstreamStatus" => (Status, 0),
        "OriginStatus" => (Status, 1),
        "RequestContentSize" => (BytesIn, 0),
        "DownstreamContentSize" => (BytesOut, 0),
        "OriginContentSize" => (BytesOut, 1),
        "Duration" => return Meaning::Lasts(NANOSECONDS, 0),
        "request_Referer" => (Referer, 0),
        "request_User-Agent" => (UserAgent, 0),
        "ClientPort" | "RequestPort" | "RequestCount" | "RetryAttempts" | "GzipRatio" | "OriginDuration"
        | "Overhead" | "RouterName" | "ServiceName" | "ServiceAddr" | "ServiceURL" | "entryPointName" | "level"
        | "msg" | "TLSVersion" | "TLSCipher" | "TLSClientSubject" => return Meaning::Extra,
        _ if ["request_", "downstream_", "origin_"].iter().any(|prefix| key.starts_with(prefix)) => {
            return Meaning::Extra;
        }
        _ => return Meaning::Unknown,
    };
    Meaning::Is(field, rank)
}
