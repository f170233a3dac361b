//! `tripline run`: follow log directories and deliver alerts to webhooks.

use std::path::PathBuf;

use anyhow::{Result, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::Outcome;
use super::setup::RuleArgs;
use crate::engine::Engine;
use crate::reload::Reloader;
use crate::rules::Rule;
use crate::run::run;

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The config
    #[arg(short, long, value_name = "FILE", default_value = "tripline.toml")]
    config: PathBuf,
}

/// Runs the command.
pub async fn main(args: Args) -> Result<Outcome> {
    let files = RuleArgs { config: Some(args.config), ..RuleArgs::default() }.files();
    let setup = files.load()?;
    let (engine, problems) = Engine::new(&setup.rules, &setup.exceptions.keep, &setup.lookups).await;
    for problem in setup.problems.iter().chain(&problems).chain(&engine.warnings()) {
        // A rule that is wrong does not keep the others from running.
        eprintln!("{problem}\n");
    }
    if engine.rules().all(Rule::is_baseline) {
        bail!("no rule is left to run");
    }
    let (stop, shutdown) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM"),
            _ = interrupt.recv() => tracing::info!("SIGINT"),
        }
        // Nobody listens any more only if `run` has ended already.
        let _ = stop.send(true);
        std::future::pending::<()>().await;
    });
    let rules = Reloader::new(files, &setup);
    let engine = engine
        .without_unused_baselines()
        .with_memory_limit(setup.config.engine.memory_bytes())
        .with_alert_budget(setup.config.budget.alerts);
    run(&setup.config, engine, setup.exceptions, rules, shutdown).await?;
    Ok(Outcome::Done)
}
