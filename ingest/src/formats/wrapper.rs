//! What collectors put around a log's lines: Docker's json-file, Kubernetes' CRI, syslog. The line within is any format's.

use std::sync::Arc;
use std::time::Duration;

use bumpalo::Bump;

use super::json_scan::{Members, NotJson, Value};
use super::pieces::{self, Pieces};
use super::{AnyFormat, Format, Heading, Line};
use crate::reject::RejectReason;
use crate::row::Row;
use crate::time;

/// Takes the line out of its wrapper.
type Open = for<'a> fn(&'a str, &'a Bump) -> Result<&'a str, RejectReason>;

/// A kind of wrapper.
#[derive(Clone, Copy)]
pub(crate) struct Wrapper {
    /// Stands before the format's name: `docker+combined`.
    pub(crate) name: &'static str,
    pub(crate) layout: &'static str,
    pub(crate) open: Open,
    /// How it cuts long lines.
    pub(crate) pieces: Option<Pieces>,
}

/// All wrappers.
pub(crate) const WRAPPERS: [Wrapper; 3] = [
    Wrapper {
        name: "docker",
        layout: r#"{"log":"LINE\n","stream":"stdout","time":".."}"#,
        open: docker,
        pieces: Some(pieces::DOCKER),
    },
    Wrapper {
        name: "cri",
        layout: "2024-03-05T10:00:00.123456789Z stdout F LINE",
        open: cri,
        pieces: Some(pieces::CRI),
    },
    Wrapper {
        name: "syslog",
        layout: "Mar  5 10:00:00 host tag[pid]: LINE, or <134>1 2024-03-05T10:00:00Z host app pid id - LINE",
        open: syslog,
        pieces: None,
    },
];

/// A format in a wrapper.
struct Wrapped {
    wrapper: Wrapper,
    inner: AnyFormat,
    name: String,
    layout: String,
}

/// `inner` within `wrapper`.
pub(crate) fn wrapped(wrapper: Wrapper, inner: AnyFormat) -> AnyFormat {
    let name = format!("{}+{}", wrapper.name, inner.name());
    let layout = wrapper.layout.replace("LINE", inner.layout());
    AnyFormat::Made(Arc::new(Wrapped { wrapper, inner, name, layout }))
}

impl Format for Wrapped {
    fn name(&self) -> &str {
        &self.name
    }

    fn layout(&self) -> &str {
        &self.layout
    }

    fn default_lateness(&self) -> Duration {
        self.inner.default_lateness()
    }

    fn parse<'a>(&self, line: Line<'a>, row: &mut Row<'a>) -> Result<(), RejectReason> {
        let inner = (self.wrapper.open)(line, row.arena)?;
        self.inner.parse(inner, row)
    }

    fn pieces(&self) -> Option<(Pieces, &AnyFormat)> {
        self.wrapper.pieces.map(|pieces| (pieces, &self.inner))
    }

    fn heading(&self, line: Line<'_>) -> Option<Heading> {
        let arena = Bump::new();
        let line = (self.wrapper.open)(line, &arena).ok()?;
        Some(match self.inner.heading(line)? {
            Heading::Comment => Heading::Comment,
            Heading::Fields(inner) => Heading::Fields(wrapped(self.wrapper, inner)),
        })
    }
}

/// A line that is not cut: the pieces of others are `pieces`' business.
fn docker<'a>(line: &'a str, arena: &'a Bump) -> Result<&'a str, RejectReason> {
    let mut members = Members::of(line, arena).map_err(|NotJson| RejectReason::NotJson)?;
    let (mut log, mut has_stream) = (None, false);
    while let Some((key, value)) = members.member().map_err(|NotJson| RejectReason::NotJson)? {
        match (key, value) {
            ("log", Value::Text(text)) => log = Some(text),
            ("stream", _) => has_stream = true,
            _ => {}
        }
    }
    let log = log.filter(|_| has_stream).ok_or(RejectReason::OtherLayout)?;
    let text = log.strip_suffix('\n').ok_or(RejectReason::Piece)?;
    Ok(text.strip_suffix('\r').unwrap_or(text))
}

/// `time stream tag text`; the tag is `F`, or `P` for all pieces of a line but the last.
fn cri<'a>(line: &'a str, _: &'a Bump) -> Result<&'a str, RejectReason> {
    let mut parts = line.splitn(4, ' ');
    let (time, stream) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    if !matches!(stream, "stdout" | "stderr") || time::iso(time.as_bytes()).is_none() {
        return Err(RejectReason::OtherLayout);
    }
    match (parts.next().map(|tag| tag.split(':').next().unwrap_or(tag)), parts.next()) {
        (Some("F"), Some(text)) => Ok(text),
        (Some("P"), _) => Err(RejectReason::Piece),
        _ => Err(RejectReason::OtherLayout),
    }
}

