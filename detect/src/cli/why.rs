//! `tripline explain ALERT`: an alert's numbers, what was known before, its lines, and how to see all that again.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};
use tripline_alert::Alert;
use tripline_alert::desk::Desk;

use super::Outcome;
use super::output::{plain, time, value};
use super::setup::RuleArgs;
use crate::baselines::FOLDER;
use crate::diagnostic::Diagnostic;
use crate::engine::Engine;
use crate::engine::window::{WINDOW_END, WINDOW_START};
use crate::finding::json_rows;
use crate::query::{BatchSession, Requests};
use crate::rules::Rule;
use crate::scope::{self, Scope, literal};
use crate::setup::Setup;

/// Whether this is the id of an alert rather than of a rule, or its begin.
pub fn is_alert(id: &str) -> bool {
    id.starts_with("alr_")
}

/// Explains the alert with this id, or with one that begins so.
pub async fn main(id: &str, args: &RuleArgs) -> Result<Outcome> {
    let setup = args.load()?;
    let Some(dir) = &setup.config.state.dir else {
        bail!("alerts are in the state of `tripline run`: name its config with -c, with [state] dir in it");
    };
    let alert = Desk::open(dir)?.show(id)?.alert;
    let known = known(&setup, &alert, &dir.join(FOLDER)).await?;
    let again = again(&setup, &alert, args.config.as_deref(), dir);
    print!("{}", text(&alert, &known, &again));
    if !setup.rules.iter().any(|rule| rule.id == alert.rule) {
        eprintln!("note: there is no rule {} any more: what it compared with is not known", plain(&alert.rule, 200));
    }
    Ok(Outcome::Done)
}

/// What a baseline knew.
struct Known {
    table: String,
    title: String,
    /// What was asked for.
    key: Map<String, Value>,
    /// The newest first; a key that the alert does not name may have many.
    rows: Vec<Map<String, Value>>,
}

/// What each baseline of the alert's rule knew when the window began.
async fn known(setup: &Setup, alert: &Alert, kept: &Path) -> Result<Vec<Known>> {
    const MOST: usize = 3;
    let (engine, _) = Engine::new(&setup.rules, &setup.exceptions.keep, &setup.lookups).await;
    let Some(rule) = engine.compiled().find(|compiled| compiled.rule.id == alert.rule) else { return Ok(Vec::new()) };
    let joined: Vec<&Rule> = setup.rules.iter().filter(|r| rule.baselines.contains_key(&r.table_name())).collect();
    if joined.is_empty() {
        return Ok(Vec::new());
    }
    let baselines: Vec<Rule> = joined.into_iter().cloned().collect();
    let keep = setup.exceptions.keep.clone();
    let mut session = BatchSession::over(Requests::default(), &baselines, keep, &setup.lookups, 1).await?;
    if kept.is_dir() {
        session.use_kept_baselines(kept, &baselines).await?;
    }
    let mut all = Vec::new();
    for baseline in &baselines {
        let table = baseline.table_name();
        let key = key(baseline, alert);
        let conditions: Vec<String> = key.iter().filter_map(|(name, v)| equals(name, v)).collect();
        let at = instant(alert.window.start);
        let sql = format!(
            "SELECT * FROM \"{table}\" WHERE valid_from <= {at} AND valid_until > {at}{} ORDER BY valid_from DESC LIMIT {MOST}",
            conditions.iter().fold(String::new(), |all, one| all + " AND " + one)
        );
        let explain = |e| Diagnostic::from_datafusion("explain", &sql, &e);
        let plan = session.plan_sql(&sql).await.map_err(explain)?;
        let (_, batches) = session.rows(plan).await.map_err(explain)?;
        let rows = batches.iter().map(json_rows).collect::<Result<Vec<_>, _>>().context("a baseline's rows")?;
        all.push(Known {
            table,
            title: baseline.header.title.clone(),
            key,
            rows: rows.into_iter().flatten().collect(),
        });
    }
    Ok(all)
}

/// What the alert says about a baseline's key. An `hour` is that of the window's start, as in the shipped baselines.
fn key(baseline: &Rule, alert: &Alert) -> Map<String, Value> {
    let known = |name: &String| {
        let hour =
            || (name == "hour").then(|| Value::from(alert.window.start.div_euclid(3_600_000_000).rem_euclid(24)));
        alert.entity.get(name).or_else(|| alert.values.get(name)).cloned().or_else(hour)
    };
    baseline.header.entity.iter().filter_map(|name| Some((name.clone(), known(name)?))).collect()
}

