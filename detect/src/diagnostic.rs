//! What is wrong with a file a person wrote, said so that they can mend it: what, where (file, line, a caret under the
//! text), and what to do.

use std::fmt;

use datafusion::common::{DataFusionError, Span};
use serde::Serialize;

/// A place in a text: 1-based line and column (in characters), and how many characters it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Characters to underline, at least 1.
    pub width: usize,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It works, at a price or with a risk.
    Warning,
    /// It does not work.
    Error,
}

/// One problem in one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The file, or what stands for it (`--sql`).
    pub origin: String,
    /// What is wrong, one sentence.
    pub message: String,
    /// Where, if known.
    pub place: Option<Place>,
    /// What to do about it.
    pub help: Option<String>,
    /// The line that `place` points into.
    line_text: Option<String>,
}

impl std::error::Error for Diagnostic {}

impl Diagnostic {
    /// A problem at `place` of `text`.
    pub fn new(origin: &str, text: &str, place: Option<Place>, message: impl Into<String>) -> Self {
        let line_text = place.and_then(|p| text.lines().nth(p.line - 1)).map(str::to_owned);
        let severity = Severity::Error;
        Self { severity, origin: origin.to_owned(), message: message.into(), place, help: None, line_text }
    }

    /// The same as a warning.
    #[must_use]
    pub fn warning(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }

    /// For programs: `severity`, `file`, `line` and `column` (from 1; null if unknown), `message`, `help`.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "severity": self.severity,
            "file": self.origin,
            "line": self.place.map(|p| p.line),
            "column": self.place.map(|p| p.column),
            "message": self.message,
            "help": self.help,
        })
    }

    /// The same with advice.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// A problem where `needle` stands in `text` (letter case aside), or nowhere in particular if it does not.
    pub fn at_word(origin: &str, text: &str, needle: &str, message: impl Into<String>) -> Self {
        Self::new(origin, text, find_word(text, needle), message)
    }

    /// The same where `needle` stands after the `n`-th (from 0) `marker`, such as `[[route]]`.
    pub fn at_word_after(
        origin: &str,
        text: &str,
        (marker, n): (&str, usize),
        needle: &str,
        message: impl Into<String>,
    ) -> Self {
        let from = text.match_indices(marker).nth(n).map_or(0, |(at, _)| at);
        let place = find_word(&text[from..], needle).map(|place| Place {
            line: place.line + text[..from].matches('\n').count(),
            column: if place.line == 1 { place.column + column(text, from) - 1 } else { place.column },
            ..place
        });
        Self::new(origin, text, place, message)
    }

    /// What DataFusion says of `text`, with its place where it knows one.
    pub fn from_datafusion(origin: &str, text: &str, error: &DataFusionError) -> Self {
        if let Some(d) = error.diagnostic() {
            let place = d.span.map(|span| place_of(text, span));
            let message = d.message.split(" at Line: ").next().unwrap_or_default();
            let helps: Vec<_> =
                d.notes.iter().map(|n| n.message.as_str()).chain(d.helps.iter().map(|h| h.message.as_str())).collect();
            let help = if helps.is_empty() { general_help(message) } else { Some(helps.join("; ")) };
            return Self { help, ..Self::new(origin, text, place, message) };
        }
        let root = error.find_root().strip_backtrace();
        // The parser puts its place into the text: "... at Line: 3, Column: 14".
        let (message, place) = match root.rsplit_once(" at Line: ") {
            Some((message, rest)) => (message.to_owned(), parse_place(rest)),
            None => (root, None),
        };
        let message = [
            "SQL error: ParserError(\"",
            "Error during planning: ",
            "Schema error: ",
            "This feature is not implemented: ",
        ]
        .iter()
        .fold(message, |m, prefix| m.strip_prefix(prefix).map_or(m.clone(), str::to_owned));
        Self { help: general_help(&message), ..Self::new(origin, text, place, message) }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = if self.severity == Severity::Error { "error" } else { "warning" };
        write!(f, "{severity}: {}", self.message)?;
        if let (Some(Place { line, column, width }), Some(text)) = (self.place, &self.line_text) {
            let gutter = line.to_string().len();
            // A tab stays a tab before the caret, so that both lines are cut the same by the terminal.
            let indent: String = text.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            write!(f, "\n{:gutter$}--> {}:{line}:{column}", "", self.origin)?;
            write!(f, "\n{:gutter$} |\n{line} | {text}", "")?;
            write!(f, "\n{:gutter$} | {indent}{}", "", "^".repeat(width.max(1)))?;
            if let Some(help) = &self.help {
                write!(f, "\n{:gutter$} = help: {help}", "")?;
            }
        } else {
            write!(f, "\n --> {}", self.origin)?;
            if let Some(help) = &self.help {
                write!(f, "\n  = help: {help}")?;
            }
        }
        Ok(())
    }
}

