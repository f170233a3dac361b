//! `tripline check`: the config and the rules, before they are needed.

use std::cmp::Reverse;
use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;
use tripline_ingest::{LogReader, Mode};

use super::Outcome;
use super::output;
use super::setup::RuleArgs;
use crate::config::Config;
use crate::diagnostic::{Diagnostic, Severity};
use crate::engine::Engine;
use crate::overlap::Overlap;
use crate::routes;
use crate::run;
use crate::setup::Setup;

/// Newest files of a source that are looked at for requests that others log, too.
const OVERLAP_FILES: usize = 3;
/// Requests of each.
const OVERLAP_ROWS: usize = 100_000;

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    rules: RuleArgs,
    /// Folders of rules, or rule files, to check as well
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The rules, and what is wrong with a caret under it
    Text,
    /// One JSON object a line for each error and warning
    Json,
}

/// Runs the command.
pub async fn main(mut args: Args) -> Result<Outcome> {
    args.rules.rules.append(&mut args.paths);
    let setup = args.rules.load()?;
    let (engine, mut problems) = Engine::new(&setup.rules, &setup.exceptions.keep, &setup.lookups).await;
    problems.splice(0..0, setup.problems.iter().cloned());
    problems.extend(engine.warnings());
    problems.extend(of_config(&args, &setup));
    let wrong = problems.iter().filter(|p| p.severity == Severity::Error).count();
    match args.format {
        Format::Json => {
            for problem in &problems {
                println!("{}", problem.to_json());
            }
        }
        Format::Text => {
            list(&engine, &setup);
            for problem in &problems {
                eprintln!("\n{problem}");
            }
            eprintln!(
                "\n{} rules are fine, {wrong} problem{}",
                engine.rules().count(),
                if wrong == 1 { "" } else { "s" }
            );
        }
    }
    Ok(if wrong == 0 { Outcome::Done } else { Outcome::Incomplete })
}

/// What runs, and what it may join.
fn list(engine: &Engine, setup: &Setup) {
    for rule in engine.rules() {
        let kind = if rule.is_baseline() { "baseline" } else { rule.header.severity.name() };
        println!("{:44} {kind:9} {}", rule.id, rule.header.title);
    }
    for (rule, what) in setup.waiting() {
        println!("{:44} waits     {what}", rule.id);
    }
    // (routes are there in any case, for rules to join)
    for (name, lookup) in setup.lookups.iter().filter(|(name, l)| *name != routes::TABLE || l.rows.num_rows() > 0) {
        let rows = output::thousands(lookup.rows.num_rows() as u64);
        println!(
            "{name:44} lookup    {}: {rows} rows ({})",
            lookup.path.display(),
            output::plain(&lookup.describe(), 200)
        );
    }
}

/// Sources that log the same requests, by the first lines of their newest files.
fn overlaps(config: &Config) -> Vec<String> {
    let mut overlap = Overlap::default();
    for source in &config.sources {
        let Ok(options) = source.options() else { continue };
        let name = source.path.display().to_string();
        let mut files = tripline_ingest::discover(&name).files;
        files.sort_by_cached_key(|file| Reverse(file.metadata().and_then(|m| m.modified()).ok()));
        // (what cannot be read, other commands tell)
        let probes = files.iter().take(OVERLAP_FILES).filter_map(|file| tripline_ingest::probe(file, &options).ok());
        for mut reader in probes.filter_map(|probe| LogReader::open(&probe, &options, Mode::Once).ok()) {
            let mut rows = 0;
            while let (true, Ok(Some(batch))) = (rows < OVERLAP_ROWS, reader.next_batch()) {
                rows += batch.rows.num_rows();
                overlap.add(&name, &batch.rows);
            }
        }
    }
    overlap.warnings()
}

/// What is wrong with the config beside rules and lookups.
fn of_config(args: &Args, setup: &Setup) -> Vec<Diagnostic> {
    let Some(path) = &args.rules.config else { return Vec::new() };
    let problem = |message: String| Diagnostic::new(&path.display().to_string(), "", None, message);
    let mut problems = Vec::new();
    problems.extend(crate::destinations::destinations(&setup.config).err().map(|e| problem(e.to_string())));
    for source in &setup.config.sources {
        let path = source.path.display().to_string();
        if tripline_ingest::discover(&path).files.is_empty() {
            problems.push(problem(format!("the source {path} has no files yet")).warning());
        }
    }
    for source in setup.config.sources.iter().filter(|s| !s.user_verified && s.client.iter().any(|c| c == "user")) {
        let message = format!(
            "client of {} names user, which counts nowhere without user_verified = true",
            source.path.display()
        );
        let help = "if the server that logs has checked who the user is, say so; what clients claim would be a new identity each time";
        problems.push(problem(message).with_help(help).warning());
    }
    problems.extend(overlaps(&setup.config).into_iter().map(|message| problem(message).warning()));
    for (file, why) in setup.config.apis.problems() {
        problems.push(Diagnostic::new(&file.display().to_string(), "", None, why).warning());
    }
    let today = output::time(run::now_ms().saturating_mul(1000));
    for exception in setup.exceptions.list.iter().filter(|e| e.config.expires.to_string() <= today) {
        let (rules, reason) = (exception.config.rules.join(", "), &exception.config.reason);
        problems.push(problem(format!("the exception for {rules} ({reason}) has expired")).warning());
    }
    problems
}
