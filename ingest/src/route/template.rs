//! One template of a path as people write it, `/v1/users/{id}/files/{name}.{format}`, taken apart.

use std::ops::Range;

use super::{MAX_PATH, MAX_SEGMENTS};

/// A template before it is one among others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Template {
    /// Only requests to this host, in lower case and without a port; `None`: to any, or where the log names none.
    pub host: Option<String>,
    /// `/v1/users/{id}`. A variable stands for one or more characters of a segment; a last segment `*` for all that follows.
    pub path: String,
    /// The variables and query parameters that name the object. `None`: all variables, then the query's recognised ones.
    pub objects: Option<Vec<String>>,
}

/// What a segment of a template stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// Itself.
    Literal(String),
    /// What its texts stand around.
    Pattern(Pattern),
    /// Itself and all that follows.
    Rest,
}

/// Texts with a variable between each and the next: `{name}.pdf` is "" and ".pdf". The names do not matter here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    texts: Vec<String>,
}

impl Pattern {
    /// Characters that must be there: the more, the more particular.
    pub(super) fn literal_length(&self) -> usize {
        self.texts.iter().map(String::len).sum()
    }

    /// Where in the segment the variables' values are; none: it does not fit. Each value has at least one byte, and ends
    /// where the next text first stands.
    pub(super) fn captures(&self, segment: &str, mut capture: impl FnMut(Range<usize>)) -> bool {
        let Some((last, [first, middle @ ..])) = self.texts.split_last() else { return false };
        if !segment.starts_with(first.as_str()) {
            return false;
        }
        let mut at = first.len();
        for text in middle {
            // (a value begins with a whole character)
            let Some(width) = segment[at..].chars().next().map(char::len_utf8) else { return false };
            let Some(found) = segment[at + width..].find(text.as_str()) else { return false };
            let end = at + width + found;
            capture(at..end);
            at = end + text.len();
        }
        let Some(end) = segment.len().checked_sub(last.len()).filter(|end| *end > at) else { return false };
        if !segment.ends_with(last.as_str()) {
            return false;
        }
        capture(at..end);
        true
    }
}

/// A path's segments and its variables' names. Err: what is wrong, and what to do.
pub(super) fn parse(path: &str) -> Result<(Vec<Segment>, Vec<&str>), String> {
    let Some(inside) = path.strip_prefix('/') else {
        return Err(format!("{path:?} does not begin with /; write the path as it stands in the log"));
    };
    if path.contains('?') {
        return Err(format!("{path:?} has a query; leave it out, and name its parameters in `objects` if they matter"));
    }
    if path.contains(|c: char| c.is_control() || c == ' ') {
        return Err(format!("{path:?} has a blank or a control character, which no path has"));
    }
    let parts: Vec<&str> = inside.split('/').collect();
    if parts.len() > MAX_SEGMENTS || path.len() > MAX_PATH {
        return Err(format!("it has more than {MAX_SEGMENTS} segments or {MAX_PATH} bytes; end it with /* earlier"));
    }
    let mut names = Vec::new();
    let mut segments = Vec::with_capacity(parts.len());
    for (i, part) in parts.iter().enumerate() {
        segments.push(match *part {
            "*" if i + 1 == parts.len() => Segment::Rest,
            part if part.contains('*') => {
                return Err(format!("{path:?} has a * that is not its last segment; write {{name}} for one segment"));
            }
            part => segment(path, part, &mut names)?,
        });
    }
    Ok((segments, names))
}

fn segment<'p>(path: &str, part: &'p str, names: &mut Vec<&'p str>) -> Result<Segment, String> {
    let mut texts = Vec::new();
    let mut rest = part;
    while let Some((text, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else {
            return Err(format!("{path:?} has a {{ without its }}"));
        };
        if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.')) {
            return Err(format!("{path:?}: a variable's name has letters, digits, _ and -, as {{user_id}}"));
        }
        if names.contains(&name) {
            return Err(format!("{path:?} has two variables {{{name}}}; rename one"));
        }
        if text.contains('}') || (text.is_empty() && !texts.is_empty()) {
            return Err(format!("{path:?}: two variables need text between them, as {{name}}.{{format}}"));
        }
        names.push(name);
        texts.push(text.to_owned());
        rest = after;
    }
    if rest.contains('}') {
        return Err(format!("{path:?} has a }} without its {{"));
    }
    if texts.is_empty() {
        return Ok(Segment::Literal(part.to_owned()));
    }
    texts.push(rest.to_owned());
    Ok(Segment::Pattern(Pattern { texts }))
}
