//! `tripline formats`: the formats that there are, and why a file is taken for one of them.

use std::io::{self, Write};

use anyhow::Result;
use arrow::json::LineDelimitedWriter;
use clap::Subcommand;
use tripline_ingest::{LogReader, Mode, Probe, ProbeError, Score, SourceOptions, formats};

use super::Outcome;
use super::output::{PlainJson, plain};
use crate::config::Config;

/// Formats whose fit is shown, where many do not fit at all.
const SHOWN: usize = 8;

/// Arguments of `formats`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what format files are in, how well others fit and why not, and show a line as it is read
    Detect {
        /// Files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<std::path::PathBuf>,
    },
}

/// Runs the command.
pub fn main(args: &Args) -> Result<Outcome> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let Some(Command::Detect { files }) = &args.command else {
        list(&mut out)?;
        out.flush()?;
        return Ok(Outcome::Done);
    };
    let mut outcome = Outcome::Done;
    for file in files {
        let options = Config::default().options_for(&file.display().to_string()).map_err(anyhow::Error::msg)?;
        match tripline_ingest::probe(file, &options) {
            Ok(probe) => {
                writeln!(out, "{}: {}", file.display(), probe.format)?;
                scores(&mut out, &probe.scores)?;
                sample(&mut out, &probe, &options)?;
            }
            Err(error) => {
                outcome = Outcome::Incomplete;
                writeln!(out, "{}", plain(&error.to_string(), 1000))?;
                if let ProbeError::Unknown { scores: found, .. } = &error {
                    scores(&mut out, found)?;
                }
            }
        }
    }
    out.flush()?;
    Ok(outcome)
}

fn list(out: &mut impl Write) -> io::Result<()> {
    for format in formats::formats() {
        writeln!(out, "{}\n    {}", format.name(), format.layout())?;
    }
    writeln!(out, "\nAround any of them, found by itself:")?;
    for (name, layout) in formats::wrappers() {
        writeln!(out, "{name}\n    {layout}")?;
    }
    writeln!(out, "\nFor others: `log_format` or `fields` of a [[source]].")
}

fn scores(out: &mut impl Write, scores: &[Score]) -> io::Result<()> {
    let (fit, others): (Vec<&Score>, Vec<&Score>) = scores.iter().partition(|score| score.parsed > 0);
    for score in fit.iter().chain(&others).take(SHOWN.max(fit.len())) {
        let unknown = if score.unknown > 0 { format!(", {} fields unknown", score.unknown) } else { String::new() };
        let reason = score.reason.map_or(String::new(), |reason| format!("; the first other: {reason}"));
        writeln!(out, "  {:22} parses {} of {} lines{unknown}{reason}", score.format, score.parsed, score.lines)?;
    }
    match scores.len().saturating_sub(SHOWN.max(fit.len())) {
        0 => Ok(()),
        hidden => writeln!(out, "  and {hidden} that parse none"),
    }
}

/// The first row.
fn sample(out: &mut impl Write, probe: &Probe, options: &SourceOptions) -> Result<()> {
    let mut reader = LogReader::open(probe, options, Mode::Once)?;
    while let Some(batch) = reader.next_batch()? {
        if batch.rows.num_rows() > 0 {
            LineDelimitedWriter::new(PlainJson(&mut *out)).write(&batch.rows.slice(0, 1))?;
            break;
        }
    }
    Ok(())
}
