//! `tripline scan`: look for abuse in log files, once.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use tripline_alert::{Alert, Lifecycle, Severity, Status};
use tripline_ingest::SourceOptions;

use super::findings::Findings;
use super::output::thousands;
use super::setup::RuleArgs;
use super::{Outcome, summary};
use crate::engine::Engine;
use crate::evidence::Collector;
use crate::input::{InputFile, Progress, find_files};
use crate::scan::{Extras, Period, scan};

/// Arguments of `scan`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files, directories (recursive) or globs; .gz, .zst and the Parquet of a history are read as they are
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<String>,
    #[command(flatten)]
    rules: RuleArgs,
    /// How to print findings
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Only requests at or after this time: 2026-03-02 or 2026-03-02T07:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<i64>,
    /// Only requests before this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<i64>,
    /// Exit with 1 if there is a finding at least this severe: info, low, medium, high, critical
    #[arg(long, value_name = "SEVERITY")]
    fail_on: Option<Severity>,
    /// Write the rows that came too late for a window to this file, as JSON lines
    #[arg(long, value_name = "FILE")]
    late: Option<PathBuf>,
    /// No progress bar and no summary
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table for people, one row an alert
    Table,
    /// One JSON object a line for each finding, as in a webhook's data
    Json,
}

/// Runs the command.
pub async fn main(args: Args) -> Result<Outcome> {
    let mut setup = args.rules.load()?;
    let (engine, problems) = Engine::new(&setup.rules, &setup.exceptions.keep, &setup.lookups).await;
    let mut engine = engine
        .without_unused_baselines()
        .with_memory_limit(setup.config.engine.memory_bytes())
        .with_alert_budget(setup.config.budget.alerts);
    setup.problems.extend(problems);
    for problem in setup.problems.iter().chain(&engine.warnings()) {
        eprintln!("{problem}\n");
    }
    if engine.rules().all(crate::rules::Rule::is_baseline) {
        for (rule, what) in setup.waiting() {
            eprintln!("{} waits {what}", rule.id);
        }
        bail!("no rule is left to run");
    }
    let (files, unusable) = find_inputs(&args.paths, &setup.config)?;
    let total: u64 = files.iter().map(InputFile::size).sum();
    let progress = Arc::new(Progress::default());
    let bar = Bar::start(total, Arc::clone(&progress), args.quiet);

    let started = Instant::now();
    let mut lifecycle = Lifecycle::default();
    let mut findings = Findings::default();
    let mut worst = None;
    let mut written = Ok(());
    let period = Period { since: args.since, until: args.until };
    let mut late = args.late.as_deref().map(LateFile::create).transpose()?;
    let mut keep_late = late.as_mut().map(|file| |line: String| file.write(&line));
    let keep_late = keep_late.as_mut().map(|keep| keep as &mut dyn FnMut(String));
    // A table has no room for lines.
    let evidence =
        (args.format == Format::Json).then(|| Collector::new(&engine, &setup.exceptions.keep, &setup.lookups));
    let extras = Extras { late_line: keep_late, evidence, watch: None };
    let scanned = scan(&mut engine, &mut setup.exceptions, files, period, progress, extras, |found| {
        // (that an alert is over is not news at the end of a scan)
        for alert in lifecycle.step(found, None).into_iter().map(|c| c.alert).filter(|a| a.status != Status::Resolved) {
            worst = worst.max(Some(alert.severity));
            match args.format {
                Format::Json if written.is_ok() => written = print_json(&alert),
                Format::Json => {}
                Format::Table => findings.add(alert),
            }
        }
    })
    .await;
    bar.finish();
    let scanned = scanned.context("the scan stopped")?;
    written?;
    late.map_or(Ok(()), LateFile::finish)?;
    if args.format == Format::Table {
        let width = if io::stdout().is_terminal() { None } else { Some(160) };
        let mut out = io::stdout().lock();
        match findings.len() {
            0 => writeln!(out, "no findings")?,
            _ => write!(out, "{}", findings.render(width))?,
        }
        out.flush()?;
    }
    if !args.quiet {
        eprint!("{}", summary::render(&scanned, &setup.exceptions, started.elapsed()));
    }
    for trouble in &scanned.troubles {
        eprintln!("error: {}", trouble.message);
    }
    let incomplete =
        unusable || !setup.problems.is_empty() || !scanned.read.problems.is_empty() || !scanned.troubles.is_empty();
    Ok(match (args.fail_on, worst) {
        (Some(limit), Some(worst)) if worst >= limit => Outcome::Found,
        _ if incomplete => Outcome::Incomplete,
        _ => Outcome::Done,
    })
}

