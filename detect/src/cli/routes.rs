//! `tripline routes`: which routes there are and who uses them how, as logs or a history show it.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema};
use tripline_ingest::route::Templates;

use super::Outcome;
use super::output::{plain, thousands};
use super::rows::{Format, writer};
use super::scan::patterns_or_sources;
use crate::config::Config;
use crate::engine::state::sketch::Estimator;
use crate::input::{Input, Progress, find_files};
use crate::openapi::{Difference, OpenApi, difference};
use crate::surface::{Method, Report, Seen, Surface};

/// Proposals that are printed.
const PROPOSALS: usize = 20;
/// Rows that are taken in at a time.
const CHUNK: usize = 64 * 1024;

/// Arguments of `routes`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Listed are routes that gave an answer (not a refusal, an error or a permanent redirect). Counts of clients and objects are \
    exact up to 256, then estimates within 2 %."
)]
pub struct Args {
    /// Logs or the Parquet of a history: files, directories or globs; the config's sources otherwise
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
    /// The config; its templates and OpenAPI files give logs their routes
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Show the difference to this OpenAPI 3 file (JSON or YAML) instead: what it lacks, what nobody uses, what it deprecates
    #[arg(long, value_name = "FILE")]
    openapi: Option<PathBuf>,
    /// A place in paths that takes so many names is a variable
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(2..=400))]
    names: u32,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Write to this file instead of stdout (needed for parquet)
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Runs the command.
pub fn main(args: &Args) -> Result<Outcome> {
    let config = match &args.config {
        Some(path) => Config::read(path, std::env::vars())?,
        None => Config::default(),
    };
    let api = args.openapi.as_deref().map(OpenApi::read).transpose()?;
    let patterns = patterns_or_sources(&args.paths, &config)?;
    if patterns.is_empty() {
        bail!("name logs, or a config with -c that has a [[source]]");
    }
    let (files, problems) = find_files(&patterns);
    for problem in &problems {
        eprintln!("warning: {problem}");
    }
    if files.is_empty() {
        bail!("there is no log to read in {}", patterns.iter().map(|(p, _)| p.as_str()).collect::<Vec<_>>().join(", "));
    }
    let templates = api.as_ref().map(|api| Templates::default().and(&api.templates()));
    let mut surface = templates.map_or_else(Surface::default, Surface::with_templates);
    let mut input = Input::new(files, Arc::new(Progress::default()));
    while input.next_chunk(CHUNK, |batch, _| surface.add(&batch.rows)).is_some() {}

    let report = surface.report(args.names as usize);
    let mut estimator = Estimator::default();
    let rows = match &api {
        None => listing(&report.routes, &mut estimator)?,
        Some(api) => differences(&difference(api, &report), &mut estimator)?,
    };
    let mut out = writer(args.format, rows.schema(), args.output.as_ref())?;
    out.add(&rows)?;
    out.end()?;
    if api.is_none() {
        propose(&report);
    }
    for problem in api.iter().flat_map(|api| &api.problems) {
        eprintln!("warning: {}", plain(problem, 300));
    }
    summarise(&report, &input);
    let complete = !problems.iter().any(|p| p.is_named_in(&args.paths)) && input.summary.problems.is_empty();
    Ok(if complete { Outcome::Done } else { Outcome::Incomplete })
}

/// Lines for the config, to stderr: they are no rows.
fn propose(report: &Report) {
    let proposed: Vec<&Seen> = report.routes.iter().filter(|seen| seen.names.is_some()).collect();
    if proposed.is_empty() {
        return;
    }
    eprintln!("\nThese look like variables. If they are, paste into the config (other names serve as well):");
    for seen in proposed.iter().take(PROPOSALS) {
        eprintln!(
            "\n# {} names or more, {} requests\n[[route]]\npath = {}",
            thousands(seen.names.unwrap_or(0)),
            thousands(seen.stats.requests),
            toml::Value::String(plain(&seen.route, 2048))
        );
    }
    if proposed.len() > PROPOSALS {
        eprintln!("\n... and {} more", thousands((proposed.len() - PROPOSALS) as u64));
    }
}

