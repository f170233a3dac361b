//! `litespeed`: `OpenLiteSpeed`'s access log where its config puts the format in quotes, the first of which is then written
//! too; perhaps with the virtual host. Otherwise it is `combined`.

use super::LOGGED_WITH_START;
use super::names;
use super::text::TextFormat;

const LAYOUTS: [&str; 4] = [
    r#""$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#,
    r#""$host $remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#,
    r#""$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent"#,
    r#""$host $remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent"#,
];

/// See the module.
pub(super) static FORMAT: TextFormat = TextFormat::new("litespeed", LOGGED_WITH_START, &LAYOUTS, names::meaning);
