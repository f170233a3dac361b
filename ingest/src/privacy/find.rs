//! Where in a line values stand that must not be kept. Names decide, and for tokens of known kinds their form.

use std::ops::Range;

use super::{Kind, Names, Privacy};

/// Bytes of a value that could as well be a word from which on it is a token.
const TOKEN: usize = 20;
/// Bytes of a value that are looked at for that.
const LOOK: usize = 256;
/// Bytes of a name before and after a needle in it.
const NAME: usize = 64;

type Found = Vec<(Range<usize>, Kind)>;

/// All of them, in no order; those of e-mail addresses may overlap others. Takes time in proportion to the line, whatever stands
/// in it: after a value it goes on at its end, and a name has an end.
pub(super) fn values(line: &str, privacy: &Privacy) -> Found {
    let bytes = line.as_bytes();
    let mut found = Found::new();
    let mut from = 0;
    while let Some(needle) = privacy.needles.next(bytes, from) {
        from = needle.end;
        if let Some((value, kind)) = value(line, needle, privacy)
            && !value.is_empty()
        {
            from = from.max(value.end);
            found.push((value, kind));
        }
    }
    if privacy.needles.emails() {
        emails(bytes, &mut found);
    }
    found.retain(|(range, _)| line.is_char_boundary(range.start) && line.is_char_boundary(range.end));
    found
}

/// The value that a needle announces.
fn value(line: &str, needle: Range<usize>, privacy: &Privacy) -> Option<(Range<usize>, Kind)> {
    let bytes = line.as_bytes();
    let token = || token(bytes, needle.clone()).filter(|_| privacy.names.recognised);
    let named = || {
        let name = name_around(bytes, needle.clone());
        let meaning = privacy.names.meaning(line.get(name.clone())?)?;
        let kind = if meaning == Meaning::Session { Kind::Session } else { Kind::Secret };
        let wanted = kind != Kind::Session || privacy.key.is_some();
        Some((value_after(bytes, name.end, meaning).filter(|_| wanted)?, kind))
    };
    token().map(|range| (range, Kind::Secret)).or_else(named)
}

/// What a name says of the value after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// It is secret.
    Secret,
    /// It is secret, and may have blanks: a header with a scheme, or with several cookies.
    Header,
    /// It is secret if it looks like a token.
    Perhaps,
    /// It is a session's id.
    Session,
}

impl Names {
    fn meaning(&self, name: &str) -> Option<Meaning> {
        let lower = name.to_ascii_lowercase();
        if self.named.iter().any(|named| is_named(&lower, named)) {
            return Some(Meaning::Secret);
        }
        if !self.recognised {
            return None;
        }
        let plain: String = lower.chars().filter(char::is_ascii_alphanumeric).collect();
        let ends = |endings: &[&str]| endings.iter().any(|ending| plain.ends_with(ending));
        if ends(&["authorization", "cookie"]) {
            return Some(Meaning::Header);
        }
        // Where a list goes on is no secret.
        let pages = ["page", "next", "continuation", "cursor", "sync"];
        if plain.ends_with("token") && pages.iter().any(|page| plain.contains(page)) {
            return None;
        }
        if ends(&["token", "secret", "password", "passwd", "pwd", "passcode", "apikey", "accesskey", "secretkey"])
            || ends(&["privatekey", "authkey", "subscriptionkey", "signature", "credential", "jwt", "assertion", "otp"])
            || ends(&["passwort"])
            || is_named(&lower, "auth")
            || is_named(&lower, "sig")
        {
            return Some(Meaning::Secret);
        }
        if plain.contains("sess") && ends(&["session", "sessionid", "sessid", "session_id"])
            || ends(&["connectsid"])
            || is_named(&lower, "sid")
        {
            return Some(Meaning::Session);
        }
        (is_named(&lower, "key") || is_named(&lower, "code") || plain.ends_with("passwordreset"))
            .then_some(Meaning::Perhaps)
    }
}

