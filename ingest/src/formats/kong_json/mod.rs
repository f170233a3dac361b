//! `kong_json`: what Kong's logging plugins write (file-log, http-log).

use super::LOGGED_WITH_START;
use super::field::{Decode, Field, MILLISECONDS, Meaning};
use super::json::JsonFormat;

/// See the module.
pub(super) const FORMAT: JsonFormat = JsonFormat {
    name: "kong_json",
    layout: r#"{"started_at": <ms>, "client_ip": .., "request": {"method": .., "uri": .., "url": .., "size": .., "headers": {..}}, "response": {"status": .., "size": ..}, "latencies": {"request": <ms>}, "consumer": {"username": ..}}"#,
    lateness: LOGGED_WITH_START,
    meaning,
    decode: Decode::None,
};

fn meaning(key: &str) -> Meaning {
    use Field::{
        BytesIn, BytesOut, ForwardedFor, Host, Method, Peer, Referer, RequestId, Status, Target, Time, User, UserAgent,
    };
    let (field, rank) = match key {
        "request" | "request.headers" | "response" | "latencies" | "consumer" | "authenticated_entity" => {
            return Meaning::Open;
        }
        "started_at" => (Time, 0),
        "client_ip" => (Peer, 0),
        "request.headers.x-forwarded-for" => (ForwardedFor, 0),
        "consumer.username" => (User, 0),
        "consumer.custom_id" => (User, 1),
        "consumer.id" => (User, 2),
        "authenticated_entity.id" => (User, 3),
        "request.id" => (RequestId, 0),
        "request.headers.x-request-id" => (RequestId, 1),
        "request.method" => (Method, 0),
        "request.uri" => (Target, 0),
        "request.url" => (Target, 1),
        "request.headers.host" => (Host, 0),
        "response.status" => (Status, 0),
        "request.size" => (BytesIn, 0),
        "response.size" => (BytesOut, 0),
        "latencies.request" => return Meaning::Lasts(MILLISECONDS, 0),
        "request.headers.referer" => (Referer, 0),
        "request.headers.user-agent" => (UserAgent, 0),
        "request.querystring"
        | "request.tls"
        | "response.headers"
        | "latencies.kong"
        | "latencies.proxy"
        | "latencies.receive"
        | "route"
        | "service"
        | "upstream_uri"
        | "upstream_status"
        | "tries"
        | "workspace"
        | "workspace_name"
        | "source" => return Meaning::Extra,
        _ if ["request.headers.", "consumer.", "authenticated_entity."].iter().any(|begin| key.starts_with(begin)) => {
            return Meaning::Extra;
        }
        _ => return Meaning::Unknown,
    };
    Meaning::Is(field, rank)
}
