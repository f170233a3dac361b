//! Rules: SQL files with a header. Where they come from, and what each says of itself. What its SQL means is the engine's.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use rust_embed::RustEmbed;

use crate::diagnostic::{Diagnostic, Place};

mod header;

pub use header::{Header, Kind};

/// The rules in the binary: the folder `rules/` of the repository.
#[derive(RustEmbed)]
#[folder = "../rules"]
#[include = "*/rule.sql"]
struct Shipped;

/// One rule, read but not yet planned.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its path under the rules' folder, as `api1/object-enumeration`.
    pub id: String,
    /// Where its text came from, for errors.
    pub origin: String,
    /// The whole file.
    pub text: String,
    /// The file with the header blanked out, so that places agree.
    pub sql: String,
    /// What it says of itself.
    pub header: Header,
    /// Values of its parameters: the header's, overridden by the config's.
    pub params: BTreeMap<String, ScalarValue>,
}

impl Rule {
    /// Reads a rule's text.
    pub fn parse(id: &str, origin: &str, text: &str) -> Result<Self, Diagnostic> {
        let (header, sql) = header::split(origin, text)?;
        let mut params = BTreeMap::new();
        for (name, value) in &header.params {
            let value = scalar(value).ok_or_else(|| {
                Diagnostic::at_word(
                    origin,
                    text,
                    name,
                    format!("the parameter {name} is neither a number, a text nor a boolean"),
                )
            })?;
            params.insert(name.clone(), value);
        }
        let rule = Self { id: id.into(), origin: origin.into(), text: text.into(), sql, header, params };
        rule.check_parameters()?;
        Ok(rule)
    }

    /// The table that a baseline is to other rules: the last part of its id, with `_` for `-`.
    pub fn table_name(&self) -> String {
        self.id.rsplit('/').next().unwrap_or(&self.id).replace('-', "_")
    }

    /// Whether the rule's rows are a table rather than findings.
    pub fn is_baseline(&self) -> bool {
        self.header.kind == Kind::Baseline
    }

    /// A problem at a word of this rule.
    pub fn problem_at(&self, word: &str, message: impl Into<String>) -> Diagnostic {
        let blanked = Diagnostic::at_word(&self.origin, &self.sql, word, String::new()).place;
        match blanked {
            Some(_) => Diagnostic::new(&self.origin, &self.text, blanked, message),
            None => Diagnostic::at_word(&self.origin, &self.text, word, message),
        }
    }

    /// Sets parameters from the config. The error is the name to point at, and what is wrong.
    pub fn override_params(&mut self, values: &BTreeMap<String, toml::Value>) -> Result<(), (String, String)> {
        for (name, value) in values {
            let Some(current) = self.params.get(name) else {
                return Err((name.clone(), format!("the rule {} has no parameter {name}", self.id)));
            };
            let kind = current.data_type();
            let fitting = scalar(value).and_then(|given| given.cast_to(&kind).ok()).filter(|v| !v.is_null());
            let wrong = || {
                (
                    name.clone(),
                    format!("the parameter {name} of {} is of type {kind}, and {value} does not fit", self.id),
                )
            };
            self.params.insert(name.clone(), fitting.ok_or_else(wrong)?);
        }
        Ok(())
    }

    /// Every `$name` in the SQL must be a parameter of the header.
    fn check_parameters(&self) -> Result<(), Diagnostic> {
        // What cannot even be split into tokens is reported when it is planned.
        let tokens = Tokenizer::new(&GenericDialect {}, &self.sql).tokenize_with_location().unwrap_or_default();
        for token in tokens {
            let Token::Placeholder(text) = &token.token else { continue };
            let name = text.trim_start_matches('$');
            if !self.params.contains_key(name) {
                let position = |n: u64| usize::try_from(n).unwrap_or(1).max(1);
                let start = token.span.start;
                let place =
                    Place { line: position(start.line), column: position(start.column), width: text.chars().count() };
                let known: Vec<_> = self.params.keys().map(String::as_str).collect();
                return Err(Diagnostic::new(
                    &self.origin,
                    &self.text,
                    Some(place),
                    format!("there is no parameter {text}"),
                )
                .with_help(format!("the header's params are: {}; add {name} there", list(&known))));
            }
        }
        Ok(())
    }
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

fn scalar(value: &toml::Value) -> Option<ScalarValue> {
    match value {
        toml::Value::Integer(n) => Some(ScalarValue::from(*n)),
        toml::Value::Float(x) => Some(ScalarValue::from(*x)),
        toml::Value::String(s) => Some(ScalarValue::from(s.as_str())),
        toml::Value::Boolean(b) => Some(ScalarValue::from(*b)),
        _ => None,
    }
}

/// Rules as found, and what was wrong with those that could not be read.
#[derive(Debug, Default)]
pub struct Loaded {
    /// In order of their ids.
    pub rules: Vec<Rule>,
    /// One for each file that is not a rule.
    pub problems: Vec<Diagnostic>,
}

impl Loaded {
    /// The rules in the binary.
    pub fn shipped() -> Self {
        let mut loaded = Self::default();
        for path in Shipped::iter() {
            let Some(file) = Shipped::get(&path) else { continue };
            let id = path.trim_end_matches("/rule.sql");
            loaded.add(id, &format!("rules/{path}"), &String::from_utf8_lossy(&file.data));
        }
        loaded.finish()
    }

