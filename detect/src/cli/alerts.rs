//! `tripline alerts`: what people do with alerts. Works beside a running `tripline run`.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use anyhow::{Context, Result, bail};
use tripline_alert::desk::{Desk, Filter, Record, Verdict};
use tripline_alert::{Ended, Silence, Status};

use super::Outcome;
use super::output::{plain, time, value};
use super::state::{Format, StateArgs, json_lines, table};
use super::{exceptions, scope};
use crate::duration;
use crate::run::now_ms;

/// Arguments of `alerts`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    state: StateArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Alerts that are open by incident, the newest change first
    List {
        /// The resolved ones of the last 90 days, too
        #[arg(long)]
        all: bool,
        /// Only of this rule
        #[arg(long, value_name = "ID")]
        rule: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// One alert with its log lines
    Show {
        /// The alert's id, or its begin
        id: String,
    },
    /// Say that you take care of an alert
    Acknowledge {
        /// The alert's id, or its begin
        id: String,
        #[command(flatten)]
        by: By,
    },
    /// Say what an alert turned out to be, and end it
    Resolve {
        /// The alert's id, or its begin
        id: String,
        /// true: what the rule looks for; expected: that too, by somebody who may; false: neither
        #[arg(long)]
        verdict: VerdictArg,
        /// What else there is to say
        #[arg(long)]
        note: Option<String>,
        #[command(flatten)]
        by: By,
    },
    /// How often each rule was right, by the verdicts
    Precision,
    /// Keep alerts that match from being sent, for a while
    Silence {
        /// NAME=VALUE, all of which must hold: rule, severity, id, incident or a column of the entity; * in a value stands for any text
        #[arg(required = true)]
        matchers: Vec<String>,
        /// For how long, such as 2h
        #[arg(long = "for", value_name = "DURATION")]
        duration: String,
        /// From when, such as 2026-03-02T22:00:00Z; now, if it is left out
        #[arg(long, value_name = "TIME")]
        from: Option<jiff::Timestamp>,
        /// Why
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        by: By,
    },
    /// End a silence
    Unsilence {
        /// Its number
        number: i64,
    },
    /// Silences that have not ended
    Silences,
    /// Everything that an incident's campaign asked for, since it began: every object, by whom, first and last
    Scope(scope::Args),
    /// The config's exceptions: how many requests each has covered, and until when it holds
    Exceptions,
}