fn equals(name: &str, v: &Value) -> Option<String> {
    match v {
        Value::Null => Some(format!("\"{name}\" IS NULL")),
        Value::String(text) => Some(format!("\"{name}\" = {}", literal(text))),
        Value::Number(n) => Some(format!("\"{name}\" = {n}")),
        Value::Bool(b) => Some(format!("\"{name}\" = {b}")),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// Commands that show what the alert is about once more, with what each is for.
fn again(setup: &Setup, alert: &Alert, config: Option<&Path>, state: &Path) -> Vec<(&'static str, String)> {
    let mut common = String::new();
    if let Some(config) = config {
        let _ = write!(common, " -c {}", quoted(&config.display().to_string()));
    }
    if let Some(history) = &setup.config.history.dir {
        let _ = write!(common, " --logs {}", quoted(&history.display().to_string()));
    }
    let (start, end) = (instant(alert.window.start), instant(alert.window.end));
    let mut commands = Vec::new();
    if setup.rules.iter().any(|rule| rule.id == alert.rule) {
        let entity = alert.entity.iter().filter_map(|(name, v)| equals(name, v));
        let window = [format!("{WINDOW_START} = {start}"), format!("{WINDOW_END} = {end}")];
        let condition = window.into_iter().chain(entity).collect::<Vec<_>>().join(" AND ");
        let baselines = quoted(&state.join(FOLDER).display().to_string());
        let rule = quoted(&alert.rule);
        commands.push((
            "what the rule returned",
            format!("tripline query --rule {rule}{common} --baselines {baselines} --where {}", quoted(&condition)),
        ));
    }
    if let Some(scope) = Scope::of(std::slice::from_ref(alert)) {
        let sql = format!(
            "SELECT ts, client, method, path, query, status, object FROM requests WHERE ({}) AND ts >= {start} AND ts < {end} ORDER BY ts",
            scope.condition
        );
        commands.push((
            "its requests in the window, with those that the rule leaves out",
            format!("tripline query {}{common}", quoted(&sql)),
        ));
    }
    commands
}

/// A time in SQL, as people write it.
fn instant(us: i64) -> String {
    match jiff::Timestamp::from_microsecond(us) {
        // (what nanoseconds since 1970 reach)
        Ok(time) if (0..9_000_000_000_000_000).contains(&us) => format!("TIMESTAMP '{time}'"),
        _ => scope::instant(us),
    }
}

/// For a shell.
fn quoted(text: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if !text.is_empty() && text.chars().all(harmless) {
        text.into()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

fn text(alert: &Alert, known: &[Known], again: &[(&'static str, String)]) -> String {
    let mut out = String::new();
    // (writing to a String does not fail)
    let _ = write(&mut out, alert, known, again);
    out
}

fn write(out: &mut String, alert: &Alert, known: &[Known], again: &[(&'static str, String)]) -> std::fmt::Result {
    let pairs = |map: &mut dyn Iterator<Item = (&String, &Value)>| {
        map.map(|(name, v)| format!("{}={}", plain(name, 40), value(v))).collect::<Vec<_>>().join(" ")
    };
    writeln!(out, "{}  {}", alert.severity.to_string().to_uppercase(), plain(&alert.title, 200))?;
    writeln!(out, "{:14} {}", "alert", alert.id)?;
    writeln!(out, "{:14} {}; `tripline explain` tells how it runs", "rule", plain(&alert.rule, 200))?;
    writeln!(out, "{:14} {}", "about", pairs(&mut alert.entity.iter()))?;
    let open = if alert.provisional { ", still open: its numbers will grow" } else { "" };
    writeln!(out, "{:14} {} to {}{open}", "window (UTC)", time(alert.window.start), time(alert.window.end))?;
    if let Some(fired) = alert.fired_at {
        let how = if fired < alert.window.end { "with the request that settled it" } else { "when a window closed" };
        writeln!(
            out,
            "{:14} {}, {how}; windows with a finding since {}: {}",
            "fired",
            time(fired),
            time(alert.first_seen),
            alert.findings
        )?;
    }

    writeln!(out, "\nIts numbers in that window:")?;
    for (name, v) in &alert.values {
        writeln!(out, "  {:24} {}", plain(name, 40), value(v))?;
    }
    if !known.is_empty() {
        writeln!(out, "\nWhat was known when the window began:")?;
    }
    for Known { table, title, key, rows } in known {
        writeln!(out, "  {table} ({}), of {}", plain(title, 100), pairs(&mut key.iter()))?;
        if rows.is_empty() {
            writeln!(out, "    nothing: it had learnt nothing of this by then, or it is not kept any more")?;
        }
        for row in rows {
            let since = row.get("valid_from").and_then(Value::as_str).unwrap_or_default();
            writeln!(out, "    learnt by {}", plain(since, 40))?;
            let shown = |name: &str| {
                ![WINDOW_START, WINDOW_END, "valid_from", "valid_until"].contains(&name) && !key.contains_key(name)
            };
            for (name, v) in row.iter().filter(|(name, _)| shown(name)) {
                writeln!(out, "      {:20} {}", plain(name, 40), value(v))?;
            }
        }
    }
    writeln!(
        out,
        "\n{}",
        if alert.evidence.is_empty() { "None of its lines were kept." } else { "Some of its lines:" }
    )?;
    for line in &alert.evidence {
        writeln!(out, "  {} at byte {}: {}", plain(&line.source, 200), line.offset, plain(&line.raw, 300))?;
    }
    writeln!(out, "\nTo see it again:")?;
    for (what, command) in again {
        writeln!(out, "  # {what}\n  {}", plain(command, usize::MAX))?;
    }
    if alert.truncated || alert.entity.values().any(|v| v.as_str().is_some_and(|text| text.ends_with('…'))) {
        writeln!(out, "  (The alert was cut to be sent: where a value ends in … the commands find nothing.)")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_alert_is_explained_and_no_text_breaks_out() {
        let alert: Alert = serde_json::from_value(json!({
            "id": "alr_1", "incident": "inc_1", "rule": "api1/above-baseline", "title": "Too much", "severity": "high", "status": "updated",
            "entity": {"client": "x'; rm -rf $(pwd) '\u{1b}[2J", "route": "/v1/users/{id}"},
            "window": {"start": "2026-03-02T09:00:00Z", "end": "2026-03-02T10:00:00Z"}, "first_seen": "2026-03-02T09:00:00Z",
            "fired_at": "2026-03-02T09:12:30Z", "detected_at": "2026-03-02T10:00:00Z", "values": {"objects": 412, "usual_objects": 55.25, "own_objects": null},
            "evidence": [{"source": "access.log", "offset": 7, "raw": "GET /v1/users/1\u{202e}"}], "owasp": [], "attack": [], "fingerprint": "f",
            "episode_start": "2026-03-02T09:00:00Z", "sequence": 2, "findings": 1, "truncated": false,
        }))
        .unwrap();
        let row = json!({"window_end": "e", "route": "/v1/users/{id}", "hour": 9, "clients": 130, "high_objects": 13.8125, "valid_from": "2026-03-01T10:00:00Z"});
        let baseline = "/*\ntitle = \"What single clients read\"\nkind = \"baseline\"\nentity = [\"route\", \"hour\", \"other\"]\n*/\nSELECT 1";
        let baseline = Rule::parse("baselines/route-hours", "r.sql", baseline).unwrap();
        let Value::Object(row) = row else { unreachable!() };
        let known = |rows| Known {
            table: "route_hours".into(),
            title: baseline.header.title.clone(),
            key: key(&baseline, &alert),
            rows,
        };
        let rule =
            Rule::parse("api1/above-baseline", "r.sql", "/*\ntitle = \"t\"\nentity = [\"client\"]\n*/\nSELECT 1")
                .unwrap();
        let setup = Setup {
            config: crate::config::Config::default(),
            rules: vec![rule],
            lookups: crate::lookups::Lookups::default(),
            exceptions: crate::exceptions::Exceptions::default(),
            problems: Vec::new(),
        };
        let again = again(&setup, &alert, Some(Path::new("my config.toml")), Path::new("state"));
        let text = text(&alert, &[known(vec![row]), known(Vec::new())], &again);
        // `TRIPLINE_UPDATE=1 cargo test` writes it: read the difference before you commit it.
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/why.golden.txt");
        if std::env::var_os("TRIPLINE_UPDATE").is_some() {
            std::fs::write(&golden, &text).unwrap();
        }
        assert!(text == std::fs::read_to_string(&golden).unwrap(), "{text}");
    }
}
