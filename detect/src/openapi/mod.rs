//! OpenAPI 3 files, JSON or YAML, as far as routes go: which operations an API says it has, and which of them it gave up.

mod difference;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value};
use tripline_ingest::route::{Template, Templates};

use crate::diagnostic::{Diagnostic, Place};

pub use difference::{Difference, Kind, difference};

/// Bytes of the largest file.
const MAX_FILE: u64 = 32 << 20;
/// References followed from one path to what it stands for.
const MAX_REFERENCES: usize = 8;
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// What a file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenApi {
    /// In the order of the file.
    pub operations: Vec<Operation>,
    /// What could not be used, and why.
    pub problems: Vec<String>,
}

/// One method of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// In upper case.
    pub method: String,
    /// Its path under the base path of each server.
    pub routes: Vec<String>,
    /// The API means to give it up.
    pub deprecated: bool,
    /// The `operationId`.
    pub id: Option<String>,
}

impl OpenApi {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, Diagnostic> {
        let origin = path.display().to_string();
        let problem = |message: String| Diagnostic::new(&origin, "", None, message);
        let too_large = || problem(format!("has more than {} MiB: is it an OpenAPI file?", MAX_FILE >> 20));
        if std::fs::metadata(path).is_ok_and(|m| m.len() > MAX_FILE) {
            return Err(too_large());
        }
        let text = std::fs::read_to_string(path).map_err(|e| {
            problem(format!("cannot be read: {e}")).with_help("is it there, in UTF-8, and readable for this user?")
        })?;
        Self::parse(&origin, &text)
    }

    /// Reads a text.
    pub fn parse(origin: &str, text: &str) -> Result<Self, Diagnostic> {
        let document = if text.trim_start().starts_with('{') { json(origin, text) } else { yaml(origin, text) }?;
        let wrong = |word: &str, message: &str| Err(Diagnostic::at_word(origin, text, word, message));
        let version = document.get("openapi").and_then(Value::as_str).unwrap_or_default();
        if document.get("swagger").is_some() {
            return wrong("swagger", "this is Swagger 2, not OpenAPI 3").map_err(|e| e.with_help("convert the file"));
        }
        if !version.starts_with("3.") {
            return wrong("openapi", "this is no OpenAPI 3 file: it does not begin with `openapi: 3.x.y`");
        }
        let Some(paths) = document.get("paths").and_then(Value::as_object) else {
            return wrong("paths", "there are no `paths`").map_err(|e| e.with_help("bundle the files into one first"));
        };
        let mut read = Self::default();
        let bases = base_paths(document.get("servers")).unwrap_or_else(|| [String::new()].into());
        for (path, item) in paths.iter().filter(|(path, _)| !path.starts_with("x-")) {
            match resolve(&document, item) {
                Some(item) => read.path(path, item, &bases),
                None => {
                    read.problems.push(format!("{path}: refers to what is not in this file; bundle the files first"));
                }
            }
        }
        Ok(read)
    }

    fn path(&mut self, path: &str, item: &Map<String, Value>, bases: &BTreeSet<String>) {
        let of_item = base_paths(item.get("servers"));
        for method in METHODS {
            let Some(operation) = item.get(method).and_then(Value::as_object) else { continue };
            let of_operation = base_paths(operation.get("servers"));
            let bases = of_operation.as_ref().or(of_item.as_ref()).unwrap_or(bases);
            let routes: Vec<String> = bases.iter().map(|base| format!("{base}{path}")).collect();
            let wrong = routes.iter().find_map(|route| Templates::new(&[template(route)], Vec::new()).err());
            if let Some((_, why)) = wrong {
                self.problems.push(format!("{path}: {why}"));
                return;
            }
            self.operations.push(Operation {
                method: method.to_ascii_uppercase(),
                routes,
                deprecated: operation.get("deprecated").and_then(Value::as_bool).unwrap_or(false),
                id: operation.get("operationId").and_then(Value::as_str).map(str::to_owned),
            });
        }
    }

    /// Every route once.
    pub fn templates(&self) -> Vec<Template> {
        let routes: BTreeSet<&String> = self.operations.iter().flat_map(|operation| &operation.routes).collect();
        routes.into_iter().map(|route| template(route)).collect()
    }
}

fn template(path: &str) -> Template {
    Template { path: path.to_owned(), ..Template::default() }
}

fn json(origin: &str, text: &str) -> Result<Value, Diagnostic> {
    serde_json::from_str(text).map_err(|e| {
        let place = (e.line() > 0).then(|| Place { line: e.line(), column: e.column().max(1), width: 1 });
        let message = e.to_string();
        Diagnostic::new(origin, text, place, format!("not JSON: {}", message.split(" at line ").next().unwrap_or("")))
    })
}

fn yaml(origin: &str, text: &str) -> Result<Value, Diagnostic> {
    serde_yaml_ng::from_str(text).map_err(|e| {
        let place = e.location().map(|at| Place { line: at.line().max(1), column: at.column().max(1), width: 1 });
        let message = e.to_string();
        Diagnostic::new(origin, text, place, format!("not YAML: {}", message.split(" at line ").next().unwrap_or("")))
    })
}

/// What an object or a `$ref` to one within the document stands for.
fn resolve<'d>(document: &'d Value, mut value: &'d Value) -> Option<&'d Map<String, Value>> {
    for _ in 0..MAX_REFERENCES {
        let object = value.as_object()?;
        let Some(reference) = object.get("$ref") else { return Some(object) };
        value = document.pointer(reference.as_str()?.strip_prefix('#')?)?;
    }
    None
}

/// The paths of servers' URLs, without a slash at the end; `None`: there are no servers.
fn base_paths(servers: Option<&Value>) -> Option<BTreeSet<String>> {
    let paths: BTreeSet<String> = servers?.as_array()?.iter().filter_map(base_path).collect();
    Some(paths).filter(|paths| !paths.is_empty())
}

fn base_path(server: &Value) -> Option<String> {
    let mut url = server.get("url")?.as_str()?.to_owned();
    let variables = server.get("variables").and_then(Value::as_object);
    for (name, variable) in variables.into_iter().flatten() {
        if let Some(default) = variable.get("default").and_then(Value::as_str) {
            url = url.replace(&format!("{{{name}}}"), default);
        }
    }
    // `https://host/v1`, `//host/v1`, `/v1`
    let path = match url.split_once("//") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => url.strip_prefix('/').unwrap_or(&url),
    };
    let path = path.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    Some(if path.is_empty() { String::new() } else { format!("/{path}") })
}

#[cfg(test)]
mod tests;
