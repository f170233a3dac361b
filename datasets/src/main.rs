//! The command line of the simulator.

mod compress;
mod load_command;
mod world_command;

use anyhow::{Context as _, ensure};
use clap::{Args, Parser, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use tripline_datasets::{Enumeration, GenerateError, Length, Order, Scenario, duration, generate};

/// Writes simulated access logs, and the truth about them.
#[derive(Debug, Parser)]
#[command(version)]
enum Command {
    /// Simulates the traffic of an API and writes it in nginx's combined format.
    Generate(Generate),
    /// Writes a log for load tests, in nginx's combined format: a simple shape, and very many lines.
    Load(load_command::Command),
    /// Simulates a site for scoring: confounders, families of attacks, incidents; or adds campaigns to a log.
    World(world_command::Command),
    /// Lists the families, incidents and confounders that `world` knows.
    List,
}

#[derive(Debug, Args)]
struct Generate {
    #[command(flatten)]
    length: LogLength,
    /// Benign requests a second, the mean over a week.
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
    /// The number that everything random follows from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The first instant of the log.
    #[arg(long, default_value = "2026-03-02T00:00:00Z")]
    start: Timestamp,
    /// Adds a partner who reads 3,000 orders in sequence at 02:00 UTC: harmless, and looks like a campaign.
    #[arg(long)]
    partner_export: bool,
    /// The campaign to inject: one client that reads account after account.
    #[arg(long, value_enum, default_value_t = Campaign::None)]
    campaign: Campaign,
    /// The campaign's requests a second; 0.03 is one in half a minute.
    #[arg(long, default_value_t = 10.0)]
    campaign_rate: f64,
    /// When the campaign begins, counted from the start of the log, such as 2h.
    #[arg(long, default_value = "0s", value_parser = duration)]
    campaign_start: SignedDuration,
    /// The campaign ends after so many requests [default: with the log].
    #[arg(long)]
    campaign_requests: Option<u64>,
    /// The campaign ends after so many records [default: with the log].
    #[arg(long)]
    campaign_records: Option<u64>,
    /// The lowest id that the campaign asks for.
    #[arg(long, default_value_t = 1_000)]
    campaign_first_id: u64,
    /// The order in which the campaign asks for ids.
    #[arg(long, value_enum, default_value_t = IdOrder::Sequential)]
    order: IdOrder,
    /// The share of the ids asked for that exist; the others are answered 404.
    #[arg(long, default_value_t = 1.0)]
    hit_ratio: f64,
    /// The log file [default: stdout].
    #[arg(long)]
    out: Option<PathBuf>,
    /// The file for the truth, as JSON [default: none].
    #[arg(long)]
    truth: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct LogLength {
    /// Lines in the log, those of the campaign included.
    #[arg(long)]
    lines: Option<u64>,
    /// Time that the log spans, such as 6h or 41d.
    #[arg(long, value_parser = duration)]
    duration: Option<SignedDuration>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Campaign {
    None,
    Enumerate,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum IdOrder {
    Sequential,
    Random,
}

impl Generate {
    fn scenario(&self) -> Scenario {
        let enumeration = || Enumeration {
            start: self.campaign_start,
            rate: self.campaign_rate,
            requests: self.campaign_requests,
            records: self.campaign_records,
            first_id: self.campaign_first_id,
            order: match self.order {
                IdOrder::Sequential => Order::Sequential,
                IdOrder::Random => Order::Random,
            },
            hit_ratio: self.hit_ratio,
        };
        Scenario {
            seed: self.seed,
            start: self.start,
            length: match (self.length.lines, self.length.duration) {
                (None, Some(duration)) => Length::Duration(duration),
                (lines, _) => Length::Lines(lines.unwrap_or(0)),
            },
            rate: self.rate,
            partner_export: self.partner_export,
            campaign: matches!(self.campaign, Campaign::Enumerate).then(enumeration),
        }
    }

    fn run(&self) -> anyhow::Result<()> {
        let scenario = self.scenario();
        scenario.check()?; // before a file is touched
        let mut out: Box<dyn Write> = match &self.out {
            Some(path) => Box::new(File::create(path).with_context(|| format!("cannot write {}", path.display()))?),
            None => Box::new(io::stdout().lock()),
        };
        let truth = generate(&scenario, &mut out).with_context(|| match &self.out {
            Some(path) => format!("cannot write {}", path.display()),
            None => "cannot write to stdout".to_owned(),
        })?;
        if let Some(path) = &self.truth {
            let mut json = serde_json::to_vec(&truth)?;
            json.push(b'\n');
            std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))?;
        }
        ensure!(
            scenario.campaign.is_none() || truth.campaign.is_some(),
            "the log ended before the campaign began: write more lines, or choose an earlier --campaign-start"
        );
        Ok(())
    }
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Generate(command) => command.run(),
        Command::Load(command) => command.run(),
        Command::World(command) => command.run(),
        Command::List => world_command::list(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whoever reads our output has seen enough, as in `tripline-datasets generate ... | head`.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let written = match error.downcast_ref() {
        Some(GenerateError::Write(error)) => Some(error),
        _ => error.downcast_ref::<io::Error>(),
    };
    written.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
