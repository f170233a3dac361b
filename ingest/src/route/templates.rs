//! Many templates at once, as a trie over their segments: a path is compared with few of them, however many there are. Where
//! several fit, the more particular wins segment by segment: a text before a variable, a variable with text around it
//! before a bare one, `*` last.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use hashbrown::HashMap;

use super::template::{Pattern, Segment, Template, parse};
use crate::escape::percent_decoded;
use crate::identity::without_port;

/// Templates of paths, and query parameters that name objects everywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Templates {
    routes: Vec<Route>,
    any_host: Node,
    hosts: BTreeMap<String, Node>,
    /// Parameters that name objects beside the recognised ones.
    pub(super) params: Vec<String>,
}

/// A template that was found to fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    /// As it was written.
    pub(super) text: String,
    /// By variable: whether it names the object.
    pub(super) is_object: Vec<bool>,
    /// The parameters of the query that name the object; `None`: the recognised ones.
    pub(super) params: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Node {
    literals: HashMap<String, Node>,
    /// The most particular first.
    patterns: Vec<(Pattern, Node)>,
    /// The route of paths that end here.
    here: Option<usize>,
    /// The route of paths that go on in any way.
    rest: Option<usize>,
}

impl Templates {
    /// `params`: names of query parameters that name objects, whatever the path. Err: which template (by its place) is
    /// wrong, how, and what to do.
    pub fn new(templates: &[Template], params: Vec<String>) -> Result<Self, (usize, String)> {
        let mut all = Self { params, ..Self::default() };
        for (i, template) in templates.iter().enumerate() {
            all.add(template).map_err(|why| (i, why))?;
        }
        Ok(all)
    }

    /// The same with more templates, of which those count that match what none before does.
    #[must_use]
    pub fn and<'t>(mut self, more: impl IntoIterator<Item = &'t Template>) -> Self {
        for template in more {
            // (what is wrong with one, its owner was told when it was checked alone)
            let _taken = self.add(template);
        }
        self
    }

    /// Whether nothing depends on it.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty() && self.params.is_empty()
    }

    fn add(&mut self, template: &Template) -> Result<(), String> {
        let (segments, names) = parse(&template.path)?;
        let number = self.routes.len();
        let mut node = match &template.host {
            None => &mut self.any_host,
            Some(host) => self.hosts.entry(check_host(host)?).or_default(),
        };
        let mut is_rest = false;
        for segment in segments {
            match segment {
                Segment::Literal(text) => node = node.literal(text),
                Segment::Pattern(pattern) => node = node.pattern(pattern),
                Segment::Rest => is_rest = true,
            }
        }
        let place = if is_rest { &mut node.rest } else { &mut node.here };
        if let Some(other) = *place {
            let other = &self.routes[other].text;
            return Err(format!("{:?} matches what {other:?} does; leave one of them out", template.path));
        }
        *place = Some(number);
        let is_named = |name: &str| template.objects.as_ref().is_none_or(|objects| objects.iter().any(|o| o == name));
        let params = |objects: &Vec<String>| {
            objects.iter().filter(|o| !names.contains(&o.as_str())).cloned().collect::<Vec<_>>()
        };
        self.routes.push(Route {
            text: template.path.clone(),
            is_object: names.iter().map(|name| is_named(name)).collect(),
            params: template.objects.as_ref().map(params),
        });
        Ok(())
    }

    /// The template of a path, as it was written; `None`: none fits.
    pub fn route(&self, host: Option<&str>, path: &str) -> Option<&str> {
        self.find(host, path, &mut Vec::new()).map(|route| route.text.as_str())
    }

    /// The route of a path; where its variables' values stand goes to `values`.
    pub(super) fn find(&self, host: Option<&str>, path: &str, values: &mut Vec<Range<usize>>) -> Option<&Route> {
        values.clear();
        let start = usize::from(path.starts_with('/'));
        let mut find = |node: &Node| node.find(path, start, values);
        let of_host = || {
            let host = without_port(host.filter(|_| !self.hosts.is_empty())?);
            self.hosts.get(&*lower(host))
        };
        let found = of_host().and_then(&mut find).or_else(|| find(&self.any_host))?;
        self.routes.get(found)
    }
}

/// Host names are compared without case.
fn lower(host: &str) -> Cow<'_, str> {
    if host.bytes().any(|b| b.is_ascii_uppercase()) { host.to_ascii_lowercase().into() } else { host.into() }
}

fn check_host(host: &str) -> Result<String, String> {
    if host.is_empty() || host.contains(|c: char| c == '/' || c.is_whitespace() || c == '*') {
        return Err(format!("{host:?} is no host; write it as logged, without a scheme, as \"api.example.com\""));
    }
    Ok(without_port(host).to_ascii_lowercase())
}

impl Node {
    fn literal(&mut self, text: String) -> &mut Self {
        self.literals.entry(text).or_default()
    }

    fn pattern(&mut self, pattern: Pattern) -> &mut Self {
        let known = self.patterns.iter().position(|(known, _)| *known == pattern);
        let place = known.unwrap_or_else(|| {
            let length = pattern.literal_length();
            let place = self.patterns.partition_point(|(known, _)| known.literal_length() >= length);
            self.patterns.insert(place, (pattern, Self::default()));
            place
        });
        &mut self.patterns[place].1
    }

    /// The route of what begins at byte `start` of the path. Each node is looked at once at most, as each has one depth.
    fn find(&self, path: &str, start: usize, values: &mut Vec<Range<usize>>) -> Option<usize> {
        let (segment, next) = match memchr::memchr(b'/', &path.as_bytes()[start..]) {
            Some(length) => (&path[start..start + length], Some(start + length + 1)),
            None => (&path[start..], None),
        };
        let go_on = |node: &Self, values: &mut Vec<Range<usize>>| match next {
            None => node.here,
            // Servers take `/users/` for `/users`.
            Some(next) if next == path.len() => node.here.or_else(|| node.find(path, next, values)),
            Some(next) => node.find(path, next, values),
        };
        if let Some(node) = self.literals.get(&*decoded(segment))
            && let Some(found) = go_on(node, values)
        {
            return Some(found);
        }
        let before = values.len();
        for (pattern, node) in &self.patterns {
            if pattern.captures(segment, |value| values.push(start + value.start..start + value.end))
                && let Some(found) = go_on(node, values)
            {
                return Some(found);
            }
            values.truncate(before);
        }
        self.rest.filter(|_| !segment.is_empty() || next.is_some())
    }
}

/// The segment as servers compare it: `%75sers` is `users`.
fn decoded(segment: &str) -> Cow<'_, str> {
    if segment.contains('%') { percent_decoded(segment).into() } else { segment.into() }
}