/// RFC 5424, RFC 3164, and what rsyslog writes into files: the latter without a priority or with an ISO time.
fn syslog<'a>(line: &'a str, _: &'a Bump) -> Result<&'a str, RejectReason> {
    let with_priority = line.strip_prefix('<').and_then(|rest| {
        let (priority, rest) = rest.split_once('>')?;
        ((1..=3).contains(&priority.len()) && priority.bytes().all(|b| b.is_ascii_digit())).then_some(rest)
    });
    let rest = with_priority.unwrap_or(line);
    if with_priority.is_some()
        && let Some(rest) = rest.strip_prefix("1 ")
    {
        return rfc5424(rest).ok_or(RejectReason::OtherLayout);
    }
    rfc3164(rest).ok_or(RejectReason::OtherLayout)
}

/// `time host app pid id data text`
fn rfc5424(text: &str) -> Option<&str> {
    let (stamp, rest) = text.split_once(' ')?;
    if stamp != "-" {
        time::iso(stamp.as_bytes())?;
    }
    let data = rest.splitn(5, ' ').nth(4)?;
    let text = match data.strip_prefix('-') {
        Some(text) => text,
        None => after_structured_data(data)?,
    };
    let text = text.strip_prefix(' ')?;
    Some(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// `[id key="value"][id]`; `]`, `"` and `\` in a value stand behind a `\`.
fn after_structured_data(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some(element) = rest.strip_prefix('[') {
        let (mut quoted, mut escaped) = (false, false);
        let end = element.bytes().position(|byte| {
            let ends = byte == b']' && !quoted;
            quoted ^= byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        })?;
        rest = &element[end + 1..];
    }
    (rest.len() < text.len()).then_some(rest)
}

/// `time host tag: text`
fn rfc3164(text: &str) -> Option<&str> {
    const STAMP: usize = "Mar  5 10:00:00".len();
    let is_bsd = text.get(..STAMP + 1).is_some_and(|stamp| {
        matches!(*stamp.as_bytes(), [m0, m1, m2, b' ', d0, d1, b' ', h0, h1, b':', i0, i1, b':', t0, t1, b' ']
            if m0.is_ascii_uppercase() && m1.is_ascii_lowercase() && m2.is_ascii_lowercase()
            && (d0 == b' ' || d0.is_ascii_digit())
            && [d1, h0, h1, i0, i1, t0, t1].iter().all(u8::is_ascii_digit))
    });
    let rest = if is_bsd {
        &text[STAMP + 1..]
    } else {
        let (stamp, rest) = text.split_once(' ')?;
        time::iso(stamp.as_bytes())?;
        rest
    };
    // What writes to a socket or to its container's output leaves the host out.
    let has_host = rest.split_once(' ').is_some_and(|(first, _)| !first.ends_with(':'));
    let rest = if has_host { rest.split_once(' ')?.1 } else { rest };
    let (tag, text) = rest.split_once(": ")?;
    let is_tag = !tag.is_empty() && !tag.contains([' ', '"', '{']);
    is_tag.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, line: &str, expected: Result<&str, RejectReason>) {
        let wrapper = WRAPPERS.iter().find(|wrapper| wrapper.name == name).expect(name);
        assert_eq!((wrapper.open)(line, &Bump::new()), expected, "{line}");
    }

    #[test]
    fn containers() {
        check("docker", r#"{"log":"a \"b\"\r\n","stream":"stdout","time":"2024-03-05T10:00:00Z"}"#, Ok("a \"b\""));
        check("docker", r#"{"log":"a","stream":"stdout","time":"2024-03-05T10:00:00Z"}"#, Err(RejectReason::Piece));
        check("docker", r#"{"log":"a\n","time":"2024-03-05T10:00:00Z"}"#, Err(RejectReason::OtherLayout));
        check("docker", "a", Err(RejectReason::NotJson));
        check("cri", "2024-03-05T10:00:00.123456789Z stdout F a  b", Ok("a  b"));
        check("cri", "2024-03-05T10:00:00.123456789Z stderr P a", Err(RejectReason::Piece));
        check("cri", "2024-03-05T10:00:00Z stdlog F a", Err(RejectReason::OtherLayout));
        check("cri", "yesterday stdout F a", Err(RejectReason::OtherLayout));
    }

    #[test]
    fn syslog_of_all_kinds() {
        for line in [
            "Mar  5 10:00:00 gate nginx: a: b",
            "<190>Mar 15 10:00:00 gate nginx[17]: a: b",
            "<134>Mar  5 10:00:00 haproxy[8]: a: b",
            "2024-03-05T10:00:00.123+01:00 gate nginx[17]: a: b",
            "<134>1 2024-03-05T10:00:00Z gate nginx 17 - - a: b",
            "<134>1 - - - - - [x@1 k=\"\\\"]\"][y] \u{feff}a: b",
        ] {
            check("syslog", line, Ok("a: b"));
        }
        for line in
            ["Mar  5 10:00 gate nginx: a", "<134>1 now gate nginx 17 - - a", "<134>1 - - - - - [x a", "a b c: d"]
        {
            check("syslog", line, Err(RejectReason::OtherLayout));
        }
    }
}
