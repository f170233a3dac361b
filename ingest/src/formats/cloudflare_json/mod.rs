//! `cloudflare_json`: Cloudflare Logpush, data set `http_requests`.

use super::GATHERED;
use super::field::{Decode, Field, MILLISECONDS, Meaning, NANOSECONDS};
use super::json::JsonFormat;

/// See the module.
pub(super) const FORMAT: JsonFormat = JsonFormat {
    name: "cloudflare_json",
    layout: r#"{"EdgeStartTimestamp": .., "ClientIP": .., "ClientRequestMethod": .., "ClientRequestHost": .., "ClientRequestURI": .., "EdgeResponseStatus": .., "EdgeResponseBytes": .., "ClientRequestUserAgent": .., "RayID": ..}"#,
    lateness: GATHERED,
    meaning,
    decode: Decode::None,
};

fn meaning(key: &str) -> Meaning {
    use Field::{
        BytesIn, BytesOut, ForwardedFor, Host, Method, Path, Peer, Protocol, Referer, RequestId, Scheme, Status,
        Target, Time, UserAgent,
    };
    const GROUPS: [&str; 18] = [
        "Bot", "Cache", "Client", "Content", "Cookies", "Edge", "Firewall", "JA3", "JA4", "JS", "Leaked", "Origin",
        "Parent", "Request", "Response", "Security", "WAF", "Zone",
    ];
    let (field, rank) = match key {
        "EdgeStartTimestamp" => (Time, 0),
        "EdgeEndTimestamp" => (Time, 1),
        "ClientIP" => (Peer, 0),
        "ClientXForwardedFor" => (ForwardedFor, 0),
        "RayID" => (RequestId, 0),
        "ClientRequestMethod" => (Method, 0),
        "ClientRequestScheme" => (Scheme, 0),
        "ClientRequestHost" => (Host, 0),
        "ClientRequestURI" => (Target, 0),
        "ClientRequestPath" => (Path, 0),
        "ClientRequestProtocol" => (Protocol, 0),
        "EdgeResponseStatus" => (Status, 0),
        "ClientRequestBytes" => (BytesIn, 0),
        "EdgeResponseBytes" => (BytesOut, 0),
        "EdgeTimeToFirstByteMs" => return Meaning::Lasts(MILLISECONDS, 0),
        "OriginResponseTime" => return Meaning::Lasts(NANOSECONDS, 1),
        "ClientRequestReferer" => (Referer, 0),
        "ClientRequestUserAgent" => (UserAgent, 0),
        _ if GROUPS.iter().any(|group| key.starts_with(group)) => return Meaning::Extra,
        "ParentRayID" | "SmartRouteColoID" | "UpperTierColoID" | "WorkerStatus" | "WorkerSubrequest" => {
            return Meaning::Extra;
        }
        _ => return Meaning::Unknown,
    };
    Meaning::Is(field, rank)
}
