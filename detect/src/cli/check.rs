//! `tripline check`: the config and the rules, before they are needed.

use std::path::PathBuf;

use anyhow::Result;

use super::Outcome;
use super::output;
use super::setup::RuleArgs;
use crate::engine::Engine;
use crate::run;

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    rules: RuleArgs,
    /// Folders of rules, or rule files, to check as well
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// Runs the command.
pub async fn main(mut args: Args) -> Result<Outcome> {
    args.rules.rules.append(&mut args.paths);
    let setup = args.rules.load()?;
    let (engine, problems) = Engine::new(&setup.rules, &setup.exceptions.keep, &setup.lookups).await;
    let mut problems: Vec<String> =
        setup.problems.iter().cloned().chain(problems.iter().map(ToString::to_string)).collect();
    if args.rules.config.is_some() {
        problems.extend(run::destinations(&setup.config).err().map(|e| e.to_string()));
        let missing = setup
            .config
            .sources
            .iter()
            .filter(|s| tripline_ingest::discover(&s.path.display().to_string()).files.is_empty());
        problems.extend(missing.map(|s| format!("warning: the source {} has no files yet", s.path.display())));
    }
    for rule in engine.rules() {
        let kind = if rule.is_baseline() { "baseline" } else { rule.header.severity.name() };
        println!("{:44} {kind:9} {}", rule.id, rule.header.title);
    }
    for (name, lookup) in setup.lookups.iter() {
        let rows = output::thousands(lookup.rows.num_rows() as u64);
        println!(
            "{name:44} lookup    {}: {rows} rows ({})",
            lookup.path.display(),
            output::plain(&lookup.describe(), 200)
        );
    }
    for problem in &problems {
        eprintln!("\n{problem}");
    }
    let today = output::time(run::now_ms().saturating_mul(1000));
    for exception in setup.exceptions.list.iter().filter(|e| e.config.expires.to_string() <= today) {
        eprintln!(
            "\nwarning: the exception for {} ({}) has expired",
            exception.config.rules.join(", "),
            exception.config.reason
        );
    }
    let wrong = problems.iter().filter(|p| !p.starts_with("warning:")).count();
    eprintln!("\n{} rules are fine, {wrong} problem{}", engine.rules().count(), if wrong == 1 { "" } else { "s" });
    Ok(if wrong == 0 { Outcome::Done } else { Outcome::Incomplete })
}
