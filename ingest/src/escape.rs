//! Undoing what log writers do to quoted fields: nginx's `\xXX` (bytes below 0x20, above 0x7E, `"` and `\`), Apache's
//! `\"`, `\\`, `\n`, `\xhh`.

use bumpalo::Bump;

/// A field ends here: its raw text and what follows its closing quote.
pub(crate) struct Quoted<'a> {
    /// Between the quotes, as logged.
    pub(crate) raw: &'a str,
    /// Whether `raw` holds escapes.
    pub(crate) escaped: bool,
    /// Bytes of the line up to and including the closing quote.
    pub(crate) end: usize,
}

/// Reads the quoted field whose first byte inside the quotes is at `start`. `None`: it does not end.
pub(crate) fn quoted(line: &str, start: usize) -> Option<Quoted<'_>> {
    let bytes = line.as_bytes();
    let mut at = start;
    let mut escaped = false;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(Quoted { raw: &line[start..at], escaped, end: at + 1 });
        }
        escaped = true;
        at += 2;
    }
}

impl<'a> Quoted<'a> {
    /// The field's text without escapes.
    pub(crate) fn text(&self, arena: &'a Bump) -> &'a str {
        if self.escaped { unescape(self.raw, arena) } else { self.raw }
    }
}

/// `%20` → ` `; what is no escape stays, what is not UTF-8 becomes U+FFFD.
pub(crate) fn percent_decoded(text: &str) -> String {
    let mut rest = text.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    while let [first, after @ ..] = rest {
        match (first, after) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(hex(*high) << 4 | hex(*low));
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// `text` without escapes. Bytes that `\xXX` stood for and that are not UTF-8 become U+FFFD; what is no escape stays.
pub(crate) fn unescape<'a>(text: &str, arena: &'a Bump) -> &'a str {
    let mut rest = text.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some(at) = memchr::memchr(b'\\', rest) {
        bytes.extend_from_slice(&rest[..at]);
        let (byte, used) = match rest[at + 1..] {
            [b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (hex(high) << 4 | hex(low), 4)
            }
            [b'n', ..] => (b'\n', 2),
            [b'r', ..] => (b'\r', 2),
            [b't', ..] => (b'\t', 2),
            [b'b', ..] => (0x08, 2),
            [b'f', ..] => (0x0C, 2),
            [b'v', ..] => (0x0B, 2),
            [c @ (b'"' | b'\\'), ..] => (c, 2),
            _ => (b'\\', 1),
        };
        bytes.push(byte);
        rest = &rest[at + used..];
    }
    bytes.extend_from_slice(rest);
    arena.alloc_str(&String::from_utf8_lossy(&bytes))
}

/// The value of a hexadecimal digit.
pub(crate) fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20).wrapping_sub(b'a').wrapping_add(10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_nginx_and_apache() {
        for (raw, text) in [
            ("plain", "plain"),
            (r"\x22a\x5Cb\x0a", "\"a\\b\n"),
            (r#"a\"b\\c\n\t"#, "a\"b\\c\n\t"),
            (r"\xd0\xBF", "п"),
            (r"\xff\xfe.", "\u{fffd}\u{fffd}."),
            (r"\x2", r"\x2"),
            (r"\q\", r"\q\"),
        ] {
            assert_eq!(unescape(raw, &Bump::new()), text, "{raw}");
        }
    }

    #[test]
    fn a_quote_ends_unless_escaped() {
        let field = quoted(r#""a\"b\\" x"#, 1).expect("ends");
        assert_eq!((field.raw, field.escaped, field.end), (r#"a\"b\\"#, true, 8));
        assert!(quoted(r#""a\""#, 1).is_none());
        assert!(quoted("\"a\\", 1).is_none());
        assert!(quoted("\"", 1).is_none());
    }
}
