//! Reads JSON objects member by member, without copying and without recursion. It is lenient where log writers are wrong:
//! nginx without `escape=json` writes `\xXX`, which no JSON parser takes.

use bumpalo::Bump;
use memchr::memchr2;

use crate::escape::hex;

/// A member's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Text(&'a str),
    /// As written.
    Number(&'a str),
    Bool(bool),
    Null,
    /// An object or array, as written; its inside is not checked.
    Nested(&'a str),
}

/// The line is not what JSON looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotJson;

/// The members of an object or the elements of an array.
pub(super) struct Members<'a> {
    text: &'a str,
    at: usize,
    /// The closing bracket.
    close: u8,
    first: bool,
    arena: &'a Bump,
}

impl<'a> Members<'a> {
    /// Of a text that begins with a bracket; strings with escapes are kept in the arena.
    pub(super) fn of(text: &'a str, arena: &'a Bump) -> Result<Self, NotJson> {
        let blank = text.len() - text.trim_start().len();
        let close = match text.as_bytes().get(blank) {
            Some(b'{') => b'}',
            Some(b'[') => b']',
            _ => return Err(NotJson),
        };
        Ok(Self { text, at: blank + 1, close, first: true, arena })
    }

    /// The next member of an object. At its end nothing may follow but blanks.
    pub(super) fn member(&mut self) -> Result<Option<(&'a str, Value<'a>)>, NotJson> {
        Ok(self.member_between()?.map(|(key, value, _)| (key, value)))
    }

    /// The next member, and where its value begins.
    pub(super) fn member_between(&mut self) -> Result<Option<(&'a str, Value<'a>, usize)>, NotJson> {
        if !self.advance()? {
            return Ok(None);
        }
        let key = self.string()?;
        self.skip_blanks();
        self.expect(b':')?;
        self.skip_blanks();
        let begin = self.at;
        Ok(Some((key, self.value()?, begin)))
    }

    /// If the text between the last value and the next one is this, as it was in another line where [`Self::member_between`] read
    /// it in this place: passes over it and returns where it begins. Then comes [`Self::value`].
    #[inline]
    pub(super) fn skip(&mut self, around: &str) -> Option<usize> {
        let begin = self.at;
        if !self.text.as_bytes().get(begin..)?.starts_with(around.as_bytes()) {
            return None;
        }
        self.at += around.len();
        self.first = false;
        self.skip_blanks();
        Some(begin)
    }

    /// Where the next byte stands.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The next element of an array.
    pub(super) fn element(&mut self) -> Result<Option<Value<'a>>, NotJson> {
        if self.advance()? { self.value().map(Some) } else { Ok(None) }
    }

    /// Moves to the next member's beginning; false at the end.
    fn advance(&mut self) -> Result<bool, NotJson> {
        self.skip_blanks();
        if self.peek() == Some(self.close) {
            let rest = self.text[self.at + 1..].trim_end();
            return if rest.is_empty() { Ok(false) } else { Err(NotJson) };
        }
        if !std::mem::replace(&mut self.first, false) {
            self.expect(b',')?;
            self.skip_blanks();
        }
        Ok(true)
    }

    /// A value, which begins here.
    #[inline]
    pub(super) fn value(&mut self) -> Result<Value<'a>, NotJson> {
        match self.peek().ok_or(NotJson)? {
            b'"' => self.string().map(Value::Text),
            b'{' | b'[' => self.nested().map(Value::Nested),
            _ => match self.word() {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                "null" => Ok(Value::Null),
                number if is_number(number) => Ok(Value::Number(number)),
                _ => Err(NotJson),
            },
        }
    }

    /// Up to what can follow a value.
    fn word(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let end = rest.bytes().position(|b| matches!(b, b',' | b'}' | b']' | b' ' | b'\t')).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn string(&mut self) -> Result<&'a str, NotJson> {
        let start = self.at + 1;
        let (end, escaped) = self.string_end()?;
        self.at = end + 1;
        let raw = &self.text[start..end];
        Ok(if escaped { unescape(raw, self.arena) } else { raw })
    }

    /// Where the string that begins here ends, and whether it holds escapes.
    fn string_end(&self) -> Result<(usize, bool), NotJson> {
        let bytes = self.text.as_bytes();
        if self.peek() != Some(b'"') {
            return Err(NotJson);
        }
        let mut at = self.at + 1;
        let mut escaped = false;
        loop {
            at += memchr2(b'"', b'\\', bytes.get(at..).ok_or(NotJson)?).ok_or(NotJson)?;
            if bytes[at] == b'"' {
                return Ok((at, escaped));
            }
            escaped = true;
            at += 2;
        }
    }

    fn nested(&mut self) -> Result<&'a str, NotJson> {
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match self.peek().ok_or(NotJson)? {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                b'"' => self.at = self.string_end()?.0,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                // Brackets and quotes are ASCII: `at` is between characters.
                return Ok(&self.text[start..self.at]);
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Result<(), NotJson> {
        if self.peek() != Some(byte) {
            return Err(NotJson);
        }
        self.at += 1;
        Ok(())
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }
}

/// Near enough to tell numbers from words; what reads a number checks it.
fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
}

