//! What a client asked for: the request line and the request target (RFC 9112 §3.2) in all its forms. They are taken
//! apart as they were logged; escapes are decoded in the parts, so that no decoded blank or `?` takes part in that.

use crate::escape::unescape;
use crate::identity::without_port;
use crate::row::Row;

/// Bytes of the longest method; registered ones have up to 17.
const MAX_METHOD: usize = 20;

/// `GET /path?query HTTP/1.1`. What is no request line goes to `extra` as it was logged: the client sent something else.
pub(super) fn set_line<'a>(line: &'a str, escaped: bool, row: &mut Row<'a>) {
    if line.is_empty() || line == "-" {
        return;
    }
    if let Some((method, target, protocol)) = usual(line) {
        row.text.method = Some(method);
        row.text.protocol = Some(protocol);
        set_path(target, escaped, row);
        return;
    }
    let Some((method, target, protocol)) = split(line) else {
        row.extra.text("request", line);
        return;
    };
    row.text.method = Some(method);
    row.text.protocol = protocol;
    set_target(target, escaped, row);
}

/// The same as [`split`] for what nearly all requests are: `GET /path HTTP/1.1`.
#[inline]
fn usual(line: &str) -> Option<(&str, &str, &str)> {
    let (method, protocol) = match line.as_bytes() {
        [b'G', b'E', b'T', b' ', b'/', .., b' ', b'H', b'T', b'T', b'P', b'/', _, b'.', _] => (3, line.len() - 8),
        [b'P', b'O', b'S', b'T', b' ', b'/', .., b' ', b'H', b'T', b'T', b'P', b'/', _, b'.', _] => (4, line.len() - 8),
        _ => return None,
    };
    Some((&line[..method], &line[method + 1..protocol - 1], &line[protocol..]))
}

/// Method, target and protocol; HTTP/0.9 has none.
#[inline]
fn split(line: &str) -> Option<(&str, &str, Option<&str>)> {
    let space = line.bytes().take(MAX_METHOD + 1).position(|b| b == b' ')?;
    let (method, rest) = (&line[..space], &line[space + 1..]);
    let protocol = match rest.as_bytes() {
        [.., b' ', b'H', b'T', b'T', b'P', b'/', _, b'.', _] => Some(rest.len() - 8),
        bytes => memchr::memrchr(b' ', bytes).map(|space| space + 1).filter(|at| bytes[*at..].starts_with(b"HTTP/")),
    };
    let (target, protocol) = match protocol {
        Some(at) if rest.is_char_boundary(at) => (&rest[..at - 1], Some(&rest[at..])),
        _ => (rest, None),
    };
    is_request(method, target).then_some((method, target, protocol))
}

/// Whether this can be a method and its target; scanners send other things.
fn is_request(method: &str, target: &str) -> bool {
    let is_method = method.starts_with(|c: char| c.is_ascii_alphabetic())
        && method.bytes().all(|b| b.is_ascii_alphabetic() || matches!(b, b'-' | b'_'));
    is_method && (target.starts_with('/') || target == "*" || method == "CONNECT" || split_scheme(target).is_some())
}

/// Splits a target into scheme, host, path and query. A host that the log names itself stays: the one in the target is
/// whatever the client wrote there.
pub(super) fn set_target<'a>(target: &'a str, escaped: bool, row: &mut Row<'a>) {
    if row.text.method == Some("CONNECT") {
        set_host(target, escaped, row);
        return;
    }
    let mut rest = target;
    if !target.starts_with('/')
        && let Some((scheme, after)) = split_scheme(target)
    {
        let end = after.find(['/', '?']).unwrap_or(after.len());
        row.text.scheme = Some(scheme);
        set_host(&after[..end], escaped, row);
        rest = &after[end..];
    }
    set_path(rest, escaped, row);
}

