//! Any other receiver: a JSON document of the user's in whose texts `{{name}}` stands for what the alert says.
//!
//! The document is read as JSON before anything is put in, and written as JSON after, so that no value can break out of its
//! place. A text that is nothing but `{{name}}` becomes the value with its type; in the midst of other text a value is made
//! inert as for people. Names: the alert's (`title`, `severity`, `entity.client`, `values.objects`, `evidence`, ...), and
//! `headline`, `summary` and `webhook_id`. What an alert does not have is null, or nothing in the midst of text.

use serde_json::{Map, Value};

use super::text::{headline, summary, value};
use super::{Description, MAX_BODY, Needs, Notification, Request};

pub(super) const STYLE: Description =
    Description { name: "template", needs: Needs::Template, max_body: MAX_BODY, build: request, digest: None };

/// The most bytes of a template.
const MAX_TEMPLATE: usize = 32 * 1024;
/// The most characters of a value in the midst of text.
const WIDTH: usize = 1_000;
/// The most `{{name}}` in a template: each may stand for a whole alert.
const MAX_VALUES: usize = 100;
/// Names that may be followed by `.NAME`.
const OBJECTS: [&str; 3] = ["entity", "values", "window"];
const NAMES: [&str; 29] = [
    "headline",
    "summary",
    "webhook_id",
    "id",
    "incident",
    "rule",
    "title",
    "severity",
    "status",
    "resolved_by",
    "entity",
    "window",
    "provisional",
    "first_seen",
    "fired_at",
    "detected_at",
    "values",
    "evidence",
    "owasp",
    "attack",
    "owner",
    "runbook",
    "mode",
    "fingerprint",
    "episode_start",
    "sequence",
    "findings",
    "truncated",
    "destination",
];

/// A template, compiled.
#[derive(Debug, Clone, PartialEq)]
pub struct Template(Node);

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Fixed(Value),
    Whole(Path),
    Text(Vec<Piece>),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Literal(String),
    Value(Path),
}

type Path = Vec<String>;

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Too long.
    #[error("has {0} bytes; at most {MAX_TEMPLATE} are allowed")]
    TooLong(usize),
    /// Not JSON.
    #[error("is not JSON: {0}; a template is a JSON document with {{{{name}}}} in its texts")]
    NotJson(String),
    /// No `}}`.
    #[error("has {{{{ without }}}} in {0:?}")]
    Unclosed(String),
    /// Too many.
    #[error("has more than {MAX_VALUES} {{{{name}}}}")]
    TooMany,
    /// No such thing.
    #[error("has {{{{{0}}}}}, which no alert has; there are: {names}, and entity.NAME, values.NAME", names = NAMES.join(", "))]
    Unknown(String),
}

impl Template {
    /// Compiles a text.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.len() > MAX_TEMPLATE {
            return Err(TemplateError::TooLong(text.len()));
        }
        if text.matches("{{").count() > MAX_VALUES {
            return Err(TemplateError::TooMany);
        }
        let document = serde_json::from_str(text).map_err(|e| TemplateError::NotJson(e.to_string()))?;
        Ok(Self(compile(document)?))
    }
}

fn compile(value: Value) -> Result<Node, TemplateError> {
    Ok(match value {
        Value::String(text) => compile_text(&text)?,
        Value::Array(items) => Node::List(items.into_iter().map(compile).collect::<Result<_, _>>()?),
        Value::Object(map) => {
            let pairs = map.into_iter().map(|(key, value)| Ok((key, compile(value)?)));
            Node::Object(pairs.collect::<Result<_, _>>()?)
        }
        scalar => Node::Fixed(scalar),
    })
}

fn compile_text(text: &str) -> Result<Node, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, tail) = after.split_once("}}").ok_or_else(|| TemplateError::Unclosed(text.to_owned()))?;
        if !before.is_empty() {
            pieces.push(Piece::Literal(before.to_owned()));
        }
        pieces.push(Piece::Value(path(name.trim())?));
        rest = tail;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(rest.to_owned()));
    }
    Ok(match pieces.as_slice() {
        [] => Node::Fixed("".into()),
        [Piece::Value(path)] => Node::Whole(path.clone()),
        _ => Node::Text(pieces),
    })
}

fn path(name: &str) -> Result<Path, TemplateError> {
    let unknown = || TemplateError::Unknown(name.to_owned());
    let (first, rest) = name.split_once('.').map_or((name, None), |(first, rest)| (first, Some(rest)));
    let known = NAMES.contains(&first) && (rest.is_none() || OBJECTS.contains(&first));
    if !known || rest == Some("") {
        return Err(unknown());
    }
    Ok([first].into_iter().chain(rest).map(str::to_owned).collect())
}

fn request(notification: &Notification<'_>) -> serde_json::Result<Request> {
    let alert = notification.alert;
    let mut names = serde_json::to_value(alert)?;
    names["headline"] = headline(alert).into();
    names["summary"] = summary(alert).into();
    names["webhook_id"] = notification.id.into();
    names["mode"] = serde_json::to_value(alert.handling.mode)?;
    names["destination"] = notification.destination.into();
    let body = notification.template.map_or(Value::Null, |template| fill(&template.0, &names));
    Request::json(&body)
}

fn fill(node: &Node, names: &Value) -> Value {
    match node {
        Node::Fixed(value) => value.clone(),
        Node::Whole(path) => look_up(names, path).cloned().unwrap_or_default(),
        Node::Text(pieces) => pieces.iter().map(|piece| piece.text(names)).collect::<String>().into(),
        Node::List(items) => items.iter().map(|item| fill(item, names)).collect(),
        Node::Object(pairs) => {
            pairs.iter().map(|(key, node)| (key.clone(), fill(node, names))).collect::<Map<_, _>>().into()
        }
    }
}

impl Piece {
    fn text(&self, names: &Value) -> String {
        match self {
            Self::Literal(text) => text.clone(),
            Self::Value(path) => match look_up(names, path) {
                None | Some(Value::Null) => String::new(),
                Some(found) => value(found, WIDTH),
            },
        }
    }
}

fn look_up<'a>(names: &'a Value, path: &Path) -> Option<&'a Value> {
    path.iter().try_fold(names, |value, name| value.get(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_template() {
        let wrong = |text: &str| Template::parse(text).unwrap_err().to_string();
        assert!(wrong("{\"a\": ").contains("not JSON"));
        assert!(wrong(r#"["{{title"]"#).contains("without }}"), "{}", wrong(r#"["{{title"]"#));
        for name in ["titel", "", "title.x", "entity.", "destination.url"] {
            let error = wrong(&serde_json::json!([format!("{{{{{name}}}}}")]).to_string());
            assert!(error.contains("no alert has") && error.contains("severity"), "{error}");
        }
        assert!(wrong(&format!("[\"{}\"]", "{{id}}".repeat(101))).contains("more than 100"));
        assert!(wrong(&format!("[\"{}\"]", "x".repeat(MAX_TEMPLATE))).contains("at most 32768"));
    }
}
