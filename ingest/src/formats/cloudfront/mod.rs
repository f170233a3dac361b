//! `cloudfront`: Amazon's standard log of its edge (`CloudFront`). Agents are percent-encoded, times are in UTC.

use super::GATHERED;
use super::extended::{Extended, Flavour};
use super::field::{Decode, Field, Meaning};
use super::w3c;

/// See the module.
pub(super) const FORMAT: Extended = Extended::new(Flavour {
    name: "cloudfront",
    layout: "#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent) cs-uri-query ... (between tabs)",
    lateness: GATHERED,
    separator: b'\t',
    decode: Decode::Percent,
    meaning,
    has,
});

fn has(fields: &[&str]) -> bool {
    is_cloudfront(fields)
}

/// What no other server writes.
pub(super) fn is_cloudfront(fields: &[&str]) -> bool {
    fields.contains(&"date") && fields.contains(&"x-edge-location")
}

fn meaning(name: &str) -> Meaning {
    use Field::{Host, Protocol, RequestId, Scheme};
    let (field, rank) = match name {
        "x-edge-request-id" => (RequestId, 0),
        // The one asked for; `cs(Host)` is the distribution's own name.
        "x-host-header" => (Host, 0),
        "cs(Host)" => (Host, 1),
        "cs-protocol" => (Scheme, 0),
        "cs-protocol-version" => (Protocol, 0),
        _ if ["x-edge-", "ssl-", "fle-", "sc-content-", "sc-range-"].iter().any(|begin| name.starts_with(begin)) => {
            return Meaning::Extra;
        }
        "time-to-first-byte" => return Meaning::Extra,
        _ => return w3c::meaning(name),
    };
    Meaning::Is(field, rank)
}
