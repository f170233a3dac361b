//! Log lines by example: the string that tells a server how to log, `$remote_addr [$time_local] "$request" $status`, is
//! compiled into what reads such lines. From left to right and without going back: a line costs what its length is.

use memchr::memmem;

use super::clf::Fields;
use super::field::{Decode, Field, Found, Meaning};
use super::json_scan::Value;
use super::syntax::{Piece, Syntax};
use crate::escape::quoted;
use crate::reject::RejectReason;
use crate::row::Row;

/// A compiled layout.
#[derive(Debug)]
pub(super) struct Template {
    /// What stands before the first variable.
    begin: String,
    variables: Vec<Variable>,
}

#[derive(Debug)]
struct Variable {
    name: String,
    meaning: Meaning,
    kind: Kind,
    /// What stands between it and the next one.
    after: String,
}

/// Where a value ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// At the next quote that is not escaped.
    Quoted,
    /// Where what follows begins; there are no blanks in it.
    Token,
    /// Where what follows begins.
    Text,
    /// At a blank, but for those after a comma and around a colon: nginx's upstreams.
    List,
    /// At a slash: a path follows at once.
    UpToSlash,
}

impl Template {
    /// Err: why lines in this layout cannot be read.
    pub(super) fn new(layout: &str, meaning: impl Fn(&str) -> Meaning) -> Result<Self, String> {
        let mut begin = String::new();
        let mut variables: Vec<Variable> = Vec::new();
        for piece in Syntax::of(layout).pieces(layout)? {
            match piece {
                Piece::Literal(text) => variables.last_mut().map_or(&mut begin, |last| &mut last.after).push_str(&text),
                Piece::Variable(name) => {
                    let meaning = meaning(&name);
                    variables.push(Variable { name, meaning, kind: Kind::Token, after: String::new() });
                }
            }
        }
        let mut before = begin.clone();
        for at in 0..variables.len() {
            let next = variables.get(at + 1).map(|next| (next.meaning, next.name.clone()));
            let variable = &mut variables[at];
            variable.kind = variable.kind_after(&before, next)?;
            before.clone_from(&variable.after);
        }
        let has = |wanted: &[Field]| {
            variables.iter().any(|v| matches!(v.meaning, Meaning::Is(field, _) if wanted.contains(&field)))
        };
        if !has(&[Field::Time]) {
            return Err("it has no time, so nothing can be counted".to_owned());
        }
        if !has(&[Field::Request, Field::Target, Field::Path]) {
            return Err("it has no request, so there is nothing to look for".to_owned());
        }
        Ok(Self { begin, variables })
    }

    /// Parses a line. What follows the last variable goes to `extra.trailing` and counts as unknown.
    pub(super) fn parse<'a>(&self, line: &'a str, row: &mut Row<'a>) -> Result<(), RejectReason> {
        let mut found = Found::by_place(Decode::None);
        let mut at = self.begin.len();
        if !line.starts_with(&self.begin) {
            return Err(RejectReason::OtherLayout);
        }
        for variable in &self.variables {
            let (text, escaped, end) = variable.value(line, at)?;
            found.take_in(variable.meaning, &variable.name, Value::Text(text), escaped, row);
            at = end;
            let after = line.as_bytes().get(at..at + variable.after.len());
            if after != Some(variable.after.as_bytes()) {
                return Err(RejectReason::TooFewFields);
            }
            at += variable.after.len();
        }
        found.fill(row)?;
        Fields::after(line, at).trailing(row)
    }
}

impl Variable {
    fn kind_after(&self, before: &str, next: Option<(Meaning, String)>) -> Result<Kind, String> {
        if self.after.is_empty()
            && let Some((meaning, next)) = next
        {
            return match meaning {
                Meaning::Is(Field::Target | Field::Path, _) => Ok(Kind::UpToSlash),
                _ => Err(format!("nothing stands between {} and {next}, so lines cannot be told apart", self.name)),
            };
        }
        Ok(match self.meaning {
            _ if before.ends_with('"') && self.after.starts_with('"') => Kind::Quoted,
            _ if before.ends_with('[') && self.after.starts_with(']') => Kind::Text,
            _ if before.ends_with('{') && self.after.starts_with('}') => Kind::Text,
            _ if self.name.starts_with("upstream_") && self.after.starts_with(' ') => Kind::List,
            Meaning::Is(
                Field::Time | Field::User | Field::ForwardedFor | Field::Request | Field::Referer | Field::UserAgent,
                _,
            ) => Kind::Text,
            Meaning::Extra if self.name.starts_with("http_") => Kind::Text,
            _ => Kind::Token,
        })
    }