fn summarise(report: &Report, input: &Input) {
    eprintln!(
        "\n{} requests, {} routes with an answer",
        thousands(report.requests),
        thousands(report.routes.len() as u64)
    );
    if report.unanswered_requests > 0 {
        eprintln!(
            "not listed: {} requests to {} routes or more that never gave one (scanners, mistakes)",
            thousands(report.unanswered_requests),
            thousands(report.unanswered_routes)
        );
    }
    if report.pathless > 0 {
        eprintln!("not listed: {} requests without a path", thousands(report.pathless));
    }
    let rejected: u64 = input.summary.rejects.values().sum();
    if rejected > 0 {
        eprintln!("not read: {} lines that are no requests; `tripline parse` shows them", thousands(rejected));
    }
    for problem in &input.summary.problems {
        eprintln!("warning: {problem}");
    }
}

fn listing(routes: &[Seen], estimator: &mut Estimator) -> Result<RecordBatch> {
    let number = |value: &dyn Fn(&Seen) -> u64| -> ArrayRef {
        Arc::new(routes.iter().map(|r| Some(value(r))).collect::<UInt64Array>())
    };
    let class = |digit: usize| number(&|seen| seen.stats.statuses[digit]);
    let methods = routes.iter().map(|seen| {
        let methods: Vec<&str> = seen.stats.methods.keys().map(String::as_str).collect();
        Some(methods.join(" ")).filter(|m| !m.is_empty())
    });
    let clients: UInt64Array = routes.iter().map(|seen| Some(seen.stats.clients.count(estimator))).collect();
    let objects: UInt64Array = routes.iter().map(|seen| Some(seen.stats.objects.count(estimator))).collect();
    batch([
        ("route", Arc::new(StringArray::from_iter_values(routes.iter().map(|seen| &seen.route))) as ArrayRef),
        ("methods", Arc::new(methods.collect::<StringArray>())),
        ("requests", number(&|seen| seen.stats.requests)),
        ("status_2xx", class(2)),
        ("status_3xx", class(3)),
        ("status_4xx", class(4)),
        ("status_5xx", class(5)),
        ("clients", Arc::new(clients)),
        ("objects", Arc::new(objects)),
        ("first_seen", times(routes.iter().map(|seen| Some(seen.stats.first)))),
        ("last_seen", times(routes.iter().map(|seen| Some(seen.stats.last)))),
        ("proposed", Arc::new(routes.iter().map(|seen| Some(seen.names.is_some())).collect::<BooleanArray>())),
    ])
}

fn differences(differences: &[Difference], estimator: &mut Estimator) -> Result<RecordBatch> {
    let text = |value: &dyn Fn(&Difference) -> Option<String>| -> ArrayRef {
        Arc::new(differences.iter().map(value).collect::<StringArray>())
    };
    let seen = |value: fn(&Method) -> i64| times(differences.iter().map(move |d| d.seen.as_ref().map(value)));
    let requests: UInt64Array = differences.iter().map(|d| Some(d.seen.as_ref().map_or(0, |s| s.requests))).collect();
    let clients: UInt64Array =
        differences.iter().map(|d| Some(d.seen.as_ref().map_or(0, |s| s.clients.count(estimator)))).collect();
    batch([
        ("difference", text(&|d| Some(d.kind.name().to_owned()))),
        ("method", text(&|d| Some(d.method.clone()))),
        ("route", text(&|d| Some(d.route.clone()))),
        ("operation", text(&|d| d.operation.clone())),
        ("requests", Arc::new(requests)),
        ("clients", Arc::new(clients)),
        ("first_seen", seen(|method| method.first)),
        ("last_seen", seen(|method| method.last)),
    ])
}

fn times(times: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(times.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

fn batch<const N: usize>(columns: [(&str, ArrayRef); N]) -> Result<RecordBatch> {
    let fields: Vec<Field> = columns.iter().map(|(name, c)| field(name, c.data_type())).collect();
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

fn field(name: &str, kind: &DataType) -> Field {
    Field::new(name, kind.clone(), true)
}
