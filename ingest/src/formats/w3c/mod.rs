//! `w3c`: the W3C Extended Log File Format as servers other than IIS and `CloudFront` write it.

use super::LOGGED_AT_END;
use super::extended::{Extended, Flavour};
use super::field::{Decode, Field, Meaning, SECONDS};

/// See the module.
pub(super) const FORMAT: Extended = Extended::new(Flavour {
    name: "w3c",
    layout: "#Fields: date time c-ip cs-method cs-uri-stem cs-uri-query sc-status time-taken cs(User-Agent) ...",
    lateness: LOGGED_AT_END,
    separator: b' ',
    decode: Decode::None,
    meaning,
    has,
});

fn has(fields: &[&str]) -> bool {
    fields.contains(&"date") && !super::iis::is_iis(fields) && !super::cloudfront::is_cloudfront(fields)
}

/// What the standard and those who use it call their fields.
pub(super) fn meaning(name: &str) -> Meaning {
    use Field::{
        BytesIn, BytesOut, Clock, Date, ForwardedFor, Host, Method, Path, Peer, Protocol, Query, Referer, Status,
        Target, User, UserAgent,
    };
    let (field, rank) = match name {
        "date" => (Date, 0),
        "time" => (Clock, 0),
        "c-ip" => (Peer, 0),
        "cs(X-Forwarded-For)" | "X-Forwarded-For" | "x-forwarded-for" => (ForwardedFor, 0),
        "cs-username" => (User, 0),
        "cs-method" => (Method, 0),
        "cs-uri" => (Target, 0),
        "cs-uri-stem" => (Path, 0),
        "cs-uri-query" => (Query, 0),
        "cs-version" => (Protocol, 0),
        "cs(Host)" => (Host, 0),
        "cs-host" => (Host, 1),
        "sc-status" => (Status, 0),
        "cs-bytes" => (BytesIn, 0),
        "sc-bytes" => (BytesOut, 0),
        "time-taken" => return Meaning::Lasts(SECONDS, 0),
        "cs(Referer)" => (Referer, 0),
        "cs(User-Agent)" => (UserAgent, 0),
        "c-port" | "s-ip" | "s-port" | "s-dns" | "c-dns" | "cs(Cookie)" | "cached" => return Meaning::Extra,
        _ => return Meaning::Unknown,
    };
    Meaning::Is(field, rank)
}
