//! The difference between what an OpenAPI file says and what was seen.

use std::collections::BTreeSet;

use super::OpenApi;
use crate::surface::{Method, Report};

/// What is different.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Answered, but the file does not have it.
    Undocumented,
    /// The file calls it deprecated, but it is used and answered.
    Deprecated,
    /// The file has it, but nobody asked for it.
    Unused,
}

impl Kind {
    /// For tables and programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Undocumented => "undocumented",
            Self::Deprecated => "deprecated",
            Self::Unused => "unused",
        }
    }
}

/// One operation that differs.
#[derive(Debug, Clone)]
pub struct Difference {
    /// How.
    pub kind: Kind,
    /// The method.
    pub method: String,
    /// The route, as in the file where it has it.
    pub route: String,
    /// The file's `operationId`.
    pub operation: Option<String>,
    /// What was seen of it; `None`: nothing.
    pub seen: Option<Method>,
}

/// Compares. The routes of `report` are the file's where they match its templates. `HEAD` and `OPTIONS`, which servers answer
/// by themselves, do not have to be in the file.
pub fn difference(api: &OpenApi, report: &Report) -> Vec<Difference> {
    let mut differences = Vec::new();
    let documented: BTreeSet<(&str, &str)> =
        api.operations.iter().flat_map(|o| o.routes.iter().map(|route| (route.as_str(), o.method.as_str()))).collect();
    for seen in &report.routes {
        let answered = seen.stats.methods.iter().filter(|(_, method)| method.answered > 0);
        for (name, method) in answered.filter(|(name, _)| !matches!(name.as_str(), "HEAD" | "OPTIONS")) {
            if !documented.contains(&(seen.route.as_str(), name.as_str())) {
                differences.push(Difference {
                    kind: Kind::Undocumented,
                    method: name.clone(),
                    route: seen.route.clone(),
                    operation: None,
                    seen: Some(method.clone()),
                });
            }
        }
    }
    for operation in &api.operations {
        let seen = || {
            let routes = report.routes.iter().filter(|seen| operation.routes.contains(&seen.route));
            routes.filter_map(|seen| Some((seen.route.clone(), seen.stats.methods.get(&operation.method)?)))
        };
        let different = |kind, route, method: Option<&Method>| Difference {
            kind,
            method: operation.method.clone(),
            route,
            operation: operation.id.clone(),
            seen: method.cloned(),
        };
        if operation.deprecated {
            let alive = seen().filter(|(_, method)| method.answered > 0);
            differences.extend(alive.map(|(route, method)| different(Kind::Deprecated, route, Some(method))));
        }
        if seen().next().is_none()
            && let Some(route) = operation.routes.first()
        {
            differences.push(different(Kind::Unused, route.clone(), None));
        }
    }
    let requests = |d: &Difference| d.seen.as_ref().map_or(0, |seen| seen.requests);
    differences
        .sort_by(|a, b| (a.kind, requests(b), &a.route, &a.method).cmp(&(b.kind, requests(a), &b.route, &b.method)));
    differences
}
