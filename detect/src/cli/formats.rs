//! `tripline formats`: the formats that there are, and why a file is taken for one of them.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use arrow::json::LineDelimitedWriter;
use clap::Subcommand;
use tripline_ingest::{
    LogReader, Mode, Probe, ProbeError, Reject, Score, SourceOptions, discover, formats, probe, probe_at,
};

use super::Outcome;
use super::output::{PlainJson, plain, thousands};
use super::scan::patterns;
use crate::config::Config;

/// Formats whose fit is shown, where many do not fit at all.
const SHOWN: usize = 8;
/// Decompressed bytes of a file that are read to see whether all of it is in its format.
const READ: u64 = 1 << 30;

/// Arguments of `formats`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what format files are in, how well others fit and why not, show a line as it is read, and what does not fit further on
    Detect(Detect),
}

#[derive(Debug, clap::Args)]
struct Detect {
    /// Files; of directories and globs, one line a file
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    /// The config, whose sources say how the files that belong to them are read
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs the command.
pub fn main(args: &Args) -> Result<Outcome> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let outcome = match &args.command {
        None => list(&mut out).map(|()| Outcome::Done)?,
        Some(Command::Detect(args)) => detect(&mut out, args)?,
    };
    out.flush()?;
    Ok(outcome)
}

fn detect(out: &mut impl Write, args: &Detect) -> Result<Outcome> {
    let config = match &args.config {
        Some(path) => Config::read(path, std::env::vars())?,
        None => Config::default(),
    };
    let mut outcome = Outcome::Done;
    for (pattern, options) in patterns(&args.paths, &config)? {
        let found = discover(&pattern);
        for problem in &found.problems {
            outcome = Outcome::Incomplete;
            eprintln!("warning: {}", plain(&problem.to_string(), 1000));
        }
        if found.files.is_empty() && found.problems.is_empty() {
            bail!("there is no file in {pattern}");
        }
        let is_file = Path::new(&pattern).is_file();
        for file in &found.files {
            match (probe(file, &options), is_file) {
                (Ok(probe), true) => {
                    writeln!(out, "{}: {}", name(file), probe.format)?;
                    scores(out, &probe.scores)?;
                    contents(out, &probe, &options)?;
                }
                (Ok(probe), false) => in_short(out, &probe)?,
                (Err(error), _) => {
                    // (what is met in a directory may well be no log)
                    outcome = if is_file { Outcome::Incomplete } else { outcome };
                    writeln!(out, "{}", plain(&error.to_string(), 1000))?;
                    if let (ProbeError::Unknown { scores: found, .. }, true) = (&error, is_file) {
                        scores(out, found)?;
                    }
                }
            }
        }
    }
    Ok(outcome)
}

fn name(path: &Path) -> String {
    plain(&path.display().to_string(), 1000)
}

fn in_short(out: &mut impl Write, probe: &Probe) -> io::Result<()> {
    let best = probe.scores.first().filter(|best| best.parsed < best.lines);
    let but = best.map_or(String::new(), |best| format!(" ({} of the first {} lines)", best.parsed, best.lines));
    writeln!(out, "{}: {}{but}", name(&probe.path), probe.format)
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

/// The first row, and what in the whole file is none.
fn contents(out: &mut impl Write, probe: &Probe, options: &SourceOptions) -> Result<()> {
    let mut reader = LogReader::open(probe, options, Mode::Once)?;
    let (mut rows, mut lines, mut bytes) = (0, 0, 0);
    let mut reasons = BTreeMap::new();
    let mut first: Option<Reject> = None;
    while bytes < READ
        && let Some(batch) = reader.next_batch()?
    {
        if rows == 0 && batch.rows.num_rows() > 0 {
            LineDelimitedWriter::new(PlainJson(&mut *out)).write(&batch.rows.slice(0, 1))?;
        }
        (rows, lines, bytes) = (rows + batch.rows.num_rows() as u64, lines + batch.lines, bytes + batch.bytes);
        for reject in batch.rejects {
            *reasons.entry(reject.reason).or_insert(0) += 1;
            first.get_or_insert(reject);
        }
    }
    let part = if bytes >= READ { "the first GiB" } else { "the whole file" };
    let reasons: Vec<_> = reasons.iter().map(|(reason, n)| format!("{}: {reason}", thousands(*n))).collect();
    writeln!(
        out,
        "  {part}: {} lines, {} requests; not read: {}",
        thousands(lines),
        thousands(rows),
        none_or(&reasons)
    )?;
    let Some(first) = first else { return Ok(()) };
    writeln!(out, "  the first that is not read, at byte {}: {}", first.offset, plain(&first.line, 200))?;
    match probe_at(&probe.path, first.offset, &SourceOptions { format: None, ..options.clone() }) {
        Ok(there) if there.format != probe.format => {
            writeln!(out, "  from there on, {} fits better; a file has one format: {ADVICE}", there.format)?;
        }
        _ => {}
    }
    Ok(())
}

const ADVICE: &str = "rotate it when the format changes, or split it there";

fn none_or(reasons: &[String]) -> String {
    if reasons.is_empty() { "none".to_owned() } else { reasons.join("; ") }
}
