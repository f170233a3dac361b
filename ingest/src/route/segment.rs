//! Which segments of a path are variable: numbers, UUIDs, long hex, e-mail addresses, phone numbers, tokens, prefixed
//! ids. A segment taken for variable by mistake merges two routes; one missed hides an enumeration. So doubtful ones are
//! variable, words and versions are not.

use std::ops::BitOrAssign;

/// The kinds of bytes in a segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Class(u8);

const DIGIT: u8 = 1;
const HEX_LETTER: u8 = 2;
const OTHER_LETTER: u8 = 4;
/// `-` and `_`
const JOINT: u8 = 8;
const DOT: u8 = 16;
/// `@`, `+`, `%`: e-mail addresses and phone numbers, perhaps percent-encoded.
const SPECIAL: u8 = 32;
const OTHER: u8 = 64;
/// What ends a segment.
const SLASH: u8 = 128;

static CLASSES: [u8; 256] = {
    let mut classes = [OTHER; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        classes[byte as usize] = match byte {
            b'0'..=b'9' => DIGIT,
            b'a'..=b'f' | b'A'..=b'F' => HEX_LETTER,
            b'g'..=b'z' | b'G'..=b'Z' => OTHER_LETTER,
            b'-' | b'_' => JOINT,
            b'.' => DOT,
            b'@' | b'+' | b'%' => SPECIAL,
            b'/' => SLASH,
            _ => OTHER,
        };
        byte += 1;
    }
    classes
};

#[inline]
pub(super) fn class_of(byte: u8) -> Class {
    Class(CLASSES[usize::from(byte)])
}

impl BitOrAssign for Class {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl Class {
    pub(super) fn is_slash(self) -> bool {
        self.has(SLASH)
    }

    fn has(self, kinds: u8) -> bool {
        self.0 & kinds != 0
    }

    fn only(self, kinds: u8) -> bool {
        self.0 & !kinds == 0
    }

    /// A cheap look that settles most segments: words do not vary.
    pub(super) fn may_vary(self, length: usize) -> bool {
        self.has(DIGIT | SPECIAL) || (length >= 16 && self.only(HEX_LETTER))
    }

