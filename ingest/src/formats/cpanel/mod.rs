//! `cpanel`: the access log of cPanel's own services (`/usr/local/cpanel/logs/access_log`). Sites have `combined`.

use super::LOGGED_AT_END;
use super::names;
use super::text::TextFormat;

const LAYOUTS: [&str; 1] = [
    r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" "$auth_method" "$http_x_forwarded_for" $server_port"#,
];

/// See the module.
pub(super) static FORMAT: TextFormat = TextFormat::new("cpanel", LOGGED_AT_END, &LAYOUTS, names::meaning);
