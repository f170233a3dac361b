//! What the common log format and its descendants share: `client ident user [time] "request" status bytes`, then fields
//! that differ.

use super::request;
use crate::escape::{Quoted, quoted, unescape};
use crate::reject::RejectReason;
use crate::row::{Row, Text, present};
use crate::time;

/// What stands before the time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Prefix {
    /// `client ident user`
    Client,
    /// `host:port client ident user`, or without the port.
    VirtualHost,
}

/// Parses up to the bytes; the fields after them are the format's own.
pub(super) fn head<'a>(line: &'a str, row: &mut Row<'a>, prefix: Prefix) -> Result<Fields<'a>, RejectReason> {
    let usual = if prefix == Prefix::Client { usual(line, row) } else { None };
    let quote = usual.map_or_else(|| before_quote(line, row, prefix), Ok)?;
    let quoted = quoted(line, quote + 1).ok_or(RejectReason::UnclosedQuote)?;
    request::set_line(quoted.raw, quoted.escaped, row);
    if let Some(at) = usual_numbers(line, quoted.end, row) {
        return Ok(Fields { line, at });
    }
    let mut fields = Fields { line, at: quoted.end };
    row.status = status(fields.token()?)?;
    row.bytes_out = size(fields.token()?)?;
    Ok(fields)
}

/// `192.0.2.1 - - [10/Oct/2000:13:55:36 -0700] "`, as nearly all lines begin, read at once. Returns where the quote stands;
/// `None`: [`before_quote`] has to look.
#[inline]
fn usual<'a>(line: &'a str, row: &mut Row<'a>) -> Option<usize> {
    let bytes = line.as_bytes();
    // (an address, before whose end is neither a blank nor a quote)
    let end = (0..48).step_by(16).find_map(|at| Some(at + first_up_to_quote(*bytes.get(at..)?.first_chunk()?)?))?;
    let [b' ', b'-', b' ', b'-', b' ', b'[', time @ .., b']', b' ', b'"'] = bytes.get(end..end + 35)? else {
        return None;
    };
    row.ts = time::clf(time.try_into().ok()?, &mut row.times)?;
    row.text.peer = present(&line[..end]);
    Some(end + 34)
}

/// The place of the first of 16 bytes that is a quote or less (`!`, a blank).
#[inline]
fn first_up_to_quote(bytes: [u8; 16]) -> Option<usize> {
    const EACH: u128 = u128::MAX / 0xFF;
    const AFTER_QUOTE: u128 = 0x23;
    // The highest bit of each byte, if that is less; it may also be set behind such a byte, from which was borrowed.
    let bytes = u128::from_le_bytes(bytes);
    let less = bytes.wrapping_sub(EACH * AFTER_QUOTE) & !bytes & (EACH * 0x80);
    (less != 0).then(|| less.trailing_zeros() as usize / 8)
}

/// ` 200 5120`, status and bytes as they nearly always are. Returns where they end.
#[inline]
fn usual_numbers(line: &str, at: usize, row: &mut Row<'_>) -> Option<usize> {
    const DIGITS: usize = 18; // no number of so many is too large
    let [b' ', a, b, c, b' ', rest @ ..] = line.as_bytes().get(at..)? else { return None };
    let [a, b, c] = [a, b, c].map(|byte| byte.wrapping_sub(b'0'));
    let (mut size, mut digits) = (0_u64, 0);
    for digit in rest.iter().take(DIGITS + 1).map(|byte| byte.wrapping_sub(b'0')).take_while(|digit| *digit < 10) {
        size = size * 10 + u64::from(digit);
        digits += 1;
    }
    let is_whole = matches!(rest.get(digits), None | Some(b' ')) && (1..=DIGITS).contains(&digits);
    if !is_whole || a > 9 || b > 9 || c > 9 {
        return None;
    }
    let status = u16::from(a) * 100 + u16::from(b) * 10 + u16::from(c);
    row.status = Some(status).filter(|status| *status > 0);
    row.bytes_out = Some(size);
    Some(at + 5 + digits)
}

/// Reads what stands before the request, and returns where its opening quote is.
fn before_quote<'a>(line: &'a str, row: &mut Row<'a>, prefix: Prefix) -> Result<usize, RejectReason> {
    let quote = first_quote(line)?;
    let (before, time) = split_time(&line[..quote])?;
    row.ts = timestamp(time, row)?;
    match prefix {
        Prefix::Client => client(before, row)?,
        Prefix::VirtualHost => {
            let (host, before) = split_blank(before).ok_or(RejectReason::OtherLayout)?;
            virtual_host(host, row);
            client(before, row)?;
            if row.text.peer.is_none() {
                return Err(RejectReason::OtherLayout); // `client - a user with blanks`
            }
        }
    }
    Ok(quote)
}