    fn of(text: &[u8]) -> Self {
        let mut class = Self::default();
        for &byte in text {
            class |= class_of(byte);
        }
        class
    }
}

/// A variable segment.
pub(super) struct Variable {
    /// Its first bytes that vary; what follows is a file extension.
    pub(super) length: usize,
}

/// Whether the segment varies; `class` is the kinds of all its bytes.
pub(super) fn variable(segment: &str, class: Class) -> Option<Variable> {
    let bytes = segment.as_bytes();
    if class.has(SPECIAL) {
        return (is_email(bytes) || is_phone(bytes)).then_some(Variable { length: bytes.len() });
    }
    if class.has(DOT) {
        let stem = stem(bytes)?;
        let class = Class::of(stem);
        let varies = is_id(stem, class) || is_numbered(stem);
        return varies.then_some(Variable { length: stem.len() });
    }
    let varies = !is_date(bytes) && (is_id(bytes, class) || is_prefixed(bytes));
    varies.then_some(Variable { length: bytes.len() })
}

/// Ids that are whole segments, or whole file names before the extension.
fn is_id(bytes: &[u8], class: Class) -> bool {
    let length = bytes.len();
    if length == 0 || class.has(OTHER | DOT | SPECIAL) {
        return false;
    }
    if class.only(DIGIT) {
        return true;
    }
    if class.only(DIGIT | HEX_LETTER) {
        return length >= 16 || (length >= 8 && class.has(DIGIT));
    }
    is_uuid(bytes) || (length >= 16 && is_token(bytes, class))
}

/// `0d4c9a52-6f7b-4c1e-9a41-3f0f8d2b7c55`
fn is_uuid(bytes: &[u8]) -> bool {
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => *b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

/// Random letters and digits. Where there are joints it could be a headline (`top-10-tips-for-2024`): in those, letters
/// and digits seldom meet inside a word, in tokens they do all the time.
fn is_token(bytes: &[u8], class: Class) -> bool {
    if !class.has(DIGIT) || !class.has(HEX_LETTER | OTHER_LETTER) {
        return false;
    }
    !class.has(JOINT) || changes(bytes) >= 3
}

/// How often a letter stands beside a digit.
fn changes(bytes: &[u8]) -> usize {
    let meet = |pair: &&[u8]| {
        (pair[0].is_ascii_digit() && pair[1].is_ascii_alphabetic())
            || (pair[0].is_ascii_alphabetic() && pair[1].is_ascii_digit())
    };
    bytes.windows(2).filter(meet).count()
}

/// `usr_9f8a7b6c`, `user-4711`: a word, a joint, and a number or a short token.
fn is_prefixed(bytes: &[u8]) -> bool {
    let Some(joint) = bytes.iter().position(|b| matches!(b, b'-' | b'_')) else { return false };
    let (prefix, tail) = (&bytes[..joint], &bytes[joint + 1..]);
    if !is_word(prefix) {
        return false;
    }
    let class = Class::of(tail);
    if class.only(DIGIT) {
        return tail.len() >= 3;
    }
    // (what stands for a value that is kept secret is an id as much as the value was)
    let varies = changes(tail) >= 2 || prefix == b"hmac";
    let token = class.only(DIGIT | HEX_LETTER | OTHER_LETTER) && tail.len() >= 6 && varies;
    token || is_numbered(bytes)
}

/// `INV-2024-00017`: a word, then numbers, five digits or more.
fn is_numbered(bytes: &[u8]) -> bool {
    let mut parts = bytes.split(|b| matches!(b, b'-' | b'_'));
    let prefixed = parts.next().is_some_and(is_word);
    let mut digits = 0;
    for part in parts {
        if part.is_empty() || !part.iter().all(u8::is_ascii_digit) {
            return false;
        }
        digits += part.len();
    }
    prefixed && digits >= 5
}

fn is_word(bytes: &[u8]) -> bool {
    (1..=12).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_alphabetic)
}

/// `2017-06-30`: such versions of an API do not vary.
fn is_date(bytes: &[u8]) -> bool {
    bytes.len() == 10
        && bytes.iter().enumerate().all(|(at, b)| match at {
            4 | 7 => *b == b'-',
            _ => b.is_ascii_digit(),
        })
}

/// `a@example.com`, `a%40example.com`; not `@a`, a handle.
fn is_email(bytes: &[u8]) -> bool {
    let at = bytes.iter().position(|b| *b == b'@').map(|at| (at, 1));
    let at = at.or_else(|| bytes.windows(3).position(|w| w == b"%40").map(|at| (at, 3)));
    at.is_some_and(|(at, length)| at > 0 && bytes[at + length..].contains(&b'.'))
}

/// `+4915112345678`, `%2B4915112345678`: 7 to 15 digits (E.164).
fn is_phone(bytes: &[u8]) -> bool {
    let ([b'+', digits @ ..] | [b'%', b'2', b'B' | b'b', digits @ ..]) = bytes else { return false };
    (7..=15).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
}

/// What stands before a file extension; `None` if there is none, or one of files that belong to the site itself, whose
/// numbers are versions and hashes.
fn stem(bytes: &[u8]) -> Option<&[u8]> {
    let dot = bytes.iter().rposition(|b| *b == b'.')?;
    let extension = &bytes[dot + 1..];
    let plausible = (1..=8).contains(&extension.len())
        && extension[0].is_ascii_alphabetic()
        && extension.iter().all(u8::is_ascii_alphanumeric);
    let of_the_site = [&b"js"[..], b"mjs", b"css", b"map", b"wasm", b"woff", b"woff2", b"ttf", b"eot", b"ico"]
        .iter()
        .any(|e| e.eq_ignore_ascii_case(extension));
    (plausible && !of_the_site).then_some(&bytes[..dot])
}
