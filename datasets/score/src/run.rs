//! Logs through rules, by the engine of `tripline scan`.

use crate::Common;
use anyhow::{Context as _, Result, bail};
use jiff::SignedDuration;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tripline::engine::Engine;
use tripline::exceptions::Exceptions;
use tripline::input::{Progress, find_files};
use tripline::lookups::Lookups;
use tripline::rules::{Loaded, Rule};
use tripline::scan::{Extras, Period, scan};
use tripline_alert::{Lifecycle, Mode};
use tripline_ingest::SourceOptions;

/// An alert, as it was first told.
#[derive(Debug, Clone)]
pub struct Raised {
    pub rule: String,
    pub entity: BTreeMap<String, Value>,
    /// When it was told, in event time, µs.
    pub at_us: i64,
    /// The window, µs, and its numbers.
    pub window: (i64, i64),
    pub values: Map<String, Value>,
}

impl Raised {
    pub fn text(&self, column: &str) -> Option<&str> {
        self.entity.get(column).and_then(Value::as_str)
    }
}

/// The rules that are asked for; those that only observe are left out of scores, as nobody is told.
pub fn rules(common: &Common) -> Result<Vec<Rule>> {
    let loaded = match common.pack.as_str() {
        "shipped" => Loaded::shipped(),
        "comparators" => Loaded::from_path(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/comparators"))),
        folder => Loaded::from_path(Path::new(folder)),
    };
    if let Some(problem) = loaded.problems.first() {
        bail!("{problem}");
    }
    let chosen = |rule: &Rule| {
        rule.is_baseline() || common.only.is_empty() || common.only.iter().any(|only| fits(only, &rule.id))
    };
    let rules: Vec<Rule> =
        loaded.rules.into_iter().filter(|rule| chosen(rule) && rule.header.mode == Mode::Alert).collect();
    if rules.iter().all(Rule::is_baseline) {
        bail!("no rule is called that; `tripline check` lists the shipped ones");
    }
    Ok(rules)
}

fn fits(pattern: &str, id: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == id, |start| id.starts_with(start))
}

/// What the rules say of these files up to a time, µs.
pub async fn run(common: &Common, rules: &[Rule], files: &[PathBuf], until_us: i64) -> Result<Vec<Raised>> {
    let (engine, problems) = Engine::new(rules, &BTreeMap::new(), &Lookups::default()).await;
    if let Some(problem) = problems.first() {
        bail!("{problem}");
    }
    let mut engine = engine.without_unused_baselines();
    let options =
        SourceOptions { lateness: common.lateness.map(SignedDuration::unsigned_abs), ..SourceOptions::default() };
    let patterns: Vec<_> = files.iter().map(|file| (file.display().to_string(), options.clone())).collect();
    let (mut inputs, problems) = find_files(&patterns);
    if let Some(problem) = problems.first() {
        bail!("{problem}");
    }
    inputs.retain(|input| input.first_ts() < until_us);
    let (mut lifecycle, mut seen, mut raised) = (Lifecycle::default(), BTreeSet::new(), Vec::new());
    let period = Period { since: None, until: Some(until_us) };
    let scanned = scan(
        &mut engine,
        &mut Exceptions::default(),
        inputs,
        period,
        Arc::new(Progress::default()),
        Extras::default(),
        |found| {
            for alert in lifecycle.step(found, None).into_iter().map(|change| change.alert) {
                if seen.insert(alert.id.clone()) {
                    raised.push(Raised {
                        rule: alert.rule,
                        entity: alert.entity,
                        at_us: alert.fired_at.unwrap_or(alert.detected_at),
                        window: (alert.window.start, alert.window.end),
                        values: alert.values,
                    });
                }
            }
        },
    )
    .await
    .context("the scan stopped")?;
    if let Some(trouble) = scanned.troubles.first() {
        bail!("{}", trouble.message);
    }
    if let Some(problem) = scanned.read.problems.first() {
        bail!("{problem}");
    }
    raised.sort_by_key(|alert| alert.at_us);
    Ok(raised)
}
