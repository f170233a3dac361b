//! `envoy`: Envoy's default access log. It has no peer: an Envoy at the edge puts it at the end of the
//! forwarded-for header, which is where it is taken from.

use super::LOGGED_WITH_START;
use super::names;
use super::text::TextFormat;

const LAYOUTS: [&str; 1] = [
    r#"[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%""#,
];

/// See the module.
pub(super) static FORMAT: TextFormat = TextFormat::new("envoy", LOGGED_WITH_START, &LAYOUTS, names::meaning);
