//! What the variables of nginx, Apache, Envoy and API Gateway mean. Those that have no column go to `extra`.

use super::field::{Field, MICROSECONDS, MILLISECONDS, Meaning, SECONDS};
use super::nginx_json;

/// By its name as in [`super::syntax`]. Which server's it is, the name itself tells.
pub(super) fn meaning(name: &str) -> Meaning {
    let known = match name {
        _ if name.starts_with(|c: char| c.is_ascii_uppercase()) && name.len() > 1 => envoy(name),
        _ if name.len() == 1 || name.starts_with(['{', '^']) => apache(name),
        _ => name.strip_prefix("context.").map_or_else(|| nginx_json::meaning(name), api_gateway),
    };
    if known == Meaning::Unknown { Meaning::Extra } else { known }
}

fn apache(name: &str) -> Meaning {
    use Field::{
        BytesIn, BytesOut, ForwardedFor, Host, Method, Path, Peer, Protocol, Query, Referer, Request, RequestId,
        Status, Time, User, UserAgent,
    };
    let (field, rank) = match name {
        "t" | "{sec}t" | "{msec}t" | "{usec}t" => (Time, 0),
        _ if name.starts_with("{%") && name.ends_with("}t") => (Time, 1),
        "{c}a" => (Peer, 0),
        "a" => (Peer, 1),
        "h" | "{c}h" => (Peer, 2),
        "u" => (User, 0),
        "r" => (Request, 0),
        "m" => (Method, 0),
        "U" => (Path, 0),
        "q" => (Query, 0),
        "H" => (Protocol, 0),
        "V" => (Host, 1),
        "v" => (Host, 2),
        "s" => (Status, 0),
        "I" => (BytesIn, 0),
        "O" => (BytesOut, 0),
        "B" | "b" => (BytesOut, 1),
        "D" | "{us}T" => return Meaning::Lasts(MICROSECONDS, 0),
        "{ms}T" => return Meaning::Lasts(MILLISECONDS, 1),
        "T" | "{s}T" => return Meaning::Lasts(SECONDS, 2),
        _ => {
            let Some(header) = name.strip_prefix('{').and_then(|rest| rest.strip_suffix("}i")) else {
                return if name == "{UNIQUE_ID}e" { Meaning::Is(RequestId, 1) } else { Meaning::Extra };
            };
            match header.to_ascii_lowercase().as_str() {
                "host" => (Host, 0),
                "referer" => (Referer, 0),
                "user-agent" => (UserAgent, 0),
                "x-forwarded-for" => (ForwardedFor, 0),
                "forwarded" => (ForwardedFor, 1),
                "x-request-id" => (RequestId, 0),
                _ => return Meaning::Extra,
            }
        }
    };
    Meaning::Is(field, rank)
}

fn envoy(name: &str) -> Meaning {
    use Field::{
        BytesIn, BytesOut, Host, Method, Peer, Protocol, Referer, RequestId, RpcStatus, Status, Target, Time, UserAgent,
    };
    let (field, rank) = match name {
        "START_TIME" => (Time, 0),
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT" => (Peer, 0),
        "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" => (Peer, 1),
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS" | "DOWNSTREAM_REMOTE_ADDRESS" => (Field::PeerPort, 0),
        "REQ(X-FORWARDED-FOR)" => (Field::AppendedFor, 0),
        "REQ(X-REQUEST-ID)" => (RequestId, 0),
        "REQ(:METHOD)" => (Method, 0),
        "REQ(X-ENVOY-ORIGINAL-PATH?:PATH)" => (Target, 0),
        "REQ(X-ENVOY-ORIGINAL-PATH)" => (Target, 1),
        "REQ(:PATH)" => (Target, 2),
        "PROTOCOL" => (Protocol, 0),
        "REQ(:SCHEME)" => (Field::Scheme, 0),
        "REQ(:AUTHORITY)" => (Host, 0),
        "RESPONSE_CODE" => (Status, 0),
        "GRPC_STATUS_NUMBER" | "GRPC_STATUS(NUMBER)" | "TRAILER(GRPC-STATUS)" => (RpcStatus, 0),
        "BYTES_RECEIVED" => (BytesIn, 0),
        "BYTES_SENT" => (BytesOut, 0),
        "DURATION" => return Meaning::Lasts(MILLISECONDS, 0),
        "REQ(REFERER)" => (Referer, 0),
        "REQ(USER-AGENT)" => (UserAgent, 0),
        _ => return Meaning::Extra,
    };
    Meaning::Is(field, rank)
}

/// API Gateway's `$context`: `resourcePath` is the template of the path, which counts only where the path is not logged.
pub(super) fn api_gateway(name: &str) -> Meaning {
    use Field::{BytesOut, Host, Method, Path, Peer, Protocol, Request, RequestId, Status, Time, User, UserAgent};
    let (field, rank) = match name {
        "requestTimeEpoch" => (Time, 0),
        "requestTime" => (Time, 1),
        "identity.sourceIp" | "ip" | "sourceIp" => (Peer, 0),
        "authorizer.principalId" => (User, 0),
        "identity.user" | "user" => (User, 1),
        "identity.caller" | "caller" => (User, 2),
        "requestId" => (RequestId, 0),
        "extendedRequestId" => (RequestId, 1),
        "httpMethod" => (Method, 0),
        "path" => (Path, 0),
        "resourcePath" => (Path, 1),
        "routeKey" => (Request, 0),
        "protocol" => (Protocol, 0),
        "domainName" => (Host, 0),
        "status" => (Status, 0),
        "responseLength" => (BytesOut, 0),
        "responseLatency" => return Meaning::Lasts(MILLISECONDS, 0),
        "identity.userAgent" | "userAgent" => (UserAgent, 0),
        "stage" | "apiId" | "domainPrefix" | "accountId" | "resourceId" | "integrationLatency"
        | "integrationStatus" => {
            return Meaning::Extra;
        }
        _ if ["authorizer", "error", "identity", "integration", "waf"].iter().any(|begin| name.starts_with(begin)) => {
            return Meaning::Extra;
        }
        _ => return Meaning::Unknown,
    };
    Meaning::Is(field, rank)
}
