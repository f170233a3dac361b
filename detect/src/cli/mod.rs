//! The command line: one file a command. Results go to stdout, everything else to stderr.
//!
//! Exit codes: 0 done; 1 findings at or above `--fail-on`, or failed tests; 2 could not do (all of) the job.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

mod alerts;
mod check;
mod doctor;
mod exceptions;
mod explain;
mod findings;
mod formats;
mod functions;
mod measured;
mod outbox;
mod output;
mod parse;
mod query;
mod routes;
mod rows;
mod run;
mod scan;
mod schema;
mod scope;
mod setup;
mod state;
mod summary;
mod test;
mod why;

/// Finds scraping and API abuse in access logs, with rules written as SQL.
#[derive(Debug, Parser)]
#[command(name = "tripline", version, max_term_width = 110, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str =
    "Exit codes: 0 done; 1 findings at or above --fail-on, or failed tests; 2 could not do (all of) the job.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Look for abuse in log files, once
    Scan(scan::Args),
    /// Follow log directories and deliver alerts to webhooks
    Run(run::Args),
    /// List alerts, acknowledge and resolve them, silence them for a while
    Alerts(alerts::Args),
    /// List messages to webhooks and every try to deliver them; send again; send a test
    Outbox(outbox::Args),
    /// Print the JSON Schema of what Tripline writes
    Schema(schema::Args),
    /// Ask SQL of logs
    Query(query::Args),
    /// List the routes that logs show, or how they differ from an OpenAPI file
    Routes(routes::Args),
    /// Show what Tripline reads in log files: one JSON object a request
    Parse(parse::Args),
    /// List the log formats, or say how a file's was detected
    Formats(formats::Args),
    /// List the SQL functions that Tripline adds, or explain one
    Functions(functions::Args),
    /// Check the config and the rules
    Check(check::Args),
    /// Say how a rule runs and what it costs
    Explain(explain::Args),
    /// Run rules against their fixtures
    Test(test::Args),
    /// Say what logs can and cannot show
    Doctor(doctor::Args),
}

/// How a command ended, errors aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All was done.
    Done,
    /// Findings at or above `--fail-on`, or failed tests.
    Found,
    /// Part of the job could not be done; what was wrong has been told.
    Incomplete,
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("error: cannot start threads: {e}");
            return ExitCode::from(2);
        }
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Scan(args) => scan::main(args).await,
            Command::Run(args) => run::main(args).await,
            Command::Alerts(args) => alerts::main(args).await,
            Command::Outbox(args) => outbox::main(args).await,
            Command::Schema(args) => Ok(schema::main(&args)),
            Command::Query(args) => query::main(args).await,
            Command::Routes(args) => routes::main(&args),
            Command::Parse(args) => parse::main(&args),
            Command::Formats(args) => formats::main(&args),
            Command::Functions(args) => functions::main(&args),
            Command::Check(args) => check::main(args).await,
            Command::Explain(args) => explain::main(args).await,
            Command::Test(args) => test::main(args).await,
            Command::Doctor(args) => doctor::main(args).await,
        }
    });
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Found) => ExitCode::from(1),
        Ok(Outcome::Incomplete) => ExitCode::from(2),
        // Whoever reads our output has had enough: no error.
        Err(e) if is_broken_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            let text = explain(&e);
            eprintln!("{}{text}", if text.starts_with("error:") { "" } else { "error: " });
            ExitCode::from(2)
        }
    }
}

/// What went wrong, and of its causes those that this does not say already.
fn explain(error: &anyhow::Error) -> String {
    let causes = error.chain().skip(1).map(ToString::to_string);
    causes.fold(error.to_string(), |text, cause| if text.contains(&cause) { text } else { format!("{text}: {cause}") })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|e| e.downcast_ref::<io::Error>()).any(|e| e.kind() == io::ErrorKind::BrokenPipe)
}
