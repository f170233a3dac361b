//! `tripline explain`: how a rule runs and what it costs; of an alert, see [`why`].

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::measured::Measured;
use super::scan::find_inputs;
use super::setup::RuleArgs;
use super::{Outcome, output, why};
use crate::engine::{Engine, Stopwatch};
use crate::input::Progress;
use crate::scan::{Extras, Period, scan};
use crate::setup::RuleFiles;

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The rule's id, as `tripline check` lists it; or an alert's, as `tripline alerts` does, or its begin
    #[arg(value_name = "RULE or ALERT")]
    rule: String,
    /// Logs on which to measure what it costs, as for `scan`
    #[arg(value_name = "LOG")]
    logs: Vec<String>,
    #[command(flatten)]
    rules: RuleArgs,
}

/// Runs the command.
pub async fn main(args: Args) -> Result<Outcome> {
    if why::is_alert(&args.rule) {
        return why::main(&args.rule, &args.rules).await;
    }
    let setup = args.rules.load()?;
    let (engine, problems) = Engine::new(&setup.rules, &setup.exceptions.keep, &setup.lookups).await;
    for problem in setup.problems.iter().chain(&problems) {
        eprintln!("{problem}\n");
    }
    if let Some((rule, what)) = setup.waiting().find(|(rule, _)| rule.id == args.rule) {
        println!("{} waits {what}", rule.id);
        return Ok(Outcome::Done);
    }
    match engine.without_unused_baselines().explain(&args.rule) {
        Some(text) => print!("{text}"),
        None => bail!("no rule that runs is called {:?}; `tripline check` lists the rules", args.rule),
    }
    if args.logs.is_empty() { Ok(Outcome::Done) } else { measure(&args).await }
}

/// Runs the rule over logs, alone but for the baselines that it joins.
async fn measure(args: &Args) -> Result<Outcome> {
    let mut setup = RuleFiles { only: vec![args.rule.clone()], ..args.rules.files() }.load()?;
    let (engine, _) = Engine::new(&setup.rules, &setup.exceptions.keep, &setup.lookups).await;
    let started = Instant::now();
    let mut engine = engine
        .without_unused_baselines()
        .with_memory_limit(setup.config.engine.memory_bytes())
        .with_stopwatch(Stopwatch::new(move || started.elapsed()));
    let (files, unusable) = find_inputs(&args.logs, &setup.config)?;
    let mut measured = Measured::default();
    let mut watch = |engine: &Engine| measured.look(engine.figures());
    let extras = Extras { watch: Some(&mut watch), ..Extras::default() };
    let progress = Arc::new(Progress::default());
    let scanned = scan(&mut engine, &mut setup.exceptions, files, Period::default(), progress, extras, drop).await;
    let scanned = scanned.context("the measurement stopped")?;
    measured.look(engine.figures());
    print!("\n{}", measured.render(scanned.read.rows, engine.early_time(), started.elapsed()));
    for problem in &scanned.read.problems {
        eprintln!("problem: {}", output::plain(problem, 300));
    }
    for trouble in &scanned.troubles {
        eprintln!("error: {}", trouble.message);
    }
    let complete = !unusable && scanned.read.problems.is_empty() && scanned.troubles.is_empty();
    Ok(if complete { Outcome::Done } else { Outcome::Incomplete })
}
