//! The command `load`: a log for load tests, compressed if asked for.

use crate::compress::{Compression, Output, cannot_write};
use anyhow::{Context as _, Result};
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use std::path::PathBuf;
use tripline_datasets::load::{Load, write};

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
    #[arg(long, value_parser = tripline_datasets::duration, conflicts_with = "rate")]
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

impl Command {
    pub(crate) fn run(&self) -> Result<()> {
        let load = self.load();
        load.check()?; // before a file is touched
        let mut out = Output::create(self.out.as_deref(), self.compress)?;
        let truth = write(&load, &mut out)
            .and_then(|truth| out.finish().map(|()| truth))
            .with_context(cannot_write(self.out.as_deref()))?;
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

/// A number as people write it: `20000000` or `20_000_000`.
fn count(text: &str) -> Result<u64, String> {
    text.replace('_', "").parse().map_err(|_| "write a number such as 20_000_000".to_owned())
}
