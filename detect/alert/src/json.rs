//! JSON in the two ways in which the crate writes it: canonical, to be hashed; and safe to show, to be sent or printed.

use std::io;

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

/// A value in one spelling: object keys sorted by their bytes, no blanks.
pub fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<_> = map.iter().collect();
            pairs.sort_by_key(|(key, _)| *key);
            let pairs: Vec<_> =
                pairs.iter().map(|(k, v)| format!("{}:{}", Value::from(k.as_str()), canonical(v))).collect();
            format!("{{{}}}", pairs.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        scalar => scalar.to_string(),
    }
}

/// One line of JSON that is harmless where it ends up: log text is written by attackers.
///
/// To a JSON parser it is the same as any other spelling. Beyond what JSON demands it escapes what a terminal obeys
/// (DEL, the C1 controls), what turns text around or hides it (bidirectional and zero-width characters), what ends a line
/// in JavaScript (U+2028, U+2029), and what opens a tag in HTML (`<`, `>`, `&`).
pub fn to_string(value: &impl Serialize) -> serde_json::Result<String> {
    let mut bytes = Vec::with_capacity(1024);
    value.serialize(&mut Serializer::with_formatter(&mut bytes, Escaping(CompactFormatter)))?;
    String::from_utf8(bytes).map_err(|e| serde_json::Error::io(io::Error::other(e)))
}

struct Escaping(CompactFormatter);

impl Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(must_be_escaped) {
            let (plain, tail) = rest.split_at(at);
            self.0.write_string_fragment(writer, plain)?;
            let mut chars = tail.chars();
            if let Some(c) = chars.next() {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
            rest = chars.as_str();
        }
        self.0.write_string_fragment(writer, rest)
    }
}

pub(crate) fn must_be_escaped(c: char) -> bool {
    matches!(
        c,
        '<' | '>' | '&'
            | '\u{7f}'..='\u{9f}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn canonical_sorts_keys_at_every_depth() {
        let value: Value = serde_json::from_str(r#"{"b": [{"z": 1, "a": null}], "a": "\u001b"}"#).unwrap();
        assert_eq!(canonical(&value), r#"{"a":"\u001b","b":[{"a":null,"z":1}]}"#);
    }

    #[test]
    fn hostile_text_is_inert() {
        let hostile = "\u{1b}[2J</script>\u{9b}31m\u{202e}gpj.exe\u{2028}\u{e0041}&";
        let text = to_string(&json!({ hostile: hostile })).unwrap();
        assert_eq!(
            text.matches("\\u001b[2J\\u003c/script\\u003e\\u009b31m\\u202egpj.exe\\u2028\\udb40\\udc41\\u0026").count(),
            2
        );
    }

    proptest! {
        #[test]
        fn it_reads_back_and_shows_nothing_hostile(text in "\\PC*|[\\x00-\\x{a0}<>&\\x{2028}\\x{202e}\\x{feff}\\x{e0001}]*") {
            let written = to_string(&text).unwrap();
            prop_assert!(!written.contains(|c: char| c.is_control() || must_be_escaped(c)));
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
        }
    }
}
