//! `nginx_proxy_manager`: Nginx Proxy Manager, its `proxy` format and its `standard` one, with and without the
//! server that answered.

use super::LOGGED_AT_END;
use super::field::Meaning;
use super::names;
use super::text::TextFormat;

const LAYOUTS: [&str; 4] = [
    r#"[$time_local] $upstream_cache_status $upstream_status $status - $request_method $scheme $host "$request_uri" [Client $remote_addr] [Length $body_bytes_sent] [Gzip $gzip_ratio] [Sent-to $server] "$http_user_agent" "$http_referer""#,
    r#"[$time_local] $status - $request_method $scheme $host "$request_uri" [Client $remote_addr] [Length $body_bytes_sent] [Gzip $gzip_ratio] "$http_user_agent" "$http_referer""#,
    r#"[$time_local] $upstream_cache_status $upstream_status $status - $request_method $scheme $host "$request_uri" [Client $remote_addr] [Length $body_bytes_sent] [Gzip $gzip_ratio] "$http_user_agent" "$http_referer""#,
    r#"[$time_local] $status - $request_method $scheme $host "$request_uri" [Client $remote_addr] [Length $body_bytes_sent] [Gzip $gzip_ratio] [Sent-to $server] "$http_user_agent" "$http_referer""#,
];

/// See the module.
pub(super) static FORMAT: TextFormat = TextFormat::new("nginx_proxy_manager", LOGGED_AT_END, &LAYOUTS, meaning);

fn meaning(name: &str) -> Meaning {
    match name {
        "server" => Meaning::Extra,
        _ => names::meaning(name),
    }
}
