//! `tripline explain`: how a rule runs and what it costs.

use anyhow::{Result, bail};

use super::Outcome;
use super::setup::RuleArgs;
use crate::engine::Engine;

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The rule's id, as `tripline check` lists it
    rule: String,
    #[command(flatten)]
    rules: RuleArgs,
}

/// Runs the command.
pub async fn main(args: Args) -> Result<Outcome> {
    let setup = args.rules.load()?;
    let (engine, problems) = Engine::new(&setup.rules, &setup.exceptions.keep, &setup.lookups).await;
    for problem in setup.problems.iter().cloned().chain(problems.iter().map(ToString::to_string)) {
        eprintln!("{problem}\n");
    }
    match engine.without_unused_baselines().explain(&args.rule) {
        Some(text) => print!("{text}"),
        None => bail!("no rule that runs is called {:?}; `tripline check` lists the rules", args.rule),
    }
    Ok(Outcome::Done)
}