#[derive(Debug, clap::Args)]
struct By {
    /// Who you are; without it, the user's name
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

impl By {
    fn name(self) -> Result<String> {
        let name = self.by.or_else(|| std::env::var("USER").ok()).filter(|name| !name.trim().is_empty());
        name.context("nobody is named; say who you are with --by NAME")
    }
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum VerdictArg {
    True,
    False,
    Expected,
}

impl From<VerdictArg> for Verdict {
    fn from(arg: VerdictArg) -> Self {
        match arg {
            VerdictArg::True => Self::True,
            VerdictArg::False => Self::False,
            VerdictArg::Expected => Self::Expected,
        }
    }
}

/// Runs the command.
pub async fn main(args: Args) -> Result<Outcome> {
    if let Command::Scope(scope) = args.command {
        return scope::main(scope, &args.state).await;
    }
    let mut desk = Desk::open(&args.state.dir()?)?;
    let format = args.state.format;
    match args.command {
        Command::List { all, rule, limit } => list(&desk.list(&Filter { resolved: all, rule, limit })?, format)?,
        Command::Show { id } => show(&desk.show(&id)?, format)?,
        Command::Acknowledge { id, by } => show(&desk.acknowledge(&id, &by.name()?, now_ms())?, format)?,
        Command::Resolve { id, verdict, note, by } => {
            let record = desk.resolve(&id, verdict.into(), &by.name()?, note.as_deref())?;
            show(&record, format)?;
            if desk.is_resolving(&record.alert.id)? {
                eprintln!(
                    "it ends, and its end is sent, with the next commit of tripline run: within seconds if that runs"
                );
            }
        }
        Command::Precision => precision(&desk, format)?,
        Command::Silence { matchers, duration, from, reason, by } => {
            let length = duration::parse_us(&duration).map_err(anyhow::Error::msg)?;
            let starts_ms = from.map_or_else(now_ms, jiff::Timestamp::as_millisecond);
            let silence = Silence {
                number: 0,
                matchers: Silence::matchers(&matchers)?,
                starts_ms,
                ends_ms: starts_ms.saturating_add(length / 1_000),
                author: by.name()?,
                reason,
                hits: 0,
            };
            silence.check()?;
            let number = desk.silence(&silence)?;
            silences(&[Silence { number, ..silence }], format)?;
        }
        Command::Unsilence { number } => {
            if !desk.unsilence(number, now_ms())? {
                bail!("there is no silence {number} in force; `tripline alerts silences` lists them");
            }
        }
        Command::Silences => silences(&desk.silences(now_ms())?, format)?,
        Command::Exceptions => exceptions::show(&args.state.config()?, &desk, format)?,
        Command::Scope(_) => {}
    }
    Ok(Outcome::Done)
}

fn list(records: &[Record], format: Format) -> Result<()> {
    if format == Format::Json {
        return json_lines(records);
    }
    let mut table =
        table(&["incident", "id", "severity", "status", "rule", "entity", "since (UTC)", "findings", "note"]);
    let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
    for record in records {
        *sizes.entry(&record.alert.incident).or_default() += 1;
    }
    for record in records {
        let alert = &record.alert;
        // Once each: with its first alert.
        let incident = sizes.remove(alert.incident.as_str()).map(|n| {
            let id = alert.incident.get(..14).unwrap_or(&alert.incident);
            if n == 1 { id.to_owned() } else { format!("{id} ({n})") }
        });
        let entity: Vec<_> = alert.entity.iter().map(|(name, v)| format!("{}={}", plain(name, 40), value(v))).collect();
        table.add_row([
            incident.unwrap_or_default(),
            // Enough to tell alerts apart.
            alert.id.get(..14).unwrap_or(&alert.id).to_owned(),
            alert.severity.to_string(),
            alert.status.name().to_owned(),
            plain(&alert.rule, 60),
            entity.join(" "),
            time(alert.first_seen),
            alert.findings.to_string(),
            remark(record),
        ]);
    }
    writeln!(io::stdout(), "{table}")?;
    Ok(())
}

/// What people should know at a glance.
fn remark(record: &Record) -> String {
    let verdict = record.verdict.map(|v| format!("verdict {}", v.name()));
    let taken = record.acknowledged_by.as_ref().map(|by| format!("taken by {}", plain(by, 40)));
    let withheld = record.withheld.as_ref().map(|why| format!("not sent: {}", plain(why, 120)));
    [verdict, taken, withheld].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn show(record: &Record, format: Format) -> Result<()> {
    if format == Format::Json {
        return json_lines(std::slice::from_ref(record));
    }
    let alert = &record.alert;
    let mut out = io::stdout();
    writeln!(out, "{}  {}", alert.severity.to_string().to_uppercase(), plain(&alert.title, 200))?;
    let mut line = |name: &str, text: &str| writeln!(out, "{name:14} {text}");
    line("id", &alert.id)?;
    line("incident", &alert.incident)?;
    line("rule", &plain(&alert.rule, 200))?;
    let why = alert.resolved_by.map_or("", |why| match why {
        Ended::Quiet => ": nothing more was found",
        Ended::Manual => " by hand",
        Ended::RuleRemoved => ": its rule is gone",
    });
    line("status", &format!("{}{why}", alert.status.name()))?;
    let end = if alert.status == Status::Resolved { time(alert.detected_at) } else { "goes on".into() };
    line("time (UTC)", &format!("{} to {end}, {} findings", time(alert.first_seen), alert.findings))?;
    let handling = &alert.handling;
    for (name, text) in [("owner", &handling.owner), ("runbook", &handling.runbook), ("note", &record.note)] {
        if let Some(text) = text {
            line(name, &plain(text, 500))?;
        }
    }
    let sent = match record.destinations.as_slice() {
        [] if record.told => "no: no destination takes it".to_owned(),
        [] => "no".to_owned(),
        names => format!("to {}", names.join(", ")),
    };
    line("sent", &sent)?;
    match remark(record) {
        text if text.is_empty() => {}
        text => line("", &text)?,
    }
    for (name, v) in alert.entity.iter().chain(alert.values.iter()) {
        line(&plain(name, 40), &value(v))?;
    }
    for evidence in &alert.evidence {
        line(
            "line",
            &format!("{} at byte {}: {}", plain(&evidence.source, 200), evidence.offset, plain(&evidence.raw, 1_024)),
        )?;
    }
    Ok(())
}

fn precision(desk: &Desk, format: Format) -> Result<()> {
    let rules = desk.precision()?;
    if format == Format::Json {
        return json_lines(&rules);
    }
    let mut table = table(&["rule", "true", "expected", "false", "right", "without verdict"]);
    for rule in &rules {
        let judged = rule.right + rule.expected + rule.wrong;
        let right = if judged == 0 { "-".into() } else { format!("{} %", (rule.right + rule.expected) * 100 / judged) };
        let counts = [rule.right, rule.expected, rule.wrong].map(|n| n.to_string());
        let [yes, expected, no] = counts;
        table.add_row([plain(&rule.rule, 60), yes, expected, no, right, rule.open.to_string()]);
    }
    writeln!(io::stdout(), "{table}")?;
    Ok(())
}

fn silences(silences: &[Silence], format: Format) -> Result<()> {
    if format == Format::Json {
        return json_lines(silences);
    }
    let mut table = table(&["number", "matches", "from (UTC)", "until (UTC)", "by", "reason", "withheld"]);
    for silence in silences {
        let matchers: Vec<_> = silence.matchers.iter().map(|(name, v)| format!("{name}={v}")).collect();
        table.add_row([
            silence.number.to_string(),
            plain(&matchers.join(" "), 200),
            time(silence.starts_ms.saturating_mul(1_000)),
            time(silence.ends_ms.saturating_mul(1_000)),
            plain(&silence.author, 60),
            plain(&silence.reason, 120),
            silence.hits.to_string(),
        ]);
    }
    writeln!(io::stdout(), "{table}")?;
    Ok(())
}
