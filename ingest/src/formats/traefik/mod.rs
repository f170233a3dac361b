//! `traefik`: Traefik's access log in its common format.

use super::LOGGED_WITH_START;
use super::field::{MILLISECONDS, Meaning};
use super::names;
use super::text::TextFormat;

const LAYOUTS: [&str; 1] = [
    r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" $request_count "$router" "$server_url" ${duration}ms"#,
];

/// See the module.
pub(super) static FORMAT: TextFormat = TextFormat::new("traefik", LOGGED_WITH_START, &LAYOUTS, meaning);

fn meaning(name: &str) -> Meaning {
    match name {
        "duration" => Meaning::Lasts(MILLISECONDS, 0),
        _ => names::meaning(name),
    }
}
