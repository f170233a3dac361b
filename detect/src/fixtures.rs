//! A rule's tests: logs beside the rule, with the alerts that each must raise.
//!
//! In `tests/` beside `rule.sql`: `NAME.log` (or `.log.gz`, `.log.zst`) is scanned with the rule and the baselines.
//! `NAME.expected.jsonl` has one line an alert, as [`Raised`]; without that file, or with an empty one, the rule must stay
//! quiet. `tests/lookups/` holds the lookups that the rule joins, each named as its file: `partners.csv`. How the logs are read,
//! if not as `auto` does, says a `[[source]]` with the path `.` in `tests/tripline.toml`.

use std::path::{Path, PathBuf};

use datafusion::common::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use tripline_alert::{Lifecycle, Status};

use crate::config::Config;
use crate::engine::Engine;
use crate::exceptions::Exceptions;
use crate::input::{Progress, find_files};
use crate::lookups::Lookups;
use crate::rules::Rule;
use crate::scan::{Extras, Period, scan};

/// One alert, as a line of an expectation: who, how many windows, and the numbers of the last one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Raised {
    /// The entity's columns.
    pub entity: BTreeMap<String, Value>,
    /// Windows with a finding.
    pub findings: u64,
    /// The other columns, in the last window.
    pub values: Map<String, Value>,
}

/// One log of a rule's tests.
#[derive(Debug, Clone)]
pub struct Fixture {
    /// The log.
    pub log: PathBuf,
    /// Where its expectation is, whether or not the file is there.
    pub expected: PathBuf,
}

/// The logs in `tests/` beside the rule's file.
pub fn fixtures(rule_file: &Path) -> Vec<Fixture> {
    let folder = rule_file.parent().unwrap_or(Path::new("")).join("tests");
    let files =
        if folder.is_dir() { tripline_ingest::discover(&folder.display().to_string()).files } else { Vec::new() };
    let stem = |path: &Path| {
        let name = path.file_name()?.to_str()?;
        [".log", ".log.gz", ".log.zst"].iter().find_map(|suffix| name.strip_suffix(suffix)).map(str::to_owned)
    };
    files
        .into_iter()
        .filter_map(|log| {
            stem(&log).map(|stem| Fixture { expected: folder.join(format!("{stem}.expected.jsonl")), log })
        })
        .collect()
}

/// What stands beside a log, or the default.
fn config(log: &Path) -> std::result::Result<Config, String> {
    let file = log.with_file_name("tripline.toml");
    if file.exists() { Config::read(&file, []).map_err(|e| e.to_string()) } else { Ok(Config::default()) }
}

impl Fixture {
    /// What the log is expected to raise, as it stands in the file: the order does not count.
    pub fn expectation(&self) -> std::result::Result<Vec<Raised>, String> {
        if !self.expected.exists() {
            return Ok(Vec::new());
        }
        let text = std::fs::read_to_string(&self.expected).map_err(|e| format!("{}: {e}", self.expected.display()))?;
        let parse = |(i, line): (usize, &str)| {
            serde_json::from_str(line).map_err(|e| format!("{}:{}: {e}", self.expected.display(), i + 1))
        };
        text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(parse).collect()
    }

    /// What the log raises under `rule`, with the baselines among `others` and the lookups given and beside the log.
    pub async fn raise(
        &self,
        rule: &Rule,
        others: &[Rule],
        lookups: &Lookups,
    ) -> std::result::Result<Vec<Raised>, String> {
        let mut rules: Vec<Rule> = others.iter().filter(|r| r.is_baseline() && r.id != rule.id).cloned().collect();
        rules.push(rule.clone());
        let mut lookups = lookups.clone();
        let folder = self.log.parent().unwrap_or(Path::new("")).join("lookups");
        if folder.is_dir() {
            lookups.read_folder(&folder).map_err(|e| e.to_string())?;
        }
        let (mut engine, problems) = Engine::new(&rules, &BTreeMap::new(), &lookups).await;
        if let Some(problem) = problems.first() {
            return Err(problem.to_string());
        }
        let path = self.log.display().to_string();
        let options = config(&self.log)?.options_for(&path)?;
        let pattern = (path, options);
        let (files, problems) = find_files(&[pattern]);
        if let Some(problem) = problems.first() {
            return Err(problem.to_string());
        }
        let mut lifecycle = Lifecycle::default();
        let mut alerts = BTreeMap::new();
        let mut exceptions = Exceptions::default();
        let progress = Arc::new(Progress::default());
        let scanned: Result<_> =
            scan(&mut engine, &mut exceptions, files, Period::default(), progress, Extras::default(), |found| {
                for alert in
                    lifecycle.step(found, None).into_iter().map(|c| c.alert).filter(|a| a.status != Status::Resolved)
                {
                    alerts.insert((alert.episode_start, alert.id.clone()), alert);
                }
            })
            .await;
        let scanned = scanned.map_err(|e| e.to_string())?;
        if let Some((reason, n)) = scanned.read.rejects.first_key_value() {
            return Err(format!("{}: {n} lines are no requests: {reason}", self.log.display()));
        }
        Ok(alerts.into_values().map(|a| Raised { entity: a.entity, findings: a.findings, values: a.values }).collect())
    }
}
