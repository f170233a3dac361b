//! `traefik_json`: Traefik's access log. The agent is there only where headers are kept; Traefik's default drops them.

use std::time::Duration;

use super::json::{Field, Layout, Meaning, parse};
use super::{Format, LOGGED_WITH_START, Line};
use crate::reject::RejectReason;
use crate::row::Row;

/// See the module.
pub(super) struct TraefikJson;

impl Format for TraefikJson {
    fn name(&self) -> &'static str {
        "traefik_json"
    }

    fn layout(&self) -> &'static str {
        r#"{"StartUTC": .., "ClientHost": .., "ClientUsername": .., "RequestMethod": .., "RequestHost": .., "RequestPath": .., "RequestProtocol": .., "DownstreamStatus": .., "DownstreamContentSize": .., "Duration": <ns>, "request_User-Agent": ..}"#
    }

    fn default_lateness(&self) -> Duration {
        LOGGED_WITH_START
    }

    fn parse<'a>(&self, line: Line<'a>, row: &mut Row<'a>) -> Result<(), RejectReason> {
        parse(line, row, &Layout { meaning, duration_unit_ms: 1e-6 })
    }
}

fn meaning(key: &str) -> Meaning {
    use Field::{
        BytesIn, BytesOut, Duration, ForwardedFor, Host, Method, Peer, Protocol, Referer, RequestId, Scheme, Status,
        Target, Time, User, UserAgent,
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
        "Duration" => (Duration, 0),
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