/// Whether a name is this one. What an escape before it left over (`%26`, `\u0026`, `\x26`) does not count.
fn is_named(name: &str, named: &str) -> bool {
    let before = name.strip_suffix(named);
    before.is_some_and(|before| {
        matches!(before, "" | "26" | "3f" | "u0026" | "x26" | "22" | "x22" | "20" | "3b" | "2520")
    })
}

pub(super) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

fn name_around(bytes: &[u8], needle: Range<usize>) -> Range<usize> {
    // (a needle may end with what stands after a name)
    let end =
        bytes[needle.clone()].iter().rposition(|b| is_name_byte(*b)).map_or(needle.start, |at| needle.start + at + 1);
    let part = |b: &&u8| is_name_byte(**b);
    let before = bytes[..needle.start].iter().rev().take(NAME).take_while(part).count();
    let after = bytes[end..].iter().take(NAME).take_while(part).count();
    needle.start - before..end + after
}

/// The value after a name: `name=value`, `name%3Dvalue`, `"name": "value"` at any depth of JSON in JSON, `name: value`,
/// `/name/value` if it looks like a token.
fn value_after(bytes: &[u8], mut at: usize, meaning: Meaning) -> Option<Range<usize>> {
    let starts = |at: usize, text: &[u8]| bytes.get(at..at + text.len()).is_some_and(|b| b.eq_ignore_ascii_case(text));
    let may_be = |start: usize| meaning != Meaning::Perhaps || looks_like_token(bytes, start, b"/%");
    if starts(at, b"%3d") || starts(at, b"%253d") {
        let start = at + if starts(at, b"%3d") { 3 } else { 5 };
        return may_be(start).then(|| start..end_of_encoded(bytes, start));
    }
    if starts(at, b"/") {
        let is_token = meaning != Meaning::Session && looks_like_token(bytes, at + 1, b"");
        return is_token.then(|| at + 1..end_of_segment(bytes, at + 1));
    }
    // The name's closing quote, escaped where JSON stands in JSON.
    at = skip(bytes, at, b"\\\"'");
    at = skip(bytes, at, b" ");
    let is_pair = starts(at, b"=") || starts(at, b":");
    let sign = *bytes.get(at).filter(|_| is_pair)?;
    at = skip(bytes, at + 1, b" [");
    let opened = at;
    at = skip(bytes, at, b"\\");
    let quote = bytes.get(at).copied().filter(|b| matches!(b, b'"' | b'\''));
    let start = if quote.is_some() { at + 1 } else { opened };
    may_be(start).then(|| {
        start..match quote {
            Some(quote) => end_of_quoted(bytes, start, quote, at > opened),
            None if meaning == Meaning::Header && sign == b':' => end_of_header(bytes, start),
            None => end_of_plain(bytes, start),
        }
    })
}

fn skip(bytes: &[u8], at: usize, what: &[u8]) -> usize {
    at + bytes[at..].iter().take_while(|b| what.contains(b)).count()
}

fn end(bytes: &[u8], start: usize, is_end: impl Fn(u8) -> bool) -> usize {
    start + bytes[start..].iter().position(|b| is_end(*b)).unwrap_or(bytes.len() - start)
}

fn end_of_plain(bytes: &[u8], start: usize) -> usize {
    end(bytes, start, |b| {
        b <= b' ' || matches!(b, b'&' | b'"' | b'\'' | b'\\' | b';' | b'#' | b'<' | b'>' | b'|' | b'}' | b']')
    })
}

fn end_of_header(bytes: &[u8], start: usize) -> usize {
    end(bytes, start, |b| b < b' ' || matches!(b, b'"' | b'\\' | b'|' | b'}' | b','))
}

fn end_of_segment(bytes: &[u8], start: usize) -> usize {
    end(bytes, start, |b| b <= b' ' || matches!(b, b'/' | b'?' | b'&' | b'"' | b'\\' | b'#' | b';' | b','))
}

