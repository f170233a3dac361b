//! What a query says about the objects and the number of records asked for.

use std::borrow::Cow;

/// Parameters that are looked at.
const MAX_PARAMETERS: usize = 64;

/// Names (lower case, without `_` and `-`) whose values name an object.
const OBJECTS: &[&str] = &[
    "id", "ids", "uuid", "guid", "email", "mail", "phone", "mobile", "msisdn", "user", "username", "login", "account",
    "number", "key", "handle", "userid", "customerid", "memberid", "accountid", "orderid", "productid", "itemid",
    "invoiceid", "postid", "fileid",
];

/// Ids that name no object but a request, a session or a program: new ones come with every visit.
const NO_OBJECTS: &[&str] = &[
    "requestid", "traceid", "spanid", "correlationid", "sessionid", "clientid", "deviceid", "visitorid", "appid",
    "trackingid",
];

/// Names whose values say how many records are asked for.
const COUNTS: &[&str] = &["limit", "perpage", "pagesize", "count", "first"];

/// Gives the values of id parameters to `object`, in the order of the query, and returns how many records are asked for:
/// the length of a list of ids, else a limit.
pub(super) fn read<'q>(query: &'q str, mut object: impl FnMut(&'q str)) -> Option<u32> {
    let mut listed = None;
    let mut limit = None;
    for parameter in query.split('&').take(MAX_PARAMETERS) {
        let Some((name, value)) = parameter.split_once('=') else { continue };
        if value.is_empty() {
            continue;
        }
        let plain = plain_name(name);
        if names_object(name, &plain) {
            object(value);
            if plain.ends_with("ids") {
                listed = listed.or(Some(items(value)));
            }
        } else if COUNTS.contains(&plain.as_ref()) {
            limit = limit.or_else(|| value.parse::<u32>().ok());
        }
    }
    listed.or(limit)
}

/// Whether a parameter's value names an object: `id`, `user_id`, `userId`, `email`, ... in any case.
fn names_object(name: &str, plain: &str) -> bool {
    let name = name.strip_suffix("[]").or_else(|| name.strip_suffix("%5B%5D")).unwrap_or(name);
    let name = name.strip_suffix('s').unwrap_or(name);
    let bytes = name.as_bytes();
    let snake = |ending: &[u8]| {
        bytes.len() > ending.len() && bytes[bytes.len() - ending.len()..].eq_ignore_ascii_case(ending)
    };
    let camel = matches!(bytes, [.., before, b'I', b'd' | b'D'] if before.is_ascii_lowercase() || before.is_ascii_digit());
    let by_ending = snake(b"_id") || snake(b"-id") || snake(b"_uuid") || snake(b"_number") || camel;
    (by_ending && !NO_OBJECTS.contains(&plain)) || OBJECTS.contains(&plain)
}

/// The name in lower case without joints: `Per-Page`, `per_page` and `perPage` are one.
fn plain_name(name: &str) -> Cow<'_, str> {
    let name = name.strip_suffix("[]").or_else(|| name.strip_suffix("%5B%5D")).unwrap_or(name);
    if name.bytes().all(|b| b.is_ascii_lowercase()) {
        return Cow::Borrowed(name);
    }
    let kept = name.chars().filter(|c| !matches!(c, '_' | '-')).map(|c| c.to_ascii_lowercase());
    Cow::Owned(kept.collect())
}

/// How many values a list holds: one more than its commas, plain or encoded.
fn items(value: &str) -> u32 {
    let bytes = value.as_bytes();
    let plain = memchr::memchr_iter(b',', bytes).count();
    let encoded = bytes.windows(3).filter(|w| w.eq_ignore_ascii_case(b"%2c")).count();
    u32::try_from(plain + encoded + 1).unwrap_or(u32::MAX)
}
