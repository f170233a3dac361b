//! `tripline query`: ask SQL of logs.

use std::path::PathBuf;
use std::sync::PoisonError;

use anyhow::{Context, Result, bail};

use super::Outcome;
use super::rows::{Format, write_rows};
use super::scan::patterns_or_sources;
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
    /// Only the rule's rows for which this holds, as in SQL's WHERE
    #[arg(long = "where", value_name = "CONDITION", requires = "rule")]
    condition: Option<String>,
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

/// Runs the command.
pub async fn main(args: Args) -> Result<Outcome> {
    let setup = args.rules.load()?;
    for problem in &setup.problems {
        eprintln!("{problem}\n");
    }
    let patterns = patterns_or_sources(&args.logs, &setup.config)?;
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
    let what = what(&args, &setup.rules)?;
    if let What::Rule(rule) = &what
        && let Some(awaited) = setup.lookups.awaited(rule)
    {
        bail!("{} waits {awaited}", rule.id);
    }
    let mut session =
        BatchSession::over(requests, &setup.rules, setup.exceptions.keep, &setup.lookups, threads).await?;
    if let Some(dir) = &args.baselines {
        if !dir.is_dir() {
            bail!("{} is no folder; `run` keeps its baselines in `baselines` of [state] dir", dir.display());
        }
        session.use_kept_baselines(dir, &setup.rules).await?;
    }

    let (origin, text, plan) = match what {
        What::Rule(rule) => (rule.origin.clone(), rule.text.clone(), session.plan(&rule).await),
        What::Sql(origin, sql) => {
            let plan = session.plan_sql(&sql).await;
            (origin, sql, plan)
        }
    };
    let explain = |e| Diagnostic::from_datafusion(&origin, &text, &e);
    let mut plan = plan.map_err(explain)?;
    if let Some(condition) = &args.condition {
        let explain = |e| Diagnostic::from_datafusion("--where", condition, &e);
        plan = session.only(plan, condition).map_err(explain)?;
    }
    let stream = session.stream(plan).await.map_err(explain)?;
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
