//! `kong`: Kong 3's proxy log, `combined` with the request's id. (Kong 2 writes `combined`.)

use super::LOGGED_AT_END;
use super::names;
use super::text::TextFormat;

const LAYOUTS: [&str; 1] = [
    r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" kong_request_id: "$request_id""#,
];

/// See the module.
pub(super) static FORMAT: TextFormat = TextFormat::new("kong", LOGGED_AT_END, &LAYOUTS, names::meaning);