/// A string's text: JSON's escapes (RFC 8259 §7) and `\xXX`. Bytes that are not UTF-8, and halves of surrogate pairs,
/// become U+FFFD; what is no escape stays.
fn unescape<'a>(raw: &str, arena: &'a Bump) -> &'a str {
    let mut rest = raw.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some(at) = memchr::memchr(b'\\', rest) {
        bytes.extend_from_slice(&rest[..at]);
        let escape = &rest[at + 1..];
        let (plain, used) = match *escape {
            [c @ (b'"' | b'\\' | b'/'), ..] => (c, 2),
            [b'n', ..] => (b'\n', 2),
            [b'r', ..] => (b'\r', 2),
            [b't', ..] => (b'\t', 2),
            [b'b', ..] => (0x08, 2),
            [b'f', ..] => (0x0C, 2),
            [b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (hex(high) << 4 | hex(low), 4)
            }
            [b'u', ..] if let Some((c, used)) = utf16(escape) => {
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &escape[used..];
                continue;
            }
            _ => (b'\\', 1),
        };
        bytes.push(plain);
        rest = &rest[at + used..];
    }
    bytes.extend_from_slice(rest);
    arena.alloc_str(&String::from_utf8_lossy(&bytes))
}

/// The character that `uXXXX`, or a pair `uXXXX\uXXXX`, stands for, and how many bytes that takes.
fn utf16(escape: &[u8]) -> Option<(char, usize)> {
    let first = unit(escape)?;
    if let Some(c) = char::from_u32(first) {
        return Some((c, 5));
    }
    let second = escape.get(5..).filter(|rest| rest.starts_with(b"\\")).and_then(|rest| unit(&rest[1..]));
    match second {
        Some(second @ 0xDC00..=0xDFFF) if first < 0xDC00 => {
            let c = char::from_u32(0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00));
            Some((c.unwrap_or(char::REPLACEMENT_CHARACTER), 11))
        }
        _ => Some((char::REPLACEMENT_CHARACTER, 5)),
    }
}

/// `uXXXX`
fn unit(escape: &[u8]) -> Option<u32> {
    let digits = escape.strip_prefix(b"u")?.get(..4)?;
    let all_hex = digits.iter().all(u8::is_ascii_hexdigit);
    all_hex.then(|| digits.iter().fold(0, |value, digit| value << 4 | u32::from(hex(*digit))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value as Json;

    fn read<'a>(text: &'a str, arena: &'a Bump) -> Result<Vec<(&'a str, Value<'a>)>, NotJson> {
        let mut members = Members::of(text, arena)?;
        let mut all = Vec::new();
        while let Some((key, value)) = members.member()? {
            all.push((key, value));
        }
        Ok(all)
    }

    fn same(ours: &Value<'_>, theirs: &Json) -> bool {
        match (ours, theirs) {
            (Value::Text(a), Json::String(b)) => a == b,
            (Value::Number(a), Json::Number(_)) => serde_json::from_str::<Json>(a).is_ok_and(|a| a == *theirs),
            (Value::Bool(a), Json::Bool(b)) => a == b,
            (Value::Null, Json::Null) => true,
            (Value::Nested(a), Json::Object(_) | Json::Array(_)) => {
                serde_json::from_str::<Json>(a).is_ok_and(|a| a == *theirs)
            }
            _ => false,
        }
    }

    fn json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<String>().prop_map(Json::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                proptest::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|map| Json::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json(object in proptest::collection::btree_map(any::<String>(), json(), 0..6)) {
            let text = serde_json::to_string(&object).expect("serialises");
            let arena = Bump::new();
            let ours = read(&text, &arena).expect("is JSON");
            prop_assert_eq!(ours.len(), object.len());
            for ((key, value), (their_key, theirs)) in ours.iter().zip(&object) {
                prop_assert_eq!(*key, their_key);
                prop_assert!(same(value, theirs), "{:?} {:?}", value, theirs);
            }
        }

        #[test]
        fn nothing_panics(text in any::<String>(), like in "[{\\[\\]}\",:\\\\ux0-9a-f ]{0,40}") {
            let arena = Bump::new();
            let _ = read(&text, &arena);
            let _ = read(&like, &arena);
            let _ = read(&format!("{{{like}"), &arena);
        }
    }

    proptest! {
        /// What is passed over is read as it would be member by member, whatever blanks stand in the two lines.
        #[test]
        fn skipping_is_reading(
            one in " ?\"a\" ?: ?1 ?, ?\"b\" ?: ?2 ?",
            other in " ?\"a\" ?: {0,2}1 ?, ?\"b\" {0,2}: {0,2}[1-3x]? ?",
        ) {
            let arena = Bump::new();
            let (one, other) = (format!("{{{one}}}"), format!("{{{other}}}"));
            let (mut members, mut read_on) = (Members::of(&one, &arena).expect("is one"), Vec::new());
            let mut skipping = Members::of(&other, &arena).expect("is one");
            loop {
                let begin = members.at();
                let Some((_, _, value)) = members.member_between().expect("is JSON") else { break };
                if skipping.skip(&one[begin..value]).is_none() {
                    break;
                }
                read_on.push(skipping.value());
            }
            let mut plain = Members::of(&other, &arena).expect("is one");
            for value in read_on {
                let found = plain.member();
                prop_assert_eq!(value, found.map(|member| member.expect("is there").1));
            }
        }
    }

    #[test]
    fn repairs_what_nginx_writes() {
        let arena = Bump::new();
        let line = r#"{"a": "\x22GET\x5C \xD0\xBF\xFF", "b": "\ud83d\ude00\ud83d"}"#;
        let ours = read(line, &arena).expect("is near JSON");
        assert_eq!(ours[0].1, Value::Text("\"GET\\ п\u{fffd}"));
        assert_eq!(ours[1].1, Value::Text("😀\u{fffd}"));
    }

    #[test]
    fn refuses_what_is_cut_or_glued() {
        for text in [
            "",
            "{",
            "{\"a",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1}{",
            "[1]x",
            "{a:1}",
            "{\"a\" 1}",
            "{\"a\":1 \"b\":2}",
            "{\"a\":[1}",
        ] {
            assert!(read(text, &Bump::new()).is_err(), "{text}");
        }
    }
}
