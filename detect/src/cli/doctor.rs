//! `tripline doctor`: what logs can and cannot show.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};

use super::Outcome;
use super::output::{bytes, plain, thousands, time};
use super::scan::patterns_or_sources;
use super::setup::RuleArgs;
use crate::doctor::{Ability, Examination, advice};
use crate::engine::Engine;
use crate::input::{Input, Progress, find_files};
use crate::overlap::Overlap;
use crate::run::now_ms;

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files, directories (recursive) or globs; the config's sources otherwise
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
    #[command(flatten)]
    rules: RuleArgs,
}

/// Runs the command.
pub async fn main(args: Args) -> Result<Outcome> {
    let setup = args.rules.load()?;
    let patterns = patterns_or_sources(&args.paths, &setup.config)?;
    if patterns.is_empty() {
        bail!("name logs, or a config with -c that has a [[source]]");
    }
    let (files, problems) = find_files(&patterns);
    for problem in &problems {
        println!("warning: {problem}");
    }
    if files.is_empty() {
        bail!("there is no log in {}", patterns.iter().map(|(p, _)| p.as_str()).collect::<Vec<_>>().join(", "));
    }
    println!("Files");
    for file in files.iter().take(20) {
        println!("  {}: {}, {}", file.path().display(), file.format(), bytes(file.size()));
    }
    if files.len() > 20 {
        println!("  ... and {} more", files.len() - 20);
    }
    let mut examination = Examination::default();
    let mut input = Input::new(files, Arc::new(Progress::default()));
    let mut overlap = Overlap::default();
    let mut each = |batch: &tripline_ingest::Batch, path: &Path| {
        examination.add(&batch.rows, batch.newest_before);
        overlap.add(&setup.config.source_of(path), &batch.rows);
    };
    while input.next_chunk(64 * 1024, &mut each).is_some() {}

    let rejected: u64 = input.summary.rejects.values().sum();
    println!(
        "\nRequests\n  {} in {} lines, {} rejected, {} clients",
        thousands(examination.rows()),
        thousands(input.summary.lines),
        thousands(rejected),
        thousands(examination.clients() as u64)
    );
    if let Some((first, newest)) = examination.span() {
        println!("  from {} to {} UTC", time(first), time(newest));
    }
    for warning in examination
        .warnings(now_ms().saturating_mul(1000))
        .iter()
        .chain(&overlap.warnings())
        .chain(&input.summary.problems)
    {
        println!("  warning: {}", plain(warning, 500));
    }

    println!("\nColumns (share of requests that have a value)");
    for (column, rate) in examination.fill_rates() {
        let hint = if rate <= 0.0 { format!("  missing: {}", advice(&column)) } else { String::new() };
        println!("  {column:12} {:5.1} %{hint}", rate * 100.0);
    }

    println!("  docs/logging.md of the repository has, server by server, the configuration that shows most");

    println!("\nRules");
    let (engine, broken) = Engine::new(&setup.rules, &setup.exceptions.keep, &setup.lookups).await;
    for rule in engine.compiled() {
        match examination.ability(rule) {
            Ability::Works => println!("  works     {}", rule.rule.id),
            Ability::Degraded(why) => println!("  degraded  {}: {why}", rule.rule.id),
            Ability::Blind(why) => println!("  blind     {}: {why}", rule.rule.id),
        }
    }
    for (rule, what) in setup.waiting() {
        println!("  waits     {}: {what}", rule.id);
    }
    for problem in setup.problems.iter().chain(&broken) {
        eprintln!("\n{problem}");
    }
    Ok(if !problems.iter().any(|p| p.is_named_in(&args.paths)) && input.summary.problems.is_empty() {
        Outcome::Done
    } else {
        Outcome::Incomplete
    })
}
