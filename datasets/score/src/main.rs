//! Scores detection rules on simulated traffic: how many records had leaked before the alert, and how often harmless traffic
//! raises one. Rules run through the engine of `tripline scan`.
//!
//! The tour: `site` simulates a site and remembers what is to be known of its harmless traffic; `run` sends logs through the
//! rules; `campaigns` scores campaigns, each by itself in the site's traffic, `floor` says what no detector could beat; `benign`
//! counts false alerts; `frontier` looks for what stays silent; `stats` and `table` are what they are told with.

// Counts of records and requests, far below 2^52, as shares.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss
)]

mod benign;
mod campaigns;
mod floor;
mod frontier;
mod run;
mod site;
mod stats;
mod table;

use anyhow::Result;
use clap::{Args, Parser, ValueEnum};
use jiff::SignedDuration;
use std::path::PathBuf;
use std::process::ExitCode;
use tripline_datasets::duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Scores detection rules on simulated traffic.
#[derive(Debug, Parser)]
#[command(version)]
enum Command {
    /// Records leaked before the alert, campaign by campaign.
    Campaigns(campaigns::Command),
    /// False alerts on harmless traffic with all its confounders.
    Benign(benign::Command),
    /// The fewest identities and the highest rate that stay silent.
    Frontier(frontier::Command),
}

/// What all commands share: the site, the seeds, the rules.
#[derive(Debug, Clone, Args)]
struct Common {
    /// Seeds; those of tuning (1, 2, 3) must not be those of a score.
    #[arg(long, value_delimiter = ',', default_value = "101,102,103")]
    seeds: Vec<u64>,
    /// Requests a second of the site's people, the mean over a week.
    #[arg(long, default_value_t = 20.0)]
    rate: f64,
    /// How long the site runs before anything is counted: what baselines learn from.
    #[arg(long, value_parser = duration, default_value = "2d")]
    warm_up: SignedDuration,
    /// Do not draw the site's shape from the published ranges, but take their middle.
    #[arg(long)]
    no_sweep: bool,
    /// The rules: the shipped pack, the comparators (rules of others, from their documentation), or a folder.
    #[arg(long, default_value = "shipped")]
    pack: String,
    /// Run only the rules with this id; globs as 'api1/*' (repeatable)
    #[arg(long, value_name = "ID")]
    only: Vec<String>,
    /// How late lines may come, if not as their formats say (60 s combined, 10 s JSON): alerts at a window's end wait for it.
    #[arg(long, value_parser = duration)]
    lateness: Option<SignedDuration>,
    /// Keep the simulated traffic in this folder, and use what is there.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// One JSON object.
    Json,
    /// For a README.
    Markdown,
}

fn main() -> ExitCode {
    let command = Command::parse();
    match execute(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn execute(command: Command) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        match command {
            Command::Campaigns(command) => command.run().await,
            Command::Benign(command) => command.run().await,
            Command::Frontier(command) => command.run().await,
        }
    })
}
