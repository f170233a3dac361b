//! `tripline outbox`: messages to webhooks, and every try to deliver them. Works beside a running `tripline run`.

use std::io::{self, Write as _};

use anyhow::{Context, Result, bail};
use serde_json::{Map, json};
use tripline_alert::deliver::{Tested, Timeouts, try_out};
use tripline_alert::outbox::{Again, Attempt, Entry, Kept, LeftAlone};
use tripline_alert::{Finding, Handling, Lifecycle, Outbox, Phase, Severity, Window};

use super::Outcome;
use super::output::{plain, time};
use super::state::{Format, StateArgs, json_lines, table};
use crate::run::now_ms;

/// Arguments of `outbox`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    state: StateArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Messages still to be sent, and dead letters
    List {
        /// What was delivered in the last seven days, too
        #[arg(long)]
        all: bool,
    },
    /// One message: every try with its time, status and duration, and when the next is
    Show {
        /// The message's id, or its begin
        id: String,
    },
    /// Try dead letters again
    Retry {
        /// Their ids, or the begin of them
        #[arg(required_unless_present = "all")]
        ids: Vec<String>,
        /// All of them
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
    /// Send again, under its old id, what was delivered within a day or is a dead letter
    Replay {
        /// The message's id, or its begin
        id: String,
    },
    /// Send a test alert and its end to a destination, once, past the outbox
    SendTest {
        /// The destination's name in the config
        destination: String,
    },
}

/// Runs the command.
pub async fn main(args: Args) -> Result<Outcome> {
    let format = args.state.format;
    if let Command::SendTest { destination } = &args.command {
        return send_test(&args.state, destination).await;
    }
    let mut outbox = Outbox::open(&args.state.dir()?)?;
    match args.command {
        Command::List { all } => list(&outbox, all, format)?,
        Command::Show { id } => show(&outbox, &id, format)?,
        Command::Retry { ids, all } => {
            let ids = if all { outbox.dead_letters()?.into_iter().map(|e| e.id).collect() } else { ids };
            for id in &ids {
                let whole = message(&outbox, id)?.entry.id;
                if !outbox.retry(&whole, now_ms())? {
                    bail!("there is no dead letter {id:?}; `tripline outbox list` lists them");
                }
            }
            eprintln!("{} due now; tripline run looks every 30 s", ids.len());
        }
        Command::Replay { id } => match outbox.replay(&message(&outbox, &id)?.entry.id, now_ms())? {
            Again::Due => eprintln!("due now; tripline run looks every 30 s"),
            Again::Unknown => bail!("there is no message {id:?} any more"),
            Again::NotNow => bail!("the message {id} is still to be sent"),
            Again::Forgotten => bail!("the message {id} was delivered more than a day ago: its content is not kept"),
        },
        Command::SendTest { .. } => {}
    }
    Ok(Outcome::Done)
}

fn list(outbox: &Outbox, all: bool, format: Format) -> Result<()> {
    let mut entries = outbox.pending()?;
    entries.extend(outbox.dead_letters()?);
    if all {
        entries.extend(outbox.delivered()?);
    }
    if format == Format::Json {
        return json_lines(&entries);
    }
    let mut table = table(&["id", "destination", "what", "state", "tries", "written (UTC)", "next try", "last error"]);
    for entry in &entries {
        table.add_row([
            entry.id.clone(),
            entry.destination.clone(),
            what(entry),
            entry.state.clone(),
            entry.attempts.to_string(),
            clock(entry.created_ms),
            next(entry),
            plain(entry.last_error.as_deref().unwrap_or_default(), 120),
        ]);
    }
    let mut out = io::stdout();
    writeln!(out, "{table}")?;
    for LeftAlone { destination, since_ms, gone } in outbox.left_alone()? {
        let why = if gone {
            "it has answered 410, gone; it is tried again when tripline run starts"
        } else {
            "hardly a request was answered; it is tried now and then"
        };
        writeln!(out, "{destination} is left alone since {}: {why}", clock(since_ms))?;
    }
    Ok(())
}

/// The message that an id, or its begin, names.
fn message(outbox: &Outbox, id: &str) -> Result<Kept> {
    outbox.message(id)?.with_context(|| {
        format!("no message, or more than one, begins with {id:?}; `tripline outbox list --all` lists them")
    })
}

