//! `tripline query`: ask SQL of logs.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use anyhow::{Context, Result, bail};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use arrow::util::pretty::pretty_format_batches;
use clap::ValueEnum;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::parquet::arrow::ArrowWriter;
use futures::StreamExt;

use super::Outcome;
use super::output::{PlainJson, harmless_batch, plain_batch};
use super::setup::RuleArgs;
use crate::diagnostic::Diagnostic;
use crate::input::find_files;
use crate::query::{BatchSession, Problems, Requests};
use crate::rules::Rule;

/// Arguments of `query`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The table is `requests`; baselines are tables, too. Windows: tumble(requests, ts, INTERVAL '10 minutes'), \
    hop(requests, ts, INTERVAL '1 minute', INTERVAL '10 minutes').\n\n\
    tripline query \"SELECT route, count(*) AS n FROM requests GROUP BY route ORDER BY n DESC LIMIT 20\" --logs access.log"
)]
pub struct Args {
    /// The SQL
    #[arg(required_unless_present_any = ["rule", "file"], conflicts_with_all = ["rule", "file"])]
    sql: Option<String>,
    /// Run this rule as one query over the whole log, instead of SQL
    #[arg(long, value_name = "ID", conflicts_with = "file")]
    rule: Option<String>,
    /// Run the rule or the plain SQL in this file
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Logs or the Parquet of a history: files, directories or globs; the config's sources otherwise (repeatable)
    #[arg(long, value_name = "PATH", num_args = 1..)]
    logs: Vec<String>,
    /// Baselines as `run` keeps them in this folder, `baselines` of its state directory, instead of those of the logs
    #[arg(long, value_name = "DIR")]
    baselines: Option<PathBuf>,
    #[command(flatten)]
    rules: RuleArgs,
    /// How to print the rows
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Write to this file instead of stdout (needed for parquet)
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Table,
    /// With a header line
    Csv,
    /// The same for a spreadsheet: no text is a formula
    #[value(skip)]
    Spreadsheet,
    /// One JSON object a row
    Json,
    /// For pandas, DuckDB and the like
    Parquet,
}

/// Runs the command.
pub async fn main(args: Args) -> Result<Outcome> {
    let setup = args.rules.load()?;
    for problem in &setup.problems {
        eprintln!("{problem}\n");
    }
    let mut patterns: Vec<_> =
        args.logs.iter().map(|path| (path.clone(), tripline_ingest::SourceOptions::default())).collect();
    if patterns.is_empty() {
        for source in &setup.config.sources {
            patterns.push((source.path.display().to_string(), source.options().map_err(|(_, e)| anyhow::anyhow!(e))?));
        }
    }
    let (files, unusable) = find_files(&patterns);
    for problem in &unusable {
        eprintln!("warning: {problem}");
    }
    if !patterns.is_empty() && files.is_empty() {
        bail!("there is no log to read in {}", patterns.iter().map(|(p, _)| p.as_str()).collect::<Vec<_>>().join(", "));
    }
    if patterns.is_empty() && args.baselines.is_none() {
        eprintln!("note: no --logs and no config: the table requests is empty");
    }
    let problems = Problems::default();
    let requests = Requests::new(files, &problems);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let session = BatchSession::over(requests, &setup.rules, setup.exceptions.keep, &setup.lookups, threads).await?;
    if let Some(dir) = &args.baselines {
        if !dir.is_dir() {
            bail!("{} is no folder; `run` keeps its baselines in `baselines` of [state] dir", dir.display());
        }
        session.use_kept_baselines(dir, &setup.rules).await?;
    }

    let (origin, text, plan) = match what(&args, &setup.rules)? {
        What::Rule(rule) => (rule.origin.clone(), rule.text.clone(), session.plan(&rule).await),
        What::Sql(origin, sql) => {
            let plan = session.plan_sql(&sql).await;
            (origin, sql, plan)
        }
    };
    let explain = |e| Diagnostic::from_datafusion(&origin, &text, &e);
    let stream = session.stream(plan.map_err(explain)?).await.map_err(explain)?;
    write_rows(args.format, args.output.as_ref(), stream).await?;
    let problems = problems.lock().unwrap_or_else(PoisonError::into_inner);
    for problem in problems.iter() {
        eprintln!("warning: {problem}");
    }
    Ok(if problems.is_empty() && setup.problems.is_empty() { Outcome::Done } else { Outcome::Incomplete })
}

enum What {
    Rule(Box<Rule>),
    Sql(String, String),
}

