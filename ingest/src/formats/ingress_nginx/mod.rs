//! `ingress_nginx`: the access log of the Kubernetes ingress controller for nginx, `upstreaminfo`; old releases wrote the
//! address twice.

use super::LOGGED_AT_END;
use super::names;
use super::text::TextFormat;

// The old one first: to the other, its second address is a part of the user.
const LAYOUTS: [&str; 2] = [
    r#"$remote_addr - [$the_real_ip] - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" $request_length $request_time [$proxy_upstream_name] [$proxy_alternative_upstream_name] $upstream_addr $upstream_response_length $upstream_response_time $upstream_status $req_id"#,
    r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" $request_length $request_time [$proxy_upstream_name] [$proxy_alternative_upstream_name] $upstream_addr $upstream_response_length $upstream_response_time $upstream_status $req_id"#,
];

/// See the module.
pub(super) static FORMAT: TextFormat = TextFormat::new("ingress_nginx", LOGGED_AT_END, &LAYOUTS, names::meaning);
