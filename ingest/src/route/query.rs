//! What a query says about the objects and the number of records asked for.

use std::borrow::Cow;

/// Parameters that are looked at.
const MAX_PARAMETERS: usize = 64;

/// What a parameter's value is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// It names an object.
    Object,
    /// It names several.
    Objects,
    /// It says how many records are asked for.
    Count,
    Other,
}

/// Which parameters name the object.
#[derive(Clone, Copy)]
pub(super) enum Params<'p> {
    /// Those whose names say so, and these.
    Recognised(&'p [String]),
    /// These.
    Only(&'p [String]),
}

/// Gives the values of id parameters to `object`, in the order of the query, and returns how many records are asked for:
/// the length of a list of ids, else a limit.
pub(super) fn read<'q>(query: &'q str, params: Params<'_>, mut object: impl FnMut(&'q str)) -> Option<u32> {
    let mut listed = None;
    let mut limit = None;
    let mut rest = query;
    for _ in 0..MAX_PARAMETERS {
        let (parameter, more) = split(rest, b'&').unwrap_or((rest, ""));
        if let Some((name, value)) = split(parameter, b'=')
            && !value.is_empty()
        {
            let meaning = meaning(name);
            let is_object = match params {
                Params::Recognised(more) => {
                    matches!(meaning, Meaning::Object | Meaning::Objects) || more.iter().any(|more| more == name)
                }
                Params::Only(named) => named.iter().any(|named| named == name),
            };
            if is_object {
                object(value);
            }
            match meaning {
                Meaning::Objects => listed = listed.or(Some(items(value))),
                Meaning::Count => limit = limit.or_else(|| value.parse::<u32>().ok()),
                Meaning::Object | Meaning::Other => {}
            }
        }
        if more.is_empty() {
            break;
        }
        rest = more;
    }
    listed.or(limit)
}

/// `str::split_once`, which is slow for short texts.
#[inline]
fn split(text: &str, at: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|b| b == at)?;
    Some((&text[..at], &text[at + 1..]))
}

/// What a parameter of this name means: `id`, `user_id`, `userId`, `user-ids`, `email`, `limit`, ... in any case.
fn meaning(name: &str) -> Meaning {
    let name = name.strip_suffix("[]").or_else(|| name.strip_suffix("%5B%5D")).unwrap_or(name);
    // `Per-Page`, `per_page` and `perPage` are one.
    let plain = plain(name);
    match plain.as_ref() {
        "limit" | "perpage" | "pagesize" | "count" | "first" => return Meaning::Count,
        "ids" => return Meaning::Objects,
        "id" | "uuid" | "guid" | "email" | "mail" | "phone" | "mobile" | "msisdn" | "user" | "username" | "login"
        | "account" | "number" | "key" | "handle" | "userid" | "customerid" | "memberid" | "accountid" | "orderid"
        | "productid" | "itemid" | "invoiceid" | "postid" | "fileid" => return Meaning::Object,
        // Ids that name no object but a request, a session or a program: new ones come with every visit.
        "requestid" | "traceid" | "spanid" | "correlationid" | "sessionid" | "clientid" | "deviceid" | "visitorid"
        | "appid" | "trackingid" => return Meaning::Other,
        _ => {}
    }
    match name.strip_suffix(['s', 'S']) {
        Some(one) if is_id(one) => Meaning::Objects,
        _ if is_id(name) => Meaning::Object,
        _ => Meaning::Other,
    }
}

/// `user_id`, `user-id`, `userId`, `userID`, `user_uuid`, `invoice_number`; not `paid`, `valid`.
fn is_id(name: &str) -> bool {
    let bytes = name.as_bytes();
    let ends =
        |ending: &[u8]| bytes.len() > ending.len() && bytes[bytes.len() - ending.len()..].eq_ignore_ascii_case(ending);
    match bytes {
        [.., b'_' | b'-', b'i' | b'I', b'd' | b'D'] => bytes.len() > 3,
        [.., before, b'I', b'd' | b'D'] => before.is_ascii_lowercase() || before.is_ascii_digit(),
        [.., b'd' | b'D' | b'r' | b'R'] => ends(b"_uuid") || ends(b"_number"),
        _ => false,
    }
}

/// The name in lower case without joints.
fn plain(name: &str) -> Cow<'_, str> {
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