/// The files to read, with the settings of the config's source that names them; and whether a PATH could not be used.
pub fn find_inputs(paths: &[String], config: &crate::config::Config) -> Result<(Vec<InputFile>, bool)> {
    let (files, problems) = find_files(&patterns(paths, config)?);
    for problem in &problems {
        eprintln!("warning: {problem}");
    }
    if files.is_empty() {
        bail!("there is nothing to scan in {}", paths.join(", "));
    }
    Ok((files, problems.iter().any(|p| p.is_named_in(paths))))
}

/// Paths with the settings of the config's source that each belongs to.
pub fn patterns(paths: &[String], config: &crate::config::Config) -> Result<Vec<(String, SourceOptions)>> {
    let options = |path: &String| config.options_for(path).map_err(anyhow::Error::msg);
    paths.iter().map(|path| Ok((path.clone(), options(path)?))).collect()
}

/// The same; without paths, the config's sources.
pub fn patterns_or_sources(paths: &[String], config: &crate::config::Config) -> Result<Vec<(String, SourceOptions)>> {
    if !paths.is_empty() {
        return patterns(paths, config);
    }
    let options = |source: &crate::config::Source| source.options().map_err(|(_, why)| anyhow::Error::msg(why));
    config.sources.iter().map(|source| Ok((source.path.display().to_string(), options(source)?))).collect()
}

fn print_json(alert: &Alert) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", tripline_alert::json::to_string(alert)?)?;
    Ok(())
}

/// The file of `--late`.
struct LateFile {
    path: PathBuf,
    out: BufWriter<File>,
    written: io::Result<()>,
}

impl LateFile {
    fn create(path: &std::path::Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path: path.to_owned(), out: BufWriter::new(file), written: Ok(()) })
    }

    fn write(&mut self, line: &str) {
        if self.written.is_ok() {
            self.written = self.out.write_all(line.as_bytes());
        }
    }

    fn finish(mut self) -> Result<()> {
        let flushed = self.written.and_then(|()| self.out.flush());
        flushed.with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// A day or an instant, µs.
pub fn parse_time(text: &str) -> Result<i64, String> {
    let day = text.parse::<jiff::civil::Date>().ok().filter(|_| !text.contains('T'));
    let instant =
        day.and_then(|d| jiff::tz::TimeZone::UTC.to_timestamp(d.at(0, 0, 0, 0)).ok()).or_else(|| text.parse().ok());
    instant
        .map(jiff::Timestamp::as_microsecond)
        .ok_or_else(|| "write a day as 2026-03-02, or an instant as 2026-03-02T07:00:00Z".into())
}

/// The progress bar, drawn from a thread of its own so that it moves while a window closes.
struct Bar {
    drawn: ProgressBar,
    done: std::sync::mpsc::Sender<()>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Bar {
    fn start(total: u64, progress: Arc<Progress>, quiet: bool) -> Self {
        let bar = if quiet || !io::stderr().is_terminal() { ProgressBar::hidden() } else { ProgressBar::new(total) };
        let style = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes}  {msg}  ETA {eta}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let (done, stop) = std::sync::mpsc::channel();
        let drawn = bar.clone();
        let thread = std::thread::spawn(move || {
            let started = Instant::now();
            while stop.recv_timeout(Duration::from_millis(200)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                drawn.set_position(progress.bytes.load(Relaxed));
                #[expect(
                    clippy::cast_precision_loss,
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a rate for people"
                )]
                let rate = (progress.lines.load(Relaxed) as f64 / started.elapsed().as_secs_f64().max(0.001)) as u64;
                drawn.set_message(format!("{} lines/s", thousands(rate)));
            }
        });
        Self { drawn: bar, done, thread: Some(thread) }
    }

    fn finish(mut self) {
        // The thread ends with the message, or because the channel is gone.
        let _ = self.done.send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.drawn.finish_and_clear();
    }
}