fn what(args: &Args, rules: &[Rule]) -> Result<What> {
    if let Some(sql) = &args.sql {
        return Ok(What::Sql("query".into(), sql.clone()));
    }
    if let Some(path) = &args.file {
        let origin = path.display().to_string();
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {origin}"))?;
        // A file with a header is a rule; any other is plain SQL.
        return if text.trim_start().starts_with("/*") && text.contains("title") {
            Ok(What::Rule(Box::new(Rule::parse("query", &origin, &text)?)))
        } else {
            Ok(What::Sql(origin, text))
        };
    }
    let id = args.rule.as_deref().unwrap_or_default();
    match rules.iter().find(|r| r.id == id) {
        Some(rule) => Ok(What::Rule(Box::new(rule.clone()))),
        None => bail!("no rule is called {id:?}; `tripline check` lists the rules"),
    }
}

/// Writes rows to a file, or to stdout.
pub(super) async fn write_rows(
    format: Format,
    output: Option<&PathBuf>,
    mut stream: SendableRecordBatchStream,
) -> Result<()> {
    let schema = stream.schema();
    let mut rows: Box<dyn Rows> = match (format, output) {
        (Format::Parquet, None) => bail!("parquet is not for a terminal: name a file with --output"),
        (Format::Parquet, Some(path)) => Box::new(ArrowWriter::try_new(create(path)?, schema, None)?),
        (Format::Table, output) => {
            Box::new(TableRows { schema, rows: Vec::new(), shown: 0, left_out: 0, out: open(output)? })
        }
        (Format::Csv, output) => {
            Box::new(CsvRows(arrow::csv::Writer::new(open(output)?), |batch| plain_batch(batch, usize::MAX)))
        }
        (Format::Spreadsheet, output) => Box::new(CsvRows(arrow::csv::Writer::new(open(output)?), harmless_batch)),
        (Format::Json, output) => {
            Box::new(WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(PlainJson(open(output)?)))
        }
    };
    while let Some(batch) = stream.next().await {
        rows.add(&batch?)?;
    }
    rows.end()
}

fn create(path: &PathBuf) -> Result<File> {
    File::create(path).with_context(|| format!("cannot write {}", path.display()))
}

fn open(path: Option<&PathBuf>) -> Result<Box<dyn Write + Send>> {
    Ok(match path {
        Some(path) => Box::new(create(path)?),
        None => Box::new(io::BufWriter::new(io::stdout())),
    })
}

/// Something that takes batches and ends.
trait Rows {
    fn add(&mut self, batch: &RecordBatch) -> Result<()>;
    fn end(self: Box<Self>) -> Result<()>;
}

impl Rows for ArrowWriter<File> {
    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        Ok(self.write(batch)?)
    }
    fn end(self: Box<Self>) -> Result<()> {
        self.close()?;
        Ok(())
    }
}

/// CSV has no escapes of its own: control characters are shown as on a terminal.
struct CsvRows(arrow::csv::Writer<Box<dyn Write + Send>>, fn(&RecordBatch) -> Result<RecordBatch>);

impl Rows for CsvRows {
    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        Ok(self.0.write(&(self.1)(batch)?)?)
    }
    fn end(self: Box<Self>) -> Result<()> {
        Ok(self.0.into_inner().flush()?)
    }
}

impl Rows for arrow::json::Writer<PlainJson<Box<dyn Write + Send>>, LineDelimited> {
    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        Ok(self.write(batch)?)
    }
    fn end(mut self: Box<Self>) -> Result<()> {
        self.finish()?;
        Ok(self.into_inner().flush()?)
    }
}

/// A table needs all rows before it knows its widths: it shows only so many.
struct TableRows {
    schema: SchemaRef,
    rows: Vec<RecordBatch>,
    shown: usize,
    left_out: usize,
    out: Box<dyn Write + Send>,
}

const TABLE_ROWS: usize = 1000;

impl Rows for TableRows {
    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let take = batch.num_rows().min(TABLE_ROWS - self.shown);
        self.shown += take;
        self.left_out += batch.num_rows() - take;
        self.rows.push(plain_batch(&batch.slice(0, take), 200)?);
        Ok(())
    }
    fn end(mut self: Box<Self>) -> Result<()> {
        if self.rows.is_empty() {
            self.rows.push(RecordBatch::new_empty(Arc::clone(&self.schema)));
        }
        writeln!(self.out, "{}", pretty_format_batches(&self.rows)?)?;
        if self.left_out > 0 && io::stderr().is_terminal() {
            eprintln!("{} more rows are not shown; --format csv or json has them all", self.left_out);
        } else if self.left_out > 0 {
            writeln!(self.out, "({} more rows are not shown)", self.left_out)?;
        }
        Ok(self.out.flush()?)
    }
}