/// What to do about errors for which DataFusion has no advice of its own.
fn general_help(message: &str) -> Option<String> {
    if message.starts_with("Expected: ") {
        return Some(
            "the SQL goes wrong just before this place: look for a missing comma, keyword or parenthesis".into(),
        );
    }
    if message.starts_with("table '") && message.ends_with("' not found") {
        return Some(
            "the tables are requests (as tumble(requests, ...) or hop(...)), the baselines, routes, and each [[lookup]] of the config"
                .into(),
        );
    }
    let name = message.strip_prefix("column '")?.strip_suffix("' not found")?.rsplit('.').next()?;
    if name.starts_with("window_") {
        return Some(
            "read FROM tumble(requests, ts, INTERVAL '10 minutes') or hop(...): they add window_start and window_end"
                .into(),
        );
    }
    let schema = tripline_ingest::schema();
    let columns: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    Some(format!("the columns of requests are: {}", columns.join(", ")))
}

/// The column of byte `at`, from 1.
fn column(text: &str, at: usize) -> usize {
    text[..at].rsplit('\n').next().unwrap_or("").chars().count() + 1
}

/// Where the byte range `start..end` of `text` is.
pub fn place_of_bytes(text: &str, start: usize, end: usize) -> Place {
    let before = text.get(..start).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |i| i + 1);
    Place {
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        width: text.get(start..end).map_or(1, |t| t.lines().next().unwrap_or("").chars().count().max(1)),
    }
}

fn place_of(text: &str, span: Span) -> Place {
    let at = |n: u64| usize::try_from(n).unwrap_or(1).max(1);
    let (line, column) = (at(span.start.line), at(span.start.column));
    let width = if span.end.line == span.start.line {
        at(span.end.column.saturating_sub(span.start.column))
    } else {
        text.lines().nth(line - 1).map_or(1, |l| l.chars().count().saturating_sub(column - 1).max(1))
    };
    Place { line, column, width }
}

/// `3, Column: 14...` → line 3, column 14.
fn parse_place(rest: &str) -> Option<Place> {
    let (line, rest) = rest.split_once(", Column: ")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (line, column) = (line.trim().parse().ok()?, rest[..digits].parse().ok()?);
    (line > 0 && column > 0).then_some(Place { line, column, width: 1 })
}

fn find_word(text: &str, needle: &str) -> Option<Place> {
    let (lower, needle) = (text.to_ascii_lowercase(), needle.to_ascii_lowercase());
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let start = lower
        .match_indices(&needle)
        .map(|(i, _)| i)
        .find(|&i| !lower[..i].ends_with(is_word) && !lower[i + needle.len()..].starts_with(is_word))?;
    Some(place_of_bytes(text, start, start + needle.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_under_the_word() {
        let text = "SELECT a,\n  clinet\nFROM t";
        let d =
            Diagnostic::at_word("rule.sql", text, "clinet", "no column \"clinet\"").with_help("did you mean client?");
        let want = "error: no column \"clinet\"\n --> rule.sql:2:3\n  |\n2 |   clinet\n  |   ^^^^^^\n  = help: did you mean client?";
        assert_eq!(d.to_string(), want);
    }

    #[test]
    fn a_warning_says_so_to_people_and_programs() {
        let d = Diagnostic::at_word("rule.sql", "SELECT\n a", "a", "dear").warning().with_help("b");
        assert!(d.to_string().starts_with("warning: dear\n --> rule.sql:2:2\n"), "{d}");
        let json = serde_json::json!({
            "severity": "warning", "file": "rule.sql", "line": 2, "column": 2, "message": "dear", "help": "b"
        });
        assert_eq!(d.to_json(), json);
    }

    #[test]
    fn without_a_place_says_the_file() {
        let d = Diagnostic::new("rule.sql", "", None, "no text");
        assert_eq!(d.to_string(), "error: no text\n --> rule.sql");
    }
}
