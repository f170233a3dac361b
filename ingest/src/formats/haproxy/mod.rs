//! `haproxy`: what `option httplog` makes it write, with up to two sets of captured headers. Its time has no zone and is taken for
//! UTC. Agents are only there as captures, which have no names.

use super::LOGGED_WITH_START;
use super::field::{Field, MILLISECONDS, Meaning};
use super::text::TextFormat;

const LAYOUTS: [&str; 3] = [
    r#"$client [$accept_date] $frontend $backend/$server_name $time_request/$time_queue/$time_connect/$time_response/$time_active $status $bytes_read $request_cookie $response_cookie $termination_state $actconn/$feconn/$beconn/$srv_conn/$retries $srv_queue/$backend_queue "$request""#,
    r#"$client [$accept_date] $frontend $backend/$server_name $time_request/$time_queue/$time_connect/$time_response/$time_active $status $bytes_read $request_cookie $response_cookie $termination_state $actconn/$feconn/$beconn/$srv_conn/$retries $srv_queue/$backend_queue {$captured_request} "$request""#,
    r#"$client [$accept_date] $frontend $backend/$server_name $time_request/$time_queue/$time_connect/$time_response/$time_active $status $bytes_read $request_cookie $response_cookie $termination_state $actconn/$feconn/$beconn/$srv_conn/$retries $srv_queue/$backend_queue {$captured_request} {$captured_response} "$request""#,
];

/// See the module.
pub(super) static FORMAT: TextFormat = TextFormat::new("haproxy", LOGGED_WITH_START, &LAYOUTS, meaning);

fn meaning(name: &str) -> Meaning {
    use Field::{BytesOut, PeerPort, Request, Status, Time};
    let field = match name {
        "client" => PeerPort,
        "accept_date" => Time,
        "status" => Status,
        "bytes_read" => BytesOut,
        "request" => Request,
        "time_active" => return Meaning::Lasts(MILLISECONDS, 0),
        _ => return Meaning::Extra,
    };
    Meaning::Is(field, 0)
}
