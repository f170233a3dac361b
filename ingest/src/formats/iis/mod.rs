//! `iis`: Internet Information Services. Blanks in headers are written as `+`; times are in UTC, `time-taken` in
//! milliseconds.

use super::LOGGED_AT_END;
use super::extended::{Extended, Flavour};
use super::field::{Decode, MILLISECONDS, Meaning};
use super::w3c;

/// See the module.
pub(super) const FORMAT: Extended = Extended::new(Flavour {
    name: "iis",
    layout: "#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) sc-status sc-substatus sc-win32-status time-taken",
    lateness: LOGGED_AT_END,
    separator: b' ',
    decode: Decode::Plus,
    meaning,
    has,
});

fn has(fields: &[&str]) -> bool {
    is_iis(fields)
}

/// What no other server writes.
pub(super) fn is_iis(fields: &[&str]) -> bool {
    let own = ["sc-substatus", "sc-win32-status", "s-sitename", "s-computername"];
    fields.contains(&"date") && fields.iter().any(|field| own.contains(field))
}

fn meaning(name: &str) -> Meaning {
    match name {
        "time-taken" => Meaning::Lasts(MILLISECONDS, 0),
        "s-sitename" | "s-computername" | "sc-substatus" | "sc-win32-status" | "streamid" => Meaning::Extra,
        _ => w3c::meaning(name),
    }
}