/// The request's opening quote is the line's first: within names that clients choose, quotes are escaped. Whatever looks
/// like a time before it may be forged; the one that touches it is the server's.
fn first_quote(line: &str) -> Result<usize, RejectReason> {
    let bytes = line.as_bytes();
    let mut from = 0;
    while let Some(at) = memchr::memchr(b'"', &bytes[from..]) {
        let at = from + at;
        if at == 0 || bytes[at - 1] != b'\\' {
            return Ok(at);
        }
        from = at + 1;
    }
    let begins_well = memchr::memmem::find(bytes, b" [").is_some();
    Err(if begins_well { RejectReason::TooFewFields } else { RejectReason::OtherLayout })
}

/// `... [time] ` → what stands before the bracket, and the time.
fn split_time(text: &str) -> Result<(&str, &str), RejectReason> {
    const CLF: usize = "10/Oct/2000:13:55:36 -0700".len();
    let bracketed = text.strip_suffix("] ").ok_or(RejectReason::OtherLayout)?;
    let bytes = bracketed.as_bytes();
    let open = match bytes.len().checked_sub(CLF + 1) {
        Some(open) if bytes[open] == b'[' => open,
        _ => memchr::memrchr(b'[', bytes).ok_or(RejectReason::OtherLayout)?,
    };
    let before = bracketed[..open].strip_suffix(' ').ok_or(RejectReason::OtherLayout)?;
    Ok((before, &bracketed[open + 1..]))
}

fn timestamp(text: &str, row: &mut Row<'_>) -> Result<i64, RejectReason> {
    if text == "-" || text.is_empty() {
        return Err(RejectReason::NoTimestamp);
    }
    let bytes = text.as_bytes();
    let parsed = match bytes.try_into() {
        Ok(clf) => time::clf(clf, &mut row.times).or_else(|| time::iso(bytes)),
        Err(_) => time::iso(bytes),
    };
    parsed.ok_or(RejectReason::BadTimestamp)
}

/// `client ident user`; the user may hold blanks.
fn client<'a>(text: &'a str, row: &mut Row<'a>) -> Result<(), RejectReason> {
    let (peer, names) = split_blank(text).ok_or(RejectReason::OtherLayout)?;
    row.text.peer = present(peer);
    if names == "- -" {
        return Ok(());
    }
    let (ident, user) = split_blank(names).ok_or(RejectReason::OtherLayout)?;
    if ident != "-" {
        row.extra.text("ident", ident);
    }
    // Possible in a name, likely in another format's fields.
    row.extra.unknown += u32::from(user.contains(' '));
    row.text.user = present(if user.contains('\\') { unescape(user, row.arena) } else { user });
    Ok(())
}

fn virtual_host<'a>(field: &'a str, row: &mut Row<'a>) {
    let host = match field.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            row.extra.text("port", port);
            host
        }
        _ => field,
    };
    row.text.host = present(host);
}

/// `str::split_once` for short texts, where it is slow.
#[inline]
fn split_blank(text: &str) -> Option<(&str, &str)> {
    let at = text.bytes().position(|b| b == b' ')?;
    Some((&text[..at], &text[at + 1..]))
}

fn status(text: &str) -> Result<Option<u16>, RejectReason> {
    match *text.as_bytes() {
        [b'-'] => Ok(None),
        [a, b, c] if a.is_ascii_digit() && b.is_ascii_digit() && c.is_ascii_digit() => {
            let status = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
            Ok(Some(status).filter(|status| *status > 0)) // nginx logs 000 where it gave no answer
        }
        _ => Err(RejectReason::BadStatus),
    }
}

fn size(text: &str) -> Result<Option<u64>, RejectReason> {
    if text == "-" {
        return Ok(None);
    }
    let mut size: u64 = 0;
    for byte in text.bytes() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(RejectReason::BadNumber);
        }
        size = size.checked_mul(10).and_then(|size| size.checked_add(digit.into())).ok_or(RejectReason::BadNumber)?;
    }
    Ok(Some(size))
}

/// The fields after a place in the line: `"quoted"`, `[bracketed]` or plain, a blank before each.
pub(super) struct Fields<'a> {
    line: &'a str,
    at: usize,
}

impl<'a> Fields<'a> {
    /// The fields after byte `at`.
    pub(super) fn after(line: &'a str, at: usize) -> Self {
        Self { line, at }
    }