fn show(outbox: &Outbox, id: &str, format: Format) -> Result<()> {
    let Kept { entry, content, attempts } = message(outbox, id)?;
    if format == Format::Json {
        let alert = content.and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
        return json_lines(&[json!({"message": entry, "attempts": attempts, "alert": alert})]);
    }
    let mut out = io::stdout();
    writeln!(out, "{} to {}: {}", entry.id, entry.destination, what(&entry))?;
    writeln!(out, "state      {}, written {}", entry.state, clock(entry.created_ms))?;
    let mut table = table(&["try", "at (UTC)", "status", "took", "result"]);
    for (n, Attempt { started_ms, duration_ms, status, error }) in attempts.iter().enumerate() {
        table.add_row([
            (n + 1).to_string(),
            clock(*started_ms),
            status.map_or_else(|| "-".into(), |s| s.to_string()),
            format!("{duration_ms} ms"),
            plain(error.as_deref().unwrap_or("delivered"), 200),
        ]);
    }
    writeln!(out, "{table}")?;
    if entry.state == "pending" {
        writeln!(out, "next try   {}", next(&entry))?;
    }
    Ok(())
}

/// Which state of which alert, as far as that is still known.
fn what(entry: &Entry) -> String {
    let alert = entry.alert.as_ref().map(|id| format!(" of {}", id.get(..14).unwrap_or(id)));
    format!("{} {}{}", entry.status, entry.sequence, alert.unwrap_or_default())
}

fn next(entry: &Entry) -> String {
    if entry.state == "pending" { clock(entry.due_ms) } else { "-".into() }
}

fn clock(ms: i64) -> String {
    time(ms.saturating_mul(1_000))
}

async fn send_test(state: &StateArgs, name: &str) -> Result<Outcome> {
    let config = state.config()?;
    let known: Vec<_> = config.destinations.iter().map(|d| d.name.clone()).collect();
    let Some(destination) = crate::destinations::destinations(&config)?.into_iter().find(|d| d.name == name) else {
        bail!("the config has no destination {name:?}; it has: {}", known.join(", "));
    };
    let now = now_ms();
    let us = now.saturating_mul(1_000);
    let finding = Finding {
        rule: "tripline/test".into(),
        title: "A test: nothing has happened".into(),
        severity: Severity::Info,
        entity: [("client".to_owned(), json!("192.0.2.1"))].into(),
        window: Window { start: us, end: us },
        phase: Phase::Closed,
        values: Map::from_iter([("requests".to_owned(), json!(1))]),
        detected_at: us,
        watermark: us,
        owasp: Vec::new(),
        attack: Vec::new(),
        quiet: 0,
        evidence: Vec::new(),
        handling: Handling::default(),
    };
    let changes = Lifecycle::default().step(vec![finding], Some(us.saturating_add(1)));
    // It ends at once: nobody has to tidy up after a test.
    let states: Vec<_> = changes.into_iter().map(|change| change.alert).collect();
    let tested = try_out(destination, &states, Timeouts::default(), now).await?;
    if state.format == Format::Json {
        json_lines(&tested.iter().map(|t| json!({"message": t.id, "attempt": t.attempt})).collect::<Vec<_>>())?;
    }
    let Some(Tested { attempt: Attempt { status, duration_ms, error, .. }, .. }) = tested.last() else {
        bail!("there is no test alert");
    };
    match error {
        None => eprintln!("delivered: {name} answered {} in {duration_ms} ms", status.unwrap_or_default()),
        Some(error) => {
            bail!("not delivered: {} (after {duration_ms} ms){}", plain(error, 400), status.map_or("", hint));
        }
    }
    Ok(Outcome::Done)
}

/// What to look at when a receiver answers so.
fn hint(status: u16) -> &'static str {
    match status {
        300..=399 => "; redirects are not followed: give the URL that it leads to",
        401 | 403 => "; does it know this secret or key?",
        404 | 405 | 410 => "; is this the URL's right path, and a webhook that still is?",
        400 | 413 | 415 | 422 => "; is this its style?",
        429 => "; it asks for a pause: see per_minute",
        _ => "",
    }
}