    /// The rules under a folder: every `NAME/rule.sql`, and every `NAME.sql` that has a header. A single file will do, too.
    pub fn from_path(path: &Path) -> Self {
        let mut loaded = Self::default();
        let found = tripline_ingest::discover(&path.to_string_lossy());
        for problem in found.problems {
            let origin = problem.path.display().to_string();
            loaded.problems.push(Diagnostic::new(&origin, "", None, problem.what).with_help(problem.todo));
        }
        for file in found.files.iter().filter(|f| f.extension().is_some_and(|e| e == "sql")) {
            let origin = file.display().to_string();
            match std::fs::read_to_string(file) {
                Ok(text) => loaded.add(&id_of(path, file), &origin, &text),
                Err(e) => {
                    loaded.problems.push(Diagnostic::new(&origin, "", None, format!("cannot read this rule: {e}")));
                }
            }
        }
        if loaded.rules.is_empty() && loaded.problems.is_empty() {
            let help = "a rule is a file NAME/rule.sql or NAME.sql";
            loaded
                .problems
                .push(Diagnostic::new(&path.display().to_string(), "", None, "there is no rule here").with_help(help));
        }
        loaded.finish()
    }

    /// Adds others; two rules of one id are a problem.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.problems.extend(other.problems);
        self.rules.extend(other.rules);
        self.finish()
    }

    fn add(&mut self, id: &str, origin: &str, text: &str) {
        match Rule::parse(id, origin, text) {
            Ok(rule) => self.rules.push(rule),
            Err(problem) => self.problems.push(problem),
        }
    }

    fn finish(mut self) -> Self {
        self.rules.sort_by(|a, b| a.id.cmp(&b.id));
        let mut seen = BTreeSet::new();
        let problems = &mut self.problems;
        self.rules.retain(|rule| {
            let fresh = seen.insert(rule.id.clone());
            if !fresh {
                let message = format!("there are two rules with the id {}", rule.id);
                problems.push(
                    Diagnostic::new(&rule.origin, "", None, message).with_help("rename the folder of one of them"),
                );
            }
            fresh
        });
        self
    }
}

/// `rules/api1/x/rule.sql` under `rules` → `api1/x`; `mine/slow.sql` under `mine` → `slow`.
fn id_of(root: &Path, file: &Path) -> String {
    let relative = file.strip_prefix(root).ok().filter(|r| !r.as_os_str().is_empty());
    // A single file has no folder to be relative to: it is named by its own folder, or itself.
    let relative = relative.map_or_else(
        || file.components().rev().take(2).collect::<Vec<_>>().into_iter().rev().collect(),
        Path::to_path_buf,
    );
    let path = if relative.file_name().is_some_and(|n| n == "rule.sql") {
        relative.parent().map(Path::to_path_buf).unwrap_or_default()
    } else if root == file {
        std::path::PathBuf::from(file.file_stem().unwrap_or_default())
    } else {
        relative.with_extension("")
    };
    let parts: Vec<_> = path.components().map(|c| c.as_os_str().to_string_lossy().into_owned()).collect();
    if parts.is_empty() {
        root.file_name().map_or_else(|| "rule".into(), |n| n.to_string_lossy().into_owned())
    } else {
        parts.join("/")
    }
}
