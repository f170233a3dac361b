//! The surface of an API as its logs show it: which routes exist, and who uses them how.
//!
//! Routes are kept in a tree of segments (`tree`) of bounded size, whatever attackers ask for: paths that were never
//! answered do not get into it, and where a place takes very many names, further ones are counted together. Such places
//! are [`Surface::seen`] as one route with a variable, and proposed as a template.

mod stats;
mod tree;

use std::collections::{BTreeMap, HashMap};

use arrow::array::{Array, AsArray, PrimitiveArray, RecordBatch};
use arrow::datatypes::{TimestampMicrosecondType, UInt16Type};
use tripline_ingest::route::Templates;
use tripline_ingest::table::columns;

pub use stats::{Method, Stats};
use tree::Tree;

/// Routes without an answer that are remembered, in case one comes; the rest is counted together.
const MAX_UNANSWERED: usize = 5_000;

/// One row of [`tripline_ingest::schema`] as far as it matters here.
pub struct Request<'r> {
    /// When, µs.
    pub ts: i64,
    /// The method; `None` where the request was garbage.
    pub method: Option<&'r str>,
    /// The HTTP status.
    pub status: Option<u16>,
    /// Who.
    pub client: &'r str,
    /// What the route's variables named.
    pub object: Option<&'r str>,
}

impl Request<'_> {
    /// Whether there is something at this path: an answer that is no refusal, no error, and no permanent redirect, which
    /// servers send for any path of another host or scheme.
    fn is_answered(&self) -> bool {
        self.status.is_none_or(|status| matches!(status, 200..=399) && !matches!(status, 301 | 308))
    }
}

/// What was seen of one route.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its template. Where names were put together, with a variable in their place.
    pub route: String,
    /// At how many names the variables in place of names were seen, at least; `None`: it has none.
    pub names: Option<u64>,
    /// The requests.
    pub stats: Stats,
}

/// Takes in requests, tells the routes.
#[derive(Debug, Default)]
pub struct Surface {
    templates: Option<Templates>,
    /// Routes that match one of them. They are as many as there are templates.
    known: BTreeMap<String, Stats>,
    tree: Tree,
    unanswered: HashMap<String, Stats>,
    /// Requests without an answer to still other routes.
    others: u64,
    rows: u64,
    pathless: u64,
}

/// Everything that was seen.
#[derive(Debug)]
pub struct Report {
    /// Routes with an answer, or that match a template, the busiest first.
    pub routes: Vec<Seen>,
    /// Routes that were never answered, at least.
    pub unanswered_routes: u64,
    /// Requests to those.
    pub unanswered_requests: u64,
    /// Requests without a path.
    pub pathless: u64,
    /// All requests.
    pub requests: u64,
}

impl Surface {
    /// With templates that count in place of the routes that the requests bring.
    pub fn with_templates(templates: Templates) -> Self {
        Self { templates: Some(templates), ..Self::default() }
    }

    /// Takes in rows of `requests`.
    pub fn add(&mut self, rows: &RecordBatch) {
        let text = |column: usize| rows.column(column).as_string_view();
        let ts: &PrimitiveArray<TimestampMicrosecondType> = rows.column(columns::TS).as_primitive();
        let status: &PrimitiveArray<UInt16Type> = rows.column(columns::STATUS).as_primitive();
        let (route, host) = (text(columns::ROUTE), text(columns::HOST));
        let (method, client, object) = (text(columns::METHOD), text(columns::CLIENT), text(columns::OBJECT));
        for row in 0..rows.num_rows() {
            if route.is_null(row) {
                self.pathless += 1;
                continue;
            }
            let request = Request {
                ts: ts.value(row),
                method: method.is_valid(row).then(|| method.value(row)),
                status: status.is_valid(row).then(|| status.value(row)),
                client: client.value(row),
                object: object.is_valid(row).then(|| object.value(row)),
            };
            self.count(host.is_valid(row).then(|| host.value(row)), route.value(row), &request);
        }
    }

    fn count(&mut self, host: Option<&str>, route: &str, request: &Request<'_>) {
        self.rows += 1;
        let template = self.templates.as_ref().and_then(|templates| templates.route(host, route));
        if let Some(template) = template {
            match self.known.get_mut(template) {
                Some(stats) => stats.add(request),
                None => self.known.entry(template.to_owned()).or_default().add(request),
            }
        } else if request.is_answered() {
            self.tree.add(route).add(request);
        } else if let Some(stats) = self.tree.known(route) {
            stats.add(request);
        } else if let Some(stats) = self.unanswered.get_mut(route) {
            stats.add(request);
        } else if self.unanswered.len() < MAX_UNANSWERED {
            self.unanswered.entry(route.to_owned()).or_default().add(request);
        } else {
            self.others += 1;
        }
    }

    /// What was seen. A place in paths that takes `many` names or more counts as one variable.
    pub fn report(mut self, many: usize) -> Report {
        let (mut unanswered_routes, mut unanswered_requests) = (u64::from(self.others > 0), self.others);
        for (route, stats) in self.unanswered {
            if let Some(known) = self.tree.known(&route) {
                known.merge(&stats);
            } else {
                unanswered_routes += 1;
                unanswered_requests += stats.requests;
            }
        }
        let mut routes = self.tree.routes(many);
        routes.extend(self.known.into_iter().map(|(route, stats)| Seen { route, names: None, stats }));
        routes.sort_by(|a, b| (b.stats.requests, &a.route).cmp(&(a.stats.requests, &b.route)));
        Report {
            routes,
            unanswered_routes,
            unanswered_requests,
            pathless: self.pathless,
            requests: self.rows + self.pathless,
        }
    }
}

#[cfg(test)]
mod tests;