/// `/path?query`, both of which may be missing.
#[inline]
fn set_path<'a>(rest: &'a str, escaped: bool, row: &mut Row<'a>) {
    let (path, query) = match memchr::memchr(b'?', rest.as_bytes()) {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (rest, ""),
    };
    // `http://example.com?x` asks for `/`.
    row.text.path = Some(if path.is_empty() { "/" } else { decoded(path, escaped, row) });
    row.text.query = (!query.is_empty()).then(|| decoded(query, escaped, row));
}

fn set_host<'a>(authority: &'a str, escaped: bool, row: &mut Row<'a>) {
    let host = without_port(authority);
    if row.text.host.is_none() && !host.is_empty() {
        row.text.host = Some(decoded(host, escaped, row));
    }
}

fn decoded<'a>(part: &'a str, escaped: bool, row: &Row<'a>) -> &'a str {
    if escaped { unescape(part, row.arena) } else { part }
}

/// `https://rest` → `https`, `rest`
fn split_scheme(target: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = target.split_once("://")?;
    let plausible = (1..=16).contains(&scheme.len()) && scheme.bytes().all(|b| b.is_ascii_alphanumeric());
    plausible.then_some((scheme, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bumpalo::Bump;

    #[track_caller]
    fn check(line: &str, expected: [&str; 6]) {
        let arena = Bump::new();
        let mut row = Row::new(&arena);
        set_line(line, true, &mut row);
        let text = &row.text;
        let found = [text.method, text.scheme, text.host, text.path, text.query, text.protocol];
        assert_eq!(found.map(|text| text.unwrap_or("NULL")), expected, "{line}");
        let is_row = row.text.method.is_some() || line.is_empty() || line == "-";
        assert_eq!(row.extra.finish().is_none(), is_row, "{line}");
    }

    #[test]
    fn request_lines() {
        check("GET / HTTP/1.1", ["GET", "NULL", "NULL", "/", "NULL", "HTTP/1.1"]);
        check("GET /a?b=c?d HTTP/2.0", ["GET", "NULL", "NULL", "/a", "b=c?d", "HTTP/2.0"]);
        check("GET /a? HTTP/2", ["GET", "NULL", "NULL", "/a", "NULL", "HTTP/2"]);
        check("GET /a b HTTP/1.0", ["GET", "NULL", "NULL", "/a b", "NULL", "HTTP/1.0"]);
        check("GET /a\\x20b\\x3Fc?d\\\"e HTTP/1.0", ["GET", "NULL", "NULL", "/a b?c", "d\"e", "HTTP/1.0"]);
        check("GET /old", ["GET", "NULL", "NULL", "/old", "NULL", "NULL"]);
        check("GET https://Example.com:8443/a?b HTTP/1.1", ["GET", "https", "Example.com", "/a", "b", "HTTP/1.1"]);
        check("GET http://example.com HTTP/1.1", ["GET", "http", "example.com", "/", "NULL", "HTTP/1.1"]);
        check("GET http://[2001:db8::1]:80/ HTTP/1.1", ["GET", "http", "2001:db8::1", "/", "NULL", "HTTP/1.1"]);
        check("CONNECT example.com:443 HTTP/1.1", ["CONNECT", "NULL", "example.com", "NULL", "NULL", "HTTP/1.1"]);
        check("OPTIONS * HTTP/1.1", ["OPTIONS", "NULL", "NULL", "*", "NULL", "HTTP/1.1"]);
        check("PRI * HTTP/2.0", ["PRI", "NULL", "NULL", "*", "NULL", "HTTP/2.0"]);
    }

    #[test]
    fn garbage() {
        for line in [
            "",
            "-",
            "HELP",
            "\\x16\\x03\\x01",
            "t3 12.1.2",
            " / HTTP/1.1",
            "a|b x",
            "GET",
            "GET ",
            "{} / HTTP/1.1",
            "- http://a:80- -",
        ] {
            check(line, ["NULL"; 6]);
        }
    }
}
