//! `tripline parse`: what Tripline reads in log files, one JSON object a request.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use tripline_ingest::SourceOptions;

use super::Outcome;
use super::output::{PlainJson, plain, thousands};
use super::scan::patterns;
use crate::config::Config;
use crate::input::{Input, Progress, find_files};

/// Arguments of `parse`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files, directories (recursive) or globs; .gz and .zst are read as they are
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    /// The format, where it is not to be detected
    #[arg(long, value_name = "NAME", value_parser = format_name)]
    format: Option<String>,
    /// Instead of a format, the string that the server's own config has for it
    #[arg(long, value_name = "LAYOUT", conflicts_with = "format")]
    log_format: Option<String>,
    /// The config, whose sources say how the files that belong to them are read
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Networks whose forwarded-for headers are believed, as 10.0.0.0/8 (repeatable)
    #[arg(long, value_name = "CIDR")]
    trusted_proxy: Vec<ipnet::IpNet>,
}

fn format_name(name: &str) -> Result<String, String> {
    let options = SourceOptions { format: Some(name.to_owned()), ..SourceOptions::default() };
    options.check_format().map(|()| name.to_owned())
}

/// Runs the command.
pub fn main(args: &Args) -> Result<Outcome> {
    let config = match &args.config {
        Some(path) => Config::read(path, std::env::vars())?,
        None => Config::default(),
    };
    let mut patterns = patterns(&args.paths, &config)?;
    for (_, options) in &mut patterns {
        if args.format.is_some() || args.log_format.is_some() {
            options.format.clone_from(&args.format);
            options.log_format.clone_from(&args.log_format);
            options.fields.clear();
        }
        options.trusted_proxies.extend(&args.trusted_proxy);
        options.check_format().map_err(anyhow::Error::msg)?;
    }
    let (files, problems) = find_files(&patterns);
    for problem in &problems {
        eprintln!("warning: {problem}");
    }
    if files.is_empty() {
        bail!("there is nothing to parse in {}", args.paths.join(", "));
    }
    let mut input = Input::new(files, Arc::new(Progress::default()));
    let mut out = WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, LineDelimited>(PlainJson(io::BufWriter::new(io::stdout())));
    let mut written = Ok(());
    let mut batches = Vec::new();
    while written.is_ok() {
        let more = input.next_chunk(1, |batch, path| {
            batches.push(batch.rows.clone());
            for reject in &batch.rejects {
                eprintln!(
                    "{}: byte {}: {}: {}",
                    path.display(),
                    reject.offset,
                    reject.reason,
                    plain(&reject.line, 200)
                );
            }
        });
        for rows in batches.drain(..) {
            written = written.and_then(|()| out.write(&rows));
        }
        if more.is_none() {
            break;
        }
    }
    written?;
    out.finish()?;
    out.into_inner().flush()?;

    let summary = &input.summary;
    let rejected: u64 = summary.rejects.values().sum();
    eprintln!("{} lines: {} rows, {} rejected", thousands(summary.lines), thousands(summary.rows), thousands(rejected));
    for (reason, n) in &summary.rejects {
        eprintln!("  {}: {reason}", thousands(*n));
    }
    for problem in summary.warnings.iter().chain(&summary.problems) {
        eprintln!("warning: {}", plain(problem, 1000));
    }
    Ok(if !problems.iter().any(|p| p.is_named_in(&args.paths)) && summary.problems.is_empty() {
        Outcome::Done
    } else {
        Outcome::Incomplete
    })
}