    /// The next field if it is plain.
    fn token(&mut self) -> Result<&'a str, RejectReason> {
        let rest = self.line[self.at..].strip_prefix(' ').ok_or(RejectReason::TooFewFields)?;
        let end = rest.bytes().position(|b| b == b' ').unwrap_or(rest.len());
        self.at += 1 + end;
        if end == 0 { Err(RejectReason::TooFewFields) } else { Ok(&rest[..end]) }
    }

    /// The next field's text.
    pub(super) fn text(&mut self, row: &Row<'a>) -> Result<Text<'a>, RejectReason> {
        if let Some(quoted) = self.quoted()? {
            return Ok(present(quoted.text(row.arena)));
        }
        self.token().map(present)
    }

    /// The next field, if it is quoted.
    pub(super) fn quoted(&mut self) -> Result<Option<Quoted<'a>>, RejectReason> {
        if !self.line.as_bytes()[self.at..].starts_with(b" \"") {
            return Ok(None);
        }
        let quoted = quoted(self.line, self.at + 2).ok_or(RejectReason::UnclosedQuote)?;
        self.at = quoted.end;
        Ok(Some(quoted))
    }

    /// Keeps the rest, which the format does not know, as `extra.trailing`: formats grow at the end.
    pub(super) fn trailing(mut self, row: &mut Row<'a>) -> Result<(), RejectReason> {
        if self.at == self.line.len() || self.line[self.at..].trim_end().is_empty() {
            return Ok(());
        }
        let mut fields = Vec::new();
        while !self.line[self.at..].trim_end().is_empty() {
            fields.push(self.any(row)?);
        }
        row.extra.unknown += u32::try_from(fields.len()).unwrap_or(u32::MAX);
        row.extra.list("trailing", fields.into_iter());
        Ok(())
    }

    /// The next field of whichever kind.
    fn any(&mut self, row: &Row<'a>) -> Result<&'a str, RejectReason> {
        if let Some(quoted) = self.quoted()? {
            return Ok(quoted.text(row.arena));
        }
        let rest = &self.line[self.at..];
        if let Some(inside) = rest.strip_prefix(" [")
            && let Some((bracketed, _)) = inside.split_once(']')
        {
            self.at += 2 + bracketed.len() + 1;
            return Ok(bracketed);
        }
        match rest.strip_prefix("  ") {
            // An empty field between two blanks.
            Some(_) => self.at += 1,
            None => return self.token(),
        }
        Ok("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bumpalo::Bump;
    use proptest::prelude::*;

    proptest! {
        /// The short way and the long way agree, wherever there is a short one.
        #[test]
        fn usual_lines_are_read_like_others(
            peer in r"[0-9a-f.:]{0,50}|[ -~]{0,20}|é.{0,16}",
            names in prop_oneof![Just(" - - "), Just(" - "), Just(" - a "), Just(" x - "), Just("")],
            time in r"[0-3][0-9]/(Mar|mar)/2024:[0-2][0-9]:00:0[0-9] [+-]0[0-9]00|[ -~]{0,30}",
            end in prop_oneof![Just("] \""), Just("] "), Just("\"")],
        ) {
            let line = format!("{peer}{names}[{time}{end}GET / HTTP/1.1\" 200 5");
            let arena = Bump::new();
            let (mut short, mut long) = (Row::new(&arena), Row::new(&arena));
            if let Some(quote) = usual(&line, &mut short) {
                prop_assert_eq!(before_quote(&line, &mut long, Prefix::Client), Ok(quote));
                prop_assert_eq!((short.ts, short.text.peer), (long.ts, long.text.peer));
                prop_assert_eq!((long.text.user, long.extra.finish()), (None, None));
            }
        }
    }

    proptest! {
        #[test]
        fn usual_numbers_are_read_like_others(
            fields in prop_oneof!["( [0-9]{1,4}){0,3}", " [0-9]{3} [0-9]{1,22}( .{0,5})?", "[ -~é]{0,12}"],
        ) {
            let arena = Bump::new();
            let mut row = Row::new(&arena);
            let mut long = Fields { line: &fields, at: 0 };
            let mut numbers = || Some((status(long.token().ok()?).ok()?, size(long.token().ok()?).ok()?));
            if let Some(end) = usual_numbers(&fields, 0, &mut row) {
                prop_assert_eq!(numbers(), Some((row.status, row.bytes_out)));
                prop_assert_eq!(long.at, end);
            }
        }
    }

    #[test]
    fn the_short_way_is_taken() {
        let arena = Bump::new();
        for peer in ["192.0.2.1", "198.51.100.250", "2001:db8:1:2:3:4:5:6", "-", "unix:"] {
            let line = format!("{peer} - - [05/Mar/2024:10:00:00 +0000] \"GET / HTTP/1.1\" 200 5");
            assert_eq!(usual(&line, &mut Row::new(&arena)), Some(peer.len() + 34), "{peer}");
        }
        for numbers in [" 200 5", " 000 0", " 404 123456789012345678 \"-\""] {
            assert!(usual_numbers(numbers, 0, &mut Row::new(&arena)).is_some(), "{numbers}");
        }
    }
}
