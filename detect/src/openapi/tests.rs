//! Files by example.

use std::fmt::Write as _;

use super::*;
use crate::surface::Surface;

const FILE: &str = "openapi: 3.1.0
info: {title: Shop, version: '1'}
servers:
  - url: https://api.example.com/{version}/
    variables: {version: {default: v1}}
  - url: /
paths:
  /users/{userId}:
    parameters: []
    get: {operationId: getUser}
    delete: {operationId: deleteUser, deprecated: true}
  /orders: {$ref: '#/components/pathItems/orders'}
  /elsewhere: {$ref: 'other.yaml#/x'}
  /broken/{a}{b}: {get: {}}
  x-note: none
components:
  pathItems:
    orders:
      servers: [{url: 'https://orders.example.com'}]
      post: {}
";

fn read() -> OpenApi {
    OpenApi::parse("api.yaml", FILE).expect("a file that can be read")
}

#[test]
fn operations_have_the_servers_paths() {
    let api = read();
    let operations: Vec<_> =
        api.operations.iter().map(|o| (o.method.as_str(), o.routes.join(" "), o.deprecated, o.id.as_deref())).collect();
    assert_eq!(
        operations,
        [
            ("POST", "/orders".to_owned(), false, None),
            ("GET", "/users/{userId} /v1/users/{userId}".to_owned(), false, Some("getUser")),
            ("DELETE", "/users/{userId} /v1/users/{userId}".to_owned(), true, Some("deleteUser")),
        ]
    );
    assert_eq!(api.templates().len(), 3);
    let problems = api.problems.join("\n");
    assert!(problems.contains("/elsewhere: refers") && problems.contains("text between them"), "{problems}");
}

#[test]
fn json_is_the_same() {
    let value: Value = serde_yaml_ng::from_str(FILE).expect("YAML");
    assert_eq!(OpenApi::parse("api.json", &value.to_string()).expect("a file"), read());
}

#[test]
fn mistakes_are_pointed_at() {
    for (text, part) in [
        ("swagger: '2.0'\npaths: {}\n", "x.yaml:1:1"),
        ("title: x\n", "no OpenAPI 3"),
        ("openapi: 3.0.0\n", "no `paths`"),
        ("openapi: 3.0.0\npaths:\n  /a: [\n", "not YAML"),
        ("{\"openapi\": \"3.0.0\",\n \"paths\": }", "x.yaml:2:"),
        ("", "no OpenAPI 3"),
    ] {
        let error = OpenApi::parse("x.yaml", text).expect_err(text).to_string();
        assert!(error.contains(part), "{error}");
    }
    let cycle = "openapi: 3.0.0\npaths:\n  /a: {$ref: '#/paths/~1a'}\n";
    assert_eq!(OpenApi::parse("x.yaml", cycle).expect("a file").problems.len(), 1);
}

/// Aliases that unfold to very much are refused, not unfolded.
#[test]
fn a_bomb_is_refused() {
    let mut bomb = "openapi: 3.0.0\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..12 {
        let before = vec![format!("*a{}", i - 1); 10].join(", ");
        let _ = writeln!(bomb, "a{i}: &a{i} [{before}]");
    }
    assert!(OpenApi::parse("x.yaml", &bomb).is_err());
}

#[test]
fn the_difference() {
    let api = read();
    let templates = Templates::new(&api.templates(), Vec::new()).expect("valid");
    let mut surface = Surface::with_templates(templates);
    let line = |method: &str, path: &str, status: u16| {
        format!("192.0.2.1 - - [02/Mar/2026:09:00:00 +0000] \"{method} {path} HTTP/1.1\" {status} 1\n")
    };
    let log = [
        line("GET", "/v1/users/alice", 200),
        line("DELETE", "/v1/users/42", 204),
        line("PUT", "/v1/users/42", 200),
        line("OPTIONS", "/v1/users/42", 200),
        line("GET", "/internal/dump", 200),
        line("GET", "/internal/other", 404),
    ]
    .concat();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    std::fs::write(&path, log).expect("a log");
    let options = tripline_ingest::SourceOptions::default();
    let probe = tripline_ingest::probe(&path, &options).expect("a log");
    let mut reader = tripline_ingest::LogReader::open(&probe, &options, tripline_ingest::Mode::Once).expect("a log");
    while let Some(batch) = reader.next_batch().expect("lines") {
        surface.add(&batch.rows);
    }
    let found = difference(&api, &surface.report(50));
    let found: Vec<_> = found.iter().map(|d| (d.kind.name(), d.method.as_str(), d.route.as_str())).collect();
    assert_eq!(
        found,
        [
            ("undocumented", "GET", "/internal/dump"),
            ("undocumented", "PUT", "/v1/users/{userId}"),
            ("deprecated", "DELETE", "/v1/users/{userId}"),
            ("unused", "POST", "/orders"),
        ]
    );
}
