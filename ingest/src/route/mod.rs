//! From a request's path and query to its route (`/v1/users/{id}`), its object (`42`: what the variable parts named) and
//! how many records it asked for. Pure rules, never learnt: the same line gives the same answer in every mode. Where the config has
//! templates ([`Templates`]), they say it of the paths that they match.

mod query;
mod segment;
mod template;
mod templates;

use std::ops::Range;

use query::Params;
use segment::{Class, Variable, class_of, variable};

pub use template::Template;
pub use templates::Templates;

/// Path segments that are looked at; the rest becomes `*`.
const MAX_SEGMENTS: usize = 32;
/// Bytes of a path that are looked at; the segment at this place and the rest become `*`.
const MAX_PATH: usize = 2048;
/// Bytes of an object that are kept.
const MAX_OBJECT: usize = 256;
/// What stands for a variable part.
const PLACEHOLDER: &str = "{id}";

/// Buffers for what has to be written anew; keep one for many calls.
#[derive(Debug, Default)]
pub struct Scratch {
    route: String,
    object: String,
    /// Where the values of a template's variables stand.
    values: Vec<Range<usize>>,
}

/// What [`route_and_object`] finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Routed<'r> {
    /// The path's template. Where nothing varies it is the path itself, the same memory.
    pub route: &'r str,
    /// What the variable parts named, joined by `/`; `None` where nothing varies. At most 256 bytes.
    pub object: Option<&'r str>,
    /// How many records the query asks for.
    pub records: Option<u32>,
}

/// Splits a path into template and object, and reads the query's id parameters and record counts.
pub fn route_and_object<'r>(path: &'r str, query: Option<&'r str>, scratch: &'r mut Scratch) -> Routed<'r> {
    routed(None, None, path, query, scratch)
}

/// The same by `templates`, where one of them matches. Host names count as [`Template::host`] says.
pub fn routed<'r>(
    templates: Option<&'r Templates>,
    host: Option<&str>,
    path: &'r str,
    query: Option<&'r str>,
    scratch: &'r mut Scratch,
) -> Routed<'r> {
    let Scratch { route, object, values } = scratch;
    let mut object = Object { first: None, joined: false, buffer: object };
    let found = templates.and_then(|templates| templates.find(host, path, values));
    let route = match found {
        None => template(path, route, &mut object),
        Some(found) => {
            let named = values.iter().zip(&found.is_object).filter(|(_, is_object)| **is_object);
            named.for_each(|(value, _)| object.add(&path[value.clone()]));
            found.text.as_str()
        }
    };
    let params = match (found.and_then(|found| found.params.as_deref()), templates) {
        (Some(named), _) => Params::Only(named),
        (None, Some(templates)) => Params::Recognised(&templates.params),
        (None, None) => Params::Recognised(&[]),
    };
    let records = query.and_then(|query| query::read(query, params, |value| object.add(value)));
    Routed { route, object: object.finish(), records }
}

/// The path's template; what its variable parts are goes to `object`.
fn template<'r>(path: &'r str, template: &'r mut String, object: &mut Object<'r, '_>) -> &'r str {
    let bytes = &path.as_bytes()[..path.len().min(MAX_PATH)];
    template.clear();
    let mut copied = 0; // bytes of the path that the template covers
    let mut segments = 0;
    let mut start = 0;
    loop {
        let (mut end, mut class) = (bytes.len(), Class::default());
        for (at, &byte) in bytes[start..].iter().enumerate() {
            let kind = class_of(byte);
            if kind.is_slash() {
                end = start + at;
                break;
            }
            class |= kind;
        }
        if segments == MAX_SEGMENTS || (end == MAX_PATH && end < path.len()) {
            template.push_str(&path[copied..start]);
            template.push('*');
            return template;
        }
        if class.may_vary(end - start)
            && let Some(Variable { length }) = variable(&path[start..end], class)
        {
            template.push_str(&path[copied..start]);
            template.push_str(PLACEHOLDER);
            copied = start + length;
            object.add(&path[start..copied]);
        }
        if end == bytes.len() {
            break;
        }
        segments += 1;
        start = end + 1;
    }
    if copied == 0 {
        return path;
    }
    template.push_str(&path[copied..]);
    template
}

/// Values joined by `/`. A single one, the usual case, is not copied.
struct Object<'r, 'b> {
    first: Option<&'r str>,
    joined: bool,
    buffer: &'b mut String,
}

impl<'r, 'b: 'r> Object<'r, 'b> {
    fn finish(self) -> Option<&'r str> {
        let object = if self.joined { self.buffer.as_str() } else { self.first? };
        Some(&object[..object.floor_char_boundary(MAX_OBJECT)])
    }
}

impl<'r> Object<'r, '_> {
    fn add(&mut self, value: &'r str) {
        let Some(first) = self.first else {
            self.first = Some(value);
            return;
        };
        if !self.joined {
            self.joined = true;
            self.buffer.clear();
            self.buffer.push_str(first);
        }
        if self.buffer.len() < MAX_OBJECT {
            self.buffer.push('/');
            self.buffer.push_str(value);
        }
    }
}

#[cfg(test)]
mod template_tests;
#[cfg(test)]
mod tests;
