//! Text from logs on a terminal: nothing in it may steer the terminal, and a line stays a line.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use std::fmt::Write as _;
use std::io;
use std::sync::Arc;

/// `text` with control and direction-changing characters escaped, and cut to `width` characters.
pub fn plain(text: &str, width: usize) -> String {
    let mut out = String::new();
    for (i, c) in text.chars().enumerate() {
        if i == width {
            out.push('…');
            break;
        }
        if c.is_control() || is_invisible(c) {
            let _ = write!(out, "{}", c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Direction marks, zero-width characters, line separators, tags.
fn is_invisible(c: char) -> bool {
    matches!(u32::from(c), 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x206F | 0xFEFF | 0xFFF9..=0xFFFB | 0xE0000..=0xE0FFF)
}

/// Passes JSON on, with the characters that could steer a terminal as `\\uXXXX`: JSON itself escapes only those below U+0020.
///
/// Takes whole characters in each write, as the JSON writer does.
pub struct PlainJson<W>(pub W);

impl<W: io::Write> io::Write for PlainJson<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_ascii() && !bytes.contains(&0x7F) {
            self.0.write_all(bytes)?;
            return Ok(bytes.len());
        }
        let mut out = String::with_capacity(bytes.len());
        for c in String::from_utf8_lossy(bytes).chars() {
            if (c.is_control() && c > '\u{1F}') || is_invisible(c) {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            } else {
                out.push(c);
            }
        }
        self.0.write_all(out.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A JSON value as a person writes it.
pub fn value(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => plain(text, 80),
        serde_json::Value::Null => "-".into(),
        serde_json::Value::Number(n) if n.is_f64() => n.as_f64().map_or_else(String::new, |x| format!("{x:.3}")),
        other => plain(&other.to_string(), 80),
    }
}

/// µs since the epoch as `2026-03-02 07:00:00`, UTC.
pub fn time(us: i64) -> String {
    jiff::Timestamp::from_microsecond(us)
        .map_or_else(|_| us.to_string(), |t| t.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// A batch with all strings made plain and cut to `width` characters.
pub fn plain_batch(batch: &RecordBatch, width: usize) -> anyhow::Result<RecordBatch> {
    with_texts(batch, |text| plain(text, width))
}

/// A batch with all strings made plain, and with a `'` before those that a spreadsheet would take for a formula.
pub fn harmless_batch(batch: &RecordBatch) -> anyhow::Result<RecordBatch> {
    with_texts(batch, |text| {
        let formula = text.trim_start().starts_with(['=', '+', '-', '@']) || text.starts_with(char::is_whitespace);
        let text = plain(text, usize::MAX);
        if formula { format!("'{text}") } else { text }
    })
}

fn with_texts(batch: &RecordBatch, change: impl Fn(&str) -> String) -> anyhow::Result<RecordBatch> {
    let columns = batch.columns().iter().map(|column| -> anyhow::Result<ArrayRef> {
        if !matches!(column.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
            return Ok(Arc::clone(column));
        }
        let strings = cast(column, &DataType::Utf8)?;
        let changed: StringArray = strings.as_string::<i32>().iter().map(|s| s.map(&change)).collect();
        Ok(Arc::new(changed))
    });
    let columns = columns.collect::<anyhow::Result<Vec<_>>>()?;
    let fields = batch
        .schema()
        .fields()
        .iter()
        .zip(&columns)
        .map(|(f, c)| Field::new(f.name(), c.data_type().clone(), true))
        .collect::<Vec<_>>();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// `12345678` as `12,345,678`.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// Bytes as `1.2 GB`.
#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
pub fn bytes(n: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit < units.len() - 1 {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} B") } else { format!("{value:.1} {}", units[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\n\u{202e}c", 50), "a\\u{1b}[31mb\\n\\u{202e}c");
        assert_eq!(plain("abcdef", 3), "abc…");
    }

    #[test]
    fn json_stays_the_same_json() {
        let value = serde_json::json!({"a": "x\u{9b}y\u{202e}\u{7f}ü\u{e0041}\n"});
        let mut out = Vec::new();
        io::Write::write_all(&mut PlainJson(&mut out), value.to_string().as_bytes()).unwrap();
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&out).unwrap(), value);
        assert_eq!(String::from_utf8(out).unwrap(), "{\"a\":\"x\\u009by\\u202e\\u007fü\\udb40\\udc41\\n\"}");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 12_345_678].map(thousands), ["0", "999", "1,000", "12,345,678"]);
        assert_eq!([999, 1500, 2_340_000].map(bytes), ["999 B", "1.5 kB", "2.3 MB"]);
    }
}
