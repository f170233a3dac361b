//! Routes as a tree of their segments, of bounded size.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::{Seen, Stats};

/// Names told apart at one place; further ones are counted as [`OTHERS`].
const MAX_NAMES: usize = 400;
/// Places in the tree. Past it, new names anywhere are [`OTHERS`].
const MAX_NODES: usize = 20_000;
/// Stands for the names past the limits. No path has it as a segment: it has a slash.
const OTHERS: &str = "/";
/// Names of one place must be alike for it to be a variable: so many in a hundred have the same methods and continuations.
const ALIKE: usize = 80;
/// Segments deeper than this are one: the routes of ingest have no more.
const MAX_DEPTH: usize = 40;

#[derive(Debug, Default)]
pub(super) struct Tree {
    root: Node,
    nodes: usize,
}

#[derive(Debug, Clone, Default)]
struct Node {
    children: BTreeMap<String, Node>,
    /// Of the routes that end here.
    stats: Option<Box<Stats>>,
}

impl Tree {
    /// The counts of a route, which is new or known.
    pub(super) fn add(&mut self, route: &str) -> &mut Stats {
        let mut node = &mut self.root;
        for segment in segments(route) {
            if self.nodes >= MAX_NODES && !node.children.contains_key(segment) {
                node = node.children.entry(OTHERS.to_owned()).or_default();
                break;
            }
            let is_full = node.children.len() >= MAX_NAMES && !node.children.contains_key(segment);
            node = match node.children.entry((if is_full { OTHERS } else { segment }).to_owned()) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    self.nodes += 1;
                    new.insert(Node::default())
                }
            };
        }
        node.stats.get_or_insert_default()
    }

    /// The counts of a route that was added before.
    pub(super) fn known(&mut self, route: &str) -> Option<&mut Stats> {
        segments(route).try_fold(&mut self.root, |node, segment| node.children.get_mut(segment))?.stats.as_deref_mut()
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        fn size(node: &Node) -> usize {
            1 + node.children.values().map(size).sum::<usize>()
        }
        size(&self.root)
    }

    /// All routes, with a variable where `many` names or more are at one place.
    pub(super) fn routes(self, many: usize) -> Vec<Seen> {
        let mut routes = Vec::new();
        self.root.walk(&mut String::new(), None, many, &mut routes);
        routes
    }
}

/// `/v1/users` → `v1`, `users`; `*` → `*`.
fn segments(route: &str) -> impl Iterator<Item = &str> {
    route.strip_prefix('/').map_or(route, |inside| inside).splitn(MAX_DEPTH, '/')
}

impl Node {
    fn walk(self, path: &mut String, names: Option<u64>, many: usize, routes: &mut Vec<Seen>) {
        let is_variable = self.takes_many(many);
        if let Some(stats) = self.stats {
            let route = if path.is_empty() { "/".to_owned() } else { path.clone() };
            routes.push(Seen { route, names, stats: *stats });
        }
        let length = path.len();
        if is_variable {
            let name = variable_name(path);
            path.extend(["/{", &name, "}"]);
            let count = self.children.len() as u64;
            let mut together = Self::default();
            self.children.into_values().for_each(|child| together.merge(child));
            together.walk(path, Some(names.unwrap_or(0).max(count)), many, routes);
            path.truncate(length);
            return;
        }
        for (segment, child) in self.children {
            path.push('/');
            path.push_str(if segment == OTHERS { "…" } else { &segment });
            child.walk(path, names, many, routes);
            path.truncate(length);
        }
    }

    /// Whether the names here are values of a variable: they are many, and most are used alike.
    fn takes_many(&self, many: usize) -> bool {
        if self.children.contains_key(OTHERS) {
            return true;
        }
        let literal = self.children.iter().filter(|(name, _)| !name.contains('{'));
        let mut shapes: BTreeMap<(Vec<&str>, Vec<&str>), usize> = BTreeMap::new();
        let mut count = 0;
        for (_, child) in literal {
            count += 1;
            *shapes.entry(child.shape()).or_default() += 1;
        }
        count >= many.max(2) && shapes.values().max().copied().unwrap_or(0) * 100 >= count * ALIKE
    }

    /// Methods and continuations.
    fn shape(&self) -> (Vec<&str>, Vec<&str>) {
        let methods = self.stats.iter().flat_map(|stats| stats.methods.keys().map(String::as_str));
        // (some clients ask for the head first)
        (methods.filter(|m| *m != "HEAD").collect(), self.children.keys().map(String::as_str).collect())
    }

    fn merge(&mut self, other: Self) {
        match (&mut self.stats, other.stats) {
            (Some(stats), Some(more)) => stats.merge(&more),
            (none @ None, more) => *none = more,
            (Some(_), None) => {}
        }
        for (segment, child) in other.children {
            match self.children.get_mut(&segment) {
                Some(known) => known.merge(child),
                None => drop(self.children.insert(segment, child)),
            }
        }
    }
}

/// What a variable after `/shop/products` could be called: `product`.
fn variable_name(path: &str) -> String {
    let before = path.rsplit('/').find(|s| !s.starts_with('{')).unwrap_or_default();
    let plain: String = before.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    let name = plain
        .strip_suffix("ies")
        .map_or_else(|| plain.strip_suffix('s').unwrap_or(&plain).to_owned(), |stem| format!("{stem}y"));
    let used = |name: &str| path.contains(&format!("{{{name}}}"));
    let name = if name.is_empty() || name.len() > 24 || name.starts_with(|c: char| c.is_ascii_digit()) {
        "name".to_owned()
    } else {
        name.to_ascii_lowercase()
    };
    if used(&name) {
        (2..=MAX_DEPTH).map(|n| format!("{name}{n}")).find(|name| !used(name)).unwrap_or(name)
    } else {
        name
    }
}
