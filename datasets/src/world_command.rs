//! The commands `world` and `list`.

use crate::compress::{Compression, Output, cannot_write};
use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use tripline_datasets::world::plan::{Plan, parse};
use tripline_datasets::world::{World, confounders, families, incidents, into_log};
use tripline_datasets::{Format, duration};

#[derive(Debug, Args)]
pub(crate) struct Command {
    /// Event time that the log spans, such as 6h or 41d; with --into, the log decides.
    #[arg(long, value_parser = duration, required_unless_present = "into")]
    duration: Option<SignedDuration>,
    /// Requests a second of people, the mean over a week; 0 for none, and campaigns alone.
    #[arg(long, default_value_t = 20.0)]
    rate: f64,
    /// The number that everything random follows from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The first instant of the log.
    #[arg(long, default_value = "2026-03-02T00:00:00Z")]
    start: Timestamp,
    /// Draw the site's shape from the published ranges, by the seed.
    #[arg(long)]
    sweep: bool,
    /// Who else is there (repeatable): a name that `list` knows, or all or none.
    #[arg(long, default_value = "all")]
    confounder: Vec<String>,
    /// A campaign (repeatable): a name that `list` knows, with changes, as in tmobile-2022:start=26h,identities=100,duration=2h.
    #[arg(long, value_parser = parse)]
    campaign: Vec<Plan>,
    /// How lines are written.
    #[arg(long, value_enum, default_value_t = LineFormat::Combined)]
    format: LineFormat,
    /// Add the campaigns to this log (plain or .gz, .zst) instead of simulating the rest; lines of --format.
    #[arg(long, value_name = "FILE")]
    into: Option<PathBuf>,
    /// Compress, at the fastest level.
    #[arg(long, value_enum)]
    compress: Option<Compression>,
    /// The log file [default: stdout].
    #[arg(long)]
    out: Option<PathBuf>,
    /// The file for the truth, as JSON [default: none].
    #[arg(long)]
    truth: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LineFormat {
    Combined,
    Common,
    Json,
}

impl From<LineFormat> for Format {
    fn from(format: LineFormat) -> Self {
        match format {
            LineFormat::Combined => Self::Combined,
            LineFormat::Common => Self::Common,
            LineFormat::Json => Self::Json,
        }
    }
}

impl Command {
    fn world(&self) -> Result<World> {
        let mut chosen = Vec::new();
        for name in self.confounder.iter().filter(|name| *name != "none") {
            let unknown = || format!("there is no confounder {name:?}, see `tripline-datasets list`");
            match name.as_str() {
                "all" => chosen.extend(confounders::ALL),
                name => chosen.push(confounders::named(name).with_context(unknown)?),
            }
        }
        let duration = self.duration.unwrap_or(SignedDuration::ZERO);
        ensure!(
            (1..=10 * 366 * 86_400).contains(&duration.as_secs()),
            "a log spans a second to ten years; change --duration"
        );
        ensure!(
            self.rate == 0.0 || (0.1..=100_000.0).contains(&self.rate),
            "a rate of {} requests/s cannot be simulated; choose 0, or one from 0.1 to 100000",
            self.rate
        );
        Ok(World {
            seed: self.seed,
            start: self.start,
            duration,
            rate: self.rate,
            sweep: self.sweep,
            confounders: if self.rate > 0.0 { chosen } else { Vec::new() },
            campaigns: self.campaign.clone(),
            format: self.format.into(),
        })
    }

    pub(crate) fn run(&self) -> Result<()> {
        // (before a file is touched)
        let log =
            self.into.as_deref().map(|path| read(path).with_context(|| format!("cannot read {}", path.display())));
        let mut log = log.transpose()?;
        let world = if log.is_some() { None } else { Some(self.world()?) };
        let mut out = Output::create(self.out.as_deref(), self.compress)?;
        let failed = cannot_write(self.out.as_deref());
        let (truth, begun) = if let Some(log) = &mut log {
            let (lines, campaigns) =
                into_log(log, &self.campaign, self.seed, self.format.into(), &mut out).with_context(&failed)?;
            (json!({ "seed": self.seed, "lines": lines, "campaigns": campaigns }), campaigns.len())
        } else {
            let truth = world
                .context("nothing is to be written")?
                .write(&mut out)
                .map_err(io::Error::from)
                .with_context(&failed)?;
            (serde_json::to_value(&truth)?, truth.campaigns.len())
        };
        out.finish().with_context(failed)?;
        if let Some(path) = &self.truth {
            std::fs::write(path, format!("{truth}\n")).with_context(|| format!("cannot write {}", path.display()))?;
        }
        ensure!(
            begun == self.campaign.len(),
            "the log ended before a campaign began: write a longer one, or choose an earlier start"
        );
        Ok(())
    }
}

/// A log, whatever it is compressed with.
fn read(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let mut magic = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut magic)?;
    let file = BufReader::new(File::open(path)?);
    Ok(match magic[..] {
        [0x1f, 0x8b, ..] => Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(file))),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(BufReader::new(zstd::Decoder::with_buffer(file)?)),
        _ => Box::new(file),
    })
}

pub(crate) fn list() -> Result<()> {
    let mut out = io::stdout().lock();
    for (title, plans) in [
        ("Families of attacks", families::all().collect::<Vec<_>>()),
        ("Incidents (what is assumed is synthetic)", incidents::all().collect()),
    ] {
        writeln!(out, "{title}:")?;
        for plan in plans {
            writeln!(out, "  {:<24} {}", plan.name, plan.summary)?;
            for (what, text) in [("published", plan.published), ("assumed", plan.assumed)] {
                if !text.is_empty() {
                    writeln!(out, "  {:<24}   {what}: {text}", "")?;
                }
            }
        }
        writeln!(out)?;
    }
    writeln!(out, "Confounders:")?;
    for confounder in confounders::ALL {
        writeln!(out, "  {:<24} {}", confounder.name, confounder.summary)?;
    }
    Ok(())
}