    /// The value that begins at `at`, whether it holds escapes, and where it ends.
    fn value<'a>(&self, line: &'a str, at: usize) -> Result<(&'a str, bool, usize), RejectReason> {
        let rest = &line[at..];
        let length = match self.kind {
            Kind::Quoted => {
                let quoted = quoted(line, at).ok_or(RejectReason::UnclosedQuote)?;
                return Ok((quoted.raw, quoted.escaped, quoted.end - 1));
            }
            Kind::List => list_length(rest),
            Kind::UpToSlash => rest.find('/').ok_or(RejectReason::TooFewFields)?,
            Kind::Token if self.after.is_empty() || self.after.starts_with(' ') => rest.find(' ').unwrap_or(rest.len()),
            Kind::Text if self.after.is_empty() => rest.len(),
            Kind::Token | Kind::Text => {
                memmem::find(rest.as_bytes(), self.after.as_bytes()).ok_or(RejectReason::TooFewFields)?
            }
        };
        let text = &rest[..length];
        if matches!(self.kind, Kind::Token | Kind::UpToSlash) && text.contains(' ') {
            return Err(RejectReason::OtherLayout);
        }
        Ok((text, text.contains('\\'), at + length))
    }
}

/// `192.0.2.1:80, 192.0.2.2:80 : 192.0.2.3:80`
fn list_length(text: &str) -> usize {
    let mut end = 0;
    loop {
        end += text[end..].find(' ').unwrap_or(text.len() - end);
        let rest = &text[end..];
        if rest.starts_with(" : ") {
            end += 3;
        } else if text[..end].ends_with(',') && !rest.is_empty() {
            end += 1;
        } else {
            return end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::names;
    use bumpalo::Bump;

    #[track_caller]
    fn check(layout: &str, line: &str, expected: Result<&str, RejectReason>) {
        let template = Template::new(layout, names::meaning).expect(layout);
        let arena = Bump::new();
        let mut row = Row::new(&arena);
        let found = template.parse(line, &mut row).map(|()| {
            let text = &row.text;
            let part = |text: Option<&str>| text.unwrap_or("NULL").to_owned();
            [part(text.peer), part(text.method), part(text.host), part(text.path), part(text.query)].join(" ")
                + &row.duration_ms.map_or(String::new(), |ms| format!(" {ms}"))
                + &row.extra.finish().map_or(String::new(), |extra| format!(" {extra}"))
        });
        assert_eq!(found.as_deref().map_err(|e| *e), expected, "{layout}\n{line}");
    }

    #[test]
    fn layouts_of_nginx() {
        let time = "05/Mar/2024:10:00:00 +0000";
        let layout = r#"$remote_addr [$time_local] "$request_method $scheme://$host$request_uri" $request_time $upstream_addr "$status""#;
        let line = format!(r#"192.0.2.1 [{time}] "GET https://a.example/b\x20?c" 0.5 10.0.0.1:1, 10.0.0.2:1 "200""#);
        check(layout, &line, Ok(r#"192.0.2.1 GET a.example /b  c 500 {"upstream_addr":"10.0.0.1:1, 10.0.0.2:1"}"#));
        check(layout, &line.replace("GET ", "GET x "), Err(RejectReason::OtherLayout));
        check(layout, &line.replace("] \"", "]\""), Err(RejectReason::TooFewFields));
        check(layout, &line[..line.len() - 1], Err(RejectReason::UnclosedQuote));
        check("$msec ${remote_addr} $uri$is_args$args", "1709632800.5 192.0.2.1 /a?b", Ok("192.0.2.1 NULL NULL /a b"));
        check(
            "log_format api escape=json '$time_iso8601|$remote_addr|'\n  '$request|$http_user_agent';",
            "2024-03-05T10:00:00Z|192.0.2.1|GET /a HTTP/1.1|an agent",
            Ok("192.0.2.1 GET NULL /a NULL"),
        );
    }

    #[test]
    fn layouts_of_apache_and_envoy() {
        check(
            r#"LogFormat "%v:%p %h %l %u %t \"%r\" %>s %O %D" timed"#,
            r#"a.example:443 192.0.2.1 - - [05/Mar/2024:10:00:00 +0000] "GET /a?b HTTP/1.1" 200 5 2500"#,
            Ok(r#"192.0.2.1 GET a.example /a b 2.5 {"p":"443"}"#),
        );
        check(
            r#"[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %DURATION%"#,
            r#"[2024-03-05T10:00:00.1Z] "GET /a?b HTTP/2" 200 7 more"#,
            Ok(r#"NULL GET NULL /a b 7 {"trailing":["more"]}"#),
        );
    }

    #[test]
    fn layouts_that_cannot_be_read() {
        for (layout, part) in [
            ("$remote_addr $request", "no time"),
            ("$msec $status", "no request"),
            ("$msec $request $host$status", "nothing stands between host and status"),
            ("plain", "no variable"),
            ("%t %{open", "does not end"),
            ("[%START_TIME", "does not end"),
        ] {
            let error = Template::new(layout, names::meaning).expect_err(layout);
            assert!(error.contains(part), "{layout}: {error}");
        }
    }
}
