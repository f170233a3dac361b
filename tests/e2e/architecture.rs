//! Rules of the repository: who may depend on whom, what files may say, how long they may be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use serde_json::Value;
use tripline_tests::repository;

/// What goes over a network, encrypts, or keeps a database.
const NETWORK_AND_STORE: [&str; 9] =
    ["reqwest", "hyper", "ureq", "curl", "rustls", "native-tls", "openssl", "rusqlite", "libsqlite3-sys"];

/// The dependencies of this machine's build, as cargo resolved them: id → ids, without those of tests and build scripts.
struct Graph {
    names: BTreeMap<String, String>,
    edges: BTreeMap<String, BTreeSet<String>>,
    members: BTreeSet<String>,
}

impl Graph {
    fn read() -> Self {
        let rustc = Command::new("rustc").arg("-vV").output().expect("rustc");
        let version = String::from_utf8(rustc.stdout).expect("text");
        let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host");
        // Offline: what was built is at hand. Of this machine only: what other systems need may not be.
        let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["metadata", "--format-version", "1", "--offline", "--locked", "--filter-platform", host])
            .current_dir(repository::root())
            .output()
            .expect("cargo");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let names = list(&metadata["packages"]).map(|p| (text(&p["id"]), text(&p["name"]))).collect();
        let edges = list(&metadata["resolve"]["nodes"]).map(|node| {
            let is_normal = |dependency: &&Value| list(&dependency["dep_kinds"]).any(|k| k["kind"].is_null());
            (text(&node["id"]), list(&node["deps"]).filter(is_normal).map(|d| text(&d["pkg"])).collect())
        });
        let members = list(&metadata["workspace_members"]).map(text).collect();
        Self { names, edges: edges.collect(), members }
    }

    fn member(&self, name: &str) -> &str {
        let found = self.members.iter().find(|id| self.names[*id] == name);
        found.unwrap_or_else(|| panic!("the workspace has no member {name}"))
    }

    fn direct(&self, name: &str) -> BTreeSet<&str> {
        self.edges[self.member(name)].iter().map(|id| self.names[id].as_str()).collect()
    }

    /// Everything that a member is linked with.
    fn linked(&self, name: &str) -> BTreeSet<&str> {
        let mut met = BTreeSet::new();
        let mut next = vec![self.member(name)];
        while let Some(id) = next.pop() {
            if met.insert(id) {
                next.extend(self.edges[id].iter().map(String::as_str));
            }
        }
        met.into_iter().map(|id| self.names[id].as_str()).collect()
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[test]
fn imports_go_one_way() {
    let graph = Graph::read();
    let members: Vec<&str> = graph.members.iter().map(|id| graph.names[id].as_str()).collect();

    let of_ours = |name: &str| -> BTreeSet<&str> {
        graph.linked(name).into_iter().filter(|other| members.contains(other) && *other != name).collect()
    };
    assert_eq!(of_ours("tripline-ingest"), BTreeSet::new());
    assert_eq!(of_ours("tripline-alert"), BTreeSet::new());
    assert_eq!(of_ours("tripline"), BTreeSet::from(["tripline-alert", "tripline-ingest"]));

    let foreign_to_ingest = |name: &&str| name.starts_with("datafusion") || NETWORK_AND_STORE.contains(name);
    assert_eq!(graph.linked("tripline-ingest").into_iter().find(foreign_to_ingest), None);
    let foreign_to_alert = |name: &&str| ["arrow", "datafusion", "parquet"].iter().any(|start| name.starts_with(start));
    assert_eq!(graph.linked("tripline-alert").into_iter().find(foreign_to_alert), None);
}

#[test]
fn what_one_crate_does_no_other_does() {
    let graph = Graph::read();
    let product = ["tripline", "tripline-alert", "tripline-ingest"];
    for (dependency, owner) in [
        ("datafusion", "tripline"),
        ("reqwest", "tripline-alert"),
        ("rusqlite", "tripline-alert"),
        ("flate2", "tripline-ingest"),
        ("zstd", "tripline-ingest"),
    ] {
        let users: Vec<_> = product.into_iter().filter(|name| graph.direct(name).contains(dependency)).collect();
        assert_eq!(users, [owner], "direct users of {dependency}");
    }
    assert!(!graph.linked("tripline-datasets").contains("datafusion"));
}

/// Not every file is read: logs compressed or in other encodings hold no path of ours.
#[test]
fn no_file_names_a_machine_path() {
    let Some(files) = repository::files() else { return };
    // In pieces, so that this file does not name them.
    let paths = [concat!("/wor", "k/"), concat!("/roo", "t/"), concat!("/tmp/", "tgt")];
    let mut found = Vec::new();
    for file in files {
        let Ok(text) = fs::read_to_string(repository::root().join(&file)) else { continue };
        for (i, line) in text.lines().enumerate() {
            if paths.iter().any(|path| line.contains(path)) {
                found.push(format!("{}:{}: {line}", file.display(), i + 1));
            }
        }
    }
    assert!(found.is_empty(), "machine paths:\n{}", found.join("\n"));
}

#[test]
fn a_source_file_can_be_read_in_one_sitting() {
    let Some(files) = repository::files() else { return };
    let is_source = |file: &std::path::PathBuf| file.extension().is_some_and(|e| e == "rs");
    let mut long = Vec::new();
    for file in files.into_iter().filter(is_source) {
        let text = fs::read_to_string(repository::root().join(&file)).expect("a source file");
        let lines = text.lines().count();
        if lines > 500 {
            long.push(format!("{}: {lines} lines", file.display()));
        }
        assert!(text.starts_with("//!"), "{} does not begin with what it is for", file.display());
    }
    assert!(long.is_empty(), "split these:\n{}", long.join("\n"));
}

#[test]
fn every_rule_has_a_log_that_fires_it_and_one_that_does_not() {
    let mut missing = Vec::new();
    for rule in repository::rules().iter().filter(|rule| !repository::is_baseline(rule)) {
        let (firing, quiet) = repository::fixtures(rule);
        if firing.is_empty() || quiet.is_empty() {
            missing.push(format!("{}: {} that fire, {} that do not", rule.display(), firing.len(), quiet.len()));
        }
    }
    assert!(missing.is_empty(), "each rule needs logs of both kinds:\n{}", missing.join("\n"));
}
