//! The command `load`: a log for load tests, compressed if asked for.

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use flate2::write::GzEncoder;
use jiff::{SignedDuration, Timestamp};
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use tripline_datasets::load::{Load, LoadTruth, write};

#[derive(Debug, Args)]
pub(crate) struct Command {
    /// Lines in the log.
    #[arg(long, value_parser = count)]
    lines: u64,
    /// Clients: half of them come once a minute, the others by a law like Zipf's.
    #[arg(long, default_value = "100_000", value_parser = count)]
    clients: u64,
    /// Lines a second of event time [default: one in 50 s for each client].
    #[arg(long)]
    rate: Option<f64>,
    /// Event time that the log spans, such as 30d, instead of a rate.
    #[arg(long, value_parser = crate::duration, conflicts_with = "rate")]
    span: Option<SignedDuration>,
    /// The number that everything random follows from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The first instant of the log.
    #[arg(long, default_value = "2026-03-02T00:00:00Z")]
    start: Timestamp,
    /// Compress, at the fastest level.
    #[arg(long, value_enum)]
    compress: Option<Compression>,
    /// The log file [default: stdout].
    #[arg(long)]
    out: Option<PathBuf>,
    /// The file for what is in the log, as JSON [default: none].
    #[arg(long)]
    truth: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Compression {
    Gzip,
    Zstd,
}

impl Command {
    pub(crate) fn run(&self) -> Result<()> {
        let load = self.load();
        load.check()?; // before a file is touched
        let out: Box<dyn Write> = match &self.out {
            Some(path) => Box::new(File::create(path).with_context(|| format!("cannot write {}", path.display()))?),
            None => Box::new(io::stdout().lock()),
        };
        let truth = compressed(&load, self.compress, out).with_context(|| match &self.out {
            Some(path) => format!("cannot write {}", path.display()),
            None => "cannot write to stdout".to_owned(),
        })?;
        if let Some(path) = &self.truth {
            let json = serde_json::to_string(&truth)? + "\n";
            std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    fn load(&self) -> Load {
        let rate = match self.span {
            Some(span) => Load::rate_over(self.lines, span),
            None => self.rate.unwrap_or(Load::usual_rate(self.clients)),
        };
        Load { seed: self.seed, start: self.start, lines: self.lines, clients: self.clients, rate }
    }
}

fn compressed(load: &Load, compression: Option<Compression>, mut out: impl Write) -> io::Result<LoadTruth> {
    match compression {
        None => write(load, &mut out),
        Some(Compression::Gzip) => {
            let mut encoder = GzEncoder::new(out, flate2::Compression::fast());
            let truth = write(load, &mut encoder)?;
            encoder.finish()?.flush()?;
            Ok(truth)
        }
        Some(Compression::Zstd) => {
            let mut encoder = zstd::Encoder::new(out, 1)?;
            let truth = write(load, &mut encoder)?;
            encoder.finish()?.flush()?;
            Ok(truth)
        }
    }
}

/// A number as people write it: `20000000` or `20_000_000`.
fn count(text: &str) -> Result<u64, String> {
    text.replace('_', "").parse().map_err(|_| "write a number such as 20_000_000".to_owned())
}