/// Up to what `&`, `#`, a blank or a quote became.
fn end_of_encoded(bytes: &[u8], start: usize) -> usize {
    let plain = end_of_plain(bytes, start);
    let ends = bytes[start..plain].windows(3).position(|w| matches!(w, b"%26" | b"%23" | b"%20" | b"%22"));
    ends.map_or(plain, |at| start + at)
}

/// Up to the closing quote. `escaped`: the quotes have a backslash, as a JSON text within another has.
fn end_of_quoted(bytes: &[u8], start: usize, quote: u8, escaped: bool) -> usize {
    let mut at = start;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            _ if byte == quote => break,
            b'\\' if escaped => break,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at.min(bytes.len())
}

/// Whether what begins here is long enough, and has digits and letters. `more`: what else may stand in it.
fn looks_like_token(bytes: &[u8], start: usize, more: &[u8]) -> bool {
    let is_part = |b: u8| is_name_byte(b) || matches!(b, b'~' | b'+' | b'=') || more.contains(&b);
    let rest = &bytes[start.min(bytes.len())..];
    let rest = &rest[..rest.len().min(LOOK)];
    let value = &rest[..end(rest, 0, |b| !is_part(b))];
    value.len() >= TOKEN && value.iter().any(u8::is_ascii_digit) && value.iter().any(u8::is_ascii_alphabetic)
}

/// A token that is known by its form, or by the scheme before it.
fn token(bytes: &[u8], needle: Range<usize>) -> Option<Range<usize>> {
    let base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'+' | b'/' | b'=');
    let run = |from: usize, is_part: &dyn Fn(u8) -> bool| end(bytes, from, |b| !is_part(b));
    let starts_word = needle.start == 0 || !is_name_byte(bytes[needle.start - 1]);
    match &bytes[needle.clone()] {
        b"eyJ" if starts_word => {
            // A JWT: three parts, of which the last may be empty.
            let last = run(needle.start, &|b| is_name_byte(b) || b == b'=');
            let dots = memchr::memchr_iter(b'.', &bytes[needle.start..last]).count();
            (dots >= 2 && last - needle.start >= TOKEN).then_some(needle.start..last)
        }
        b"earer" | b"Basic " => {
            let word = needle.end - usize::from(!bytes[needle.end - 1].is_ascii_alphanumeric());
            let start = match &bytes[word..] {
                [b' ' | b'+', ..] => word + 1,
                [b'%', b'2', b'0', ..] => word + 3,
                _ => return None,
            };
            let last = run(start, &|b| base64(b) || matches!(b, b'.' | b'~' | b'%'));
            (last - start >= 8).then_some(start..last)
        }
        b"AKIA" | b"ghp_" | b"sk_live" | b"sk-" if starts_word => {
            looks_like_token(bytes, needle.start, b"").then(|| needle.start..run(needle.start, &is_name_byte))
        }
        _ => None,
    }
}

/// `a.b+c@example.com`, `a%2Bb%40example.com`.
fn emails(bytes: &[u8], found: &mut Found) {
    let local = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+') || b >= 0x80;
    let domain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-') || b >= 0x80;
    let plain = memchr::memchr_iter(b'@', bytes).map(|at| (at, at + 1));
    let encoded = memchr::memmem::find_iter(bytes, b"%40").map(|at| (at, at + 3));
    for (at, after) in plain.chain(encoded) {
        let mut start = at;
        loop {
            match &bytes[..start] {
                [.., b'%', b'2', b'B' | b'b'] => start -= 3,
                // Other escapes, such as of `=`, `&`, `/` or a quote, end it.
                [.., b'%', high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => break,
                [.., b] if local(*b) => start -= 1,
                _ => break,
            }
        }
        let mut last = end(bytes, after, |b| !domain(b));
        while last > after && matches!(bytes[last - 1], b'.' | b'-') {
            last -= 1;
        }
        if start < at && bytes[after..last].contains(&b'.') {
            found.push((start..last, Kind::Email));
        }
    }
}
