//! The three ways in which servers are told how to log: nginx's `$name`, Apache's `%{arg}x`, Envoy's `%NAME(arg)%`.

/// A part of a layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(String),
    /// Its name without signs: `remote_addr`, `{Referer}i`, `REQ(:METHOD)`.
    Variable(String),
}

/// Whose layout it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    Nginx,
    Apache,
    Envoy,
}

impl Syntax {
    pub(super) fn of(layout: &str) -> Self {
        if layout.contains('$') {
            Self::Nginx
        } else if layout.contains("%START_TIME") {
            Self::Envoy
        } else {
            Self::Apache
        }
    }

    /// The layout in pieces. Err: why it is none.
    pub(super) fn pieces(self, layout: &str) -> Result<Vec<Piece>, String> {
        let layout = match self {
            // What follows is `?` and the query, or nothing: a part of the target.
            Self::Nginx => nginx_string(layout)?.replace("$is_args$args", "").replace("$is_args$query_string", ""),
            Self::Apache => apache_string(layout)?.replace("%U%q", "%U"),
            Self::Envoy => layout.trim_end_matches('\n').to_owned(),
        };
        let sign = if self == Self::Nginx { '$' } else { '%' };
        let mut pieces = Vec::new();
        let mut rest = layout.as_str();
        while let Some(at) = rest.find(sign) {
            literal(&mut pieces, &rest[..at]);
            rest = &rest[at + 1..];
            rest = match self {
                Self::Nginx => nginx_variable(rest, &mut pieces)?,
                Self::Apache => apache_directive(rest, &mut pieces)?,
                Self::Envoy => envoy_operator(rest, &mut pieces)?,
            };
        }
        literal(&mut pieces, rest);
        let has_variable = pieces.iter().any(|piece| matches!(piece, Piece::Variable(_)));
        if has_variable { Ok(pieces) } else { Err("it has no variable such as $request or %r".to_owned()) }
    }
}

fn literal(pieces: &mut Vec<Piece>, text: &str) {
    if !text.is_empty() {
        pieces.push(Piece::Literal(text.to_owned()));
    }
}

/// `name`, `{name}`; API Gateway's have points in them.
fn nginx_variable<'t>(rest: &'t str, pieces: &mut Vec<Piece>) -> Result<&'t str, String> {
    if let Some(braced) = rest.strip_prefix('{') {
        let (name, rest) = braced.split_once('}').ok_or_else(|| "a ${ in it does not end".to_owned())?;
        pieces.push(Piece::Variable(name.to_owned()));
        return Ok(rest);
    }
    let points = rest.starts_with("context.");
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || (points && c == '.');
    let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
    if end == 0 {
        return Err("a $ in it has no name behind it".to_owned());
    }
    pieces.push(Piece::Variable(rest[..end].to_owned()));
    Ok(&rest[end..])
}

/// `>s`, `!400,501{Referer}i`, `t`, `^ti`
fn apache_directive<'t>(rest: &'t str, pieces: &mut Vec<Piece>) -> Result<&'t str, String> {
    if let Some(rest) = rest.strip_prefix('%') {
        literal(pieces, "%");
        return Ok(rest);
    }
    // Conditions and which of several requests: the value is of the same kind.
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '!' | ',' | '<' | '>'));
    let argument = match rest.strip_prefix('{') {
        Some(inside) => inside.find('}').ok_or_else(|| "a %{ in it does not end".to_owned())? + 2,
        None => 0,
    };
    let letters = if rest[argument..].starts_with('^') { 3 } else { 1 };
    let name = rest.get(..argument + letters).ok_or_else(|| "a % in it does not end".to_owned())?;
    let bracketed = name == "t";
    literal(pieces, if bracketed { "[" } else { "" });
    pieces.push(Piece::Variable(name.to_owned()));
    literal(pieces, if bracketed { "]" } else { "" });
    Ok(&rest[name.len()..])
}

/// `REQ(:METHOD)%`, `REQ(X):256%`; the length does not count.
fn envoy_operator<'t>(rest: &'t str, pieces: &mut Vec<Piece>) -> Result<&'t str, String> {
    let (name, rest) = rest.split_once('%').ok_or_else(|| "a %OPERATOR in it does not end with %".to_owned())?;
    let name = match name.rsplit_once("):") {
        Some((name, length)) if length.bytes().all(|b| b.is_ascii_digit()) => format!("{name})"),
        _ => name.to_owned(),
    };
    pieces.push(Piece::Variable(name));
    Ok(rest)
}

/// The layout itself, from `log_format name escape=json 'one ' 'two';` or as it is.
fn nginx_string(layout: &str) -> Result<String, String> {
    let trimmed = layout.trim();
    let Some(directive) = trimmed.strip_prefix("log_format") else { return Ok(trimmed.to_owned()) };
    let mut text = String::new();
    let mut rest = directive;
    while let Some(open) = rest.find(['\'', '"']) {
        let quote = &rest[open..=open];
        let inside = &rest[open + 1..];
        let end = inside.find(quote).ok_or_else(|| format!("a {quote} in it does not end"))?;
        text.push_str(&inside[..end]);
        rest = &inside[end + 1..];
    }
    Ok(text)
}

/// The layout itself, from `LogFormat "..." name`, without the escapes of Apache's config.
fn apache_string(layout: &str) -> Result<String, String> {
    let trimmed = layout.trim();
    let text = match trimmed.strip_prefix("LogFormat") {
        None => trimmed,
        Some(directive) => {
            let directive = directive.trim_start();
            let quoted = crate::escape::quoted(directive, 1).filter(|_| directive.starts_with('"'));
            quoted.ok_or_else(|| "LogFormat needs a text in quotes".to_owned())?.raw
        }
    };
    Ok(text.replace("\\\"", "\"").replace("\\t", "\t").replace("\\\\", "\\"))
}
