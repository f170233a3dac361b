//! `tripline alerts scope`: what a campaign asked for, since it began: the list that a breach notification needs.

use std::path::PathBuf;
use std::sync::PoisonError;

use anyhow::{Result, bail};
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use datafusion::execution::SendableRecordBatchStream;
use futures::TryStreamExt;
use tripline_alert::Alert;
use tripline_alert::desk::Desk;
use tripline_ingest::SourceOptions;

use super::Outcome;
use super::output::{plain, time};
use super::rows::{Format, write_rows};
use super::state::StateArgs;
use crate::diagnostic::Diagnostic;
use crate::duration;
use crate::input::find_files;
use crate::lookups::Lookups;
use crate::query::{BatchSession, Problems, Requests};
use crate::scope::Scope;

/// Arguments of `alerts scope`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The incident's id or that of one of its alerts, or its begin
    id: String,
    /// CSV, with a header line
    #[arg(long)]
    csv: bool,
    /// Read these logs, or this history's Parquet, instead of the history that the config names (repeatable)
    #[arg(long, value_name = "PATH", num_args = 1..)]
    logs: Vec<String>,
    /// The campaign began where there had been no such request for longer than this
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    gap: String,
    /// Write to this file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Runs the command.
pub async fn main(args: Args, state: &StateArgs) -> Result<Outcome> {
    let gap = duration::parse_us(&args.gap).map_err(anyhow::Error::msg)?;
    let config = state.config()?;
    let incident = Desk::open(&state.dir()?)?.incident(&args.id)?;
    let alerts: Vec<Alert> = incident.into_iter().map(|record| record.alert).collect();
    let Some(scope) = Scope::of(&alerts) else {
        bail!("its alerts name nothing by which requests could be found: no client, route or other column of requests");
    };
    for id in &scope.unclear {
        eprintln!("note: {id} does not say which requests it is about: its own are not listed");
    }
    let paths = if args.logs.is_empty() {
        config.history.dir.iter().map(|d| d.display().to_string()).collect()
    } else {
        args.logs
    };
    if paths.is_empty() {
        bail!("no history is kept: set [history] dir, so that requests outlast their logs, or name logs with --logs");
    }
    let sources: Vec<_> = paths.iter().map(|path| (path.clone(), SourceOptions::default())).collect();
    let (files, unusable) = find_files(&sources);
    for problem in &unusable {
        eprintln!("warning: {problem}");
    }
    if files.is_empty() {
        bail!("there are no requests in {}", paths.join(", "));
    }
    let problems = Problems::default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let requests = Requests::new(files, &problems);
    let session =
        Asked(BatchSession::over(requests, &[], crate::engine::Keep::default(), &Lookups::default(), threads).await?);

    let hours = session.numbers(&scope.hours()).await?;
    let earliest = session.numbers("SELECT arrow_cast(min(ts), 'Int64') FROM requests").await?;
    let Some(began) = scope.began(&hours, gap) else {
        bail!("there is none of its requests in {}{}", paths.join(", "), reaches_from(earliest.first()));
    };
    eprintln!(
        "incident {}: {} alert{}, first window at {} UTC; its requests begin in the hour of {} UTC",
        plain(&alerts[0].incident, 64),
        alerts.len(),
        if alerts.len() == 1 { "" } else { "s" },
        time(scope.first_seen),
        time(began)
    );
    if let Some(&earliest) = earliest.first()
        && began.saturating_sub(earliest) <= gap
    {
        eprintln!(
            "note: what was read reaches back to {} UTC only: the campaign may have begun before, and then this list lacks objects",
            time(earliest)
        );
    }
    if scope.first_seen < began {
        eprintln!("note: requests of the first alert are missing in what was read: this list lacks objects");
    }
    let format = match (args.csv, state.format) {
        (true, _) => Format::Spreadsheet,
        (_, super::state::Format::Json) => Format::Json,
        (_, super::state::Format::Table) => Format::Table,
    };
    write_rows(format, args.output.as_ref(), session.stream(&scope.objects(began)).await?).await?;
    let problems = problems.lock().unwrap_or_else(PoisonError::into_inner);
    for problem in problems.iter() {
        eprintln!("warning: {problem}");
    }
    Ok(if problems.is_empty() && unusable.is_empty() { Outcome::Done } else { Outcome::Incomplete })
}

fn reaches_from(earliest: Option<&i64>) -> String {
    earliest.map_or_else(String::new, |&ts| format!(", which begins at {} UTC", time(ts)))
}

/// A session that is asked in SQL.
struct Asked(BatchSession);

impl Asked {
    async fn stream(&self, sql: &str) -> Result<SendableRecordBatchStream> {
        let explain = |e| Diagnostic::from_datafusion("scope", sql, &e);
        let plan = self.0.plan_sql(sql).await.map_err(explain)?;
        Ok(self.0.stream(plan).await.map_err(explain)?)
    }

    /// The numbers of the first column.
    async fn numbers(&self, sql: &str) -> Result<Vec<i64>> {
        let batches: Vec<_> = self.stream(sql).await?.try_collect().await?;
        Ok(batches
            .iter()
            .flat_map(|b| b.column(0).as_primitive::<Int64Type>().iter().flatten().collect::<Vec<_>>())
            .collect())
    }
}
