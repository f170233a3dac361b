//! The invariant, from outside: the findings of `scan` are the rows of `query` with the same rule.
//!
//! Each rule runs as shipped, and once more with its thresholds at a hundredth, so that there is something to compare.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tempfile::TempDir;
use tripline_datasets::Length;
use tripline_tests::logs::{benign, simulate, with_campaign};
use tripline_tests::repository::{REAL_LOGS, fixtures, header, id, is_baseline, real_log, rules, sample, tables};
use tripline_tests::tripline;

/// A row: window, entity and values alike.
type Row = BTreeMap<String, Value>;

/// The ids of the rules that have findings, as `check` lists them.
fn rule_ids() -> Vec<String> {
    let output = tripline!("check").with_code(0);
    let rules = output.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    rules.filter(|words| words[1] != "baseline").map(|words| words[0].to_owned()).collect()
}

/// A config in which each whole number among the parameters is a hundredth of what it is, and at least 1.
fn sensitive_config() -> String {
    let hundredth =
        |(name, value): (&String, &toml::Value)| Some((name.clone(), (value.as_integer()? / 100).max(1).into()));
    let params = rules().into_iter().map(|rule| {
        let header = header(&rule);
        let params = header.get("params").and_then(toml::Value::as_table).into_iter().flatten();
        (id(&rule), toml::Value::Table(params.filter_map(hundredth).collect()))
    });
    let section = |name: &str, content: toml::Table| toml::Table::from_iter([(name.to_owned(), content.into())]);
    section("rules", section("params", params.collect())).to_string()
}

/// Compares every rule's findings with its rows, and returns how many there were.
fn check(log: &Path) -> usize {
    let folder = TempDir::new().expect("a folder");
    let configs = [("shipped.toml", String::new()), ("sensitive.toml", sensitive_config())];
    let rules = rule_ids();
    let mut rows = 0;
    for (name, text) in configs {
        let config = folder.path().join(name);
        fs::write(&config, text + &tables()).expect("a config");
        rows += rules.iter().map(|rule| compare(rule, &config, log)).sum::<usize>();
    }
    rows
}

/// Compares one rule's findings with its rows, and returns how many there were.
pub fn compare(rule: &str, config: &Path, log: &Path) -> usize {
    let scanned = tripline!("scan", "-c", config, "--quiet", "--only", rule, "--format", "json", log).with_code(0);
    let queried = tripline!("query", "-c", config, "--rule", rule, "--format", "json", "--logs", log).with_code(0);
    // What was told of a window while it was open comes again when it closes.
    let (early, closed): (Vec<Value>, Vec<Value>) = scanned.json().into_iter().partition(|a| a["provisional"] == true);
    let identity = |alert: &Value| (alert["entity"].to_string(), alert["window"].to_string());
    let confirmed: BTreeSet<_> = closed.iter().map(identity).collect();
    for alert in &early {
        assert!(confirmed.contains(&identity(alert)), "{rule} told early and did not confirm: {alert}");
    }
    let scanned = sorted(closed.into_iter().map(finding).collect());
    let queried = sorted(queried.json().into_iter().map(row).collect());
    let what = format!("{rule} ({}) on {}", config.display(), log.display());
    let different = scanned.iter().zip(&queried).find(|(s, q)| !same_row(s, q));
    assert!(different.is_none(), "{what}: scan and query differ:\n{different:#?}");
    assert_eq!(scanned.len(), queried.len(), "rows of scan and of query, {what}");
    queried.len()
}

fn finding(mut alert: Value) -> Row {
    // (lines of evidence may be cut; what is compared may not)
    let cut_line =
        alert["evidence"].as_array().is_some_and(|lines| lines.iter().any(|l| l["raw"].to_string().contains('…')));
    assert!(cut_line || alert["truncated"] == false, "long values are cut: this log cannot be compared: {alert}");
    let mut object = |key: &str| match alert[key].take() {
        Value::Object(object) => object,
        other => panic!("{key} is {other}"),
    };
    let window = object("window");
    let bounds = [("window_start", &window["start"]), ("window_end", &window["end"])];
    let bounds = bounds.map(|(name, time)| (name.to_owned(), instant(time)));
    object("entity").into_iter().chain(object("values")).chain(bounds).collect()
}

fn row(row: Value) -> Row {
    let row: Map<String, Value> = serde_json::from_value(row).expect("a row is an object");
    let bound = |name: &str| name == "window_start" || name == "window_end";
    row.into_iter().map(|(name, value)| if bound(&name) { (name, instant(&value)) } else { (name, value) }).collect()
}

/// A time, however written, in µs.
fn instant(time: &Value) -> Value {
    let parsed = time.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    parsed.unwrap_or_else(|| panic!("{time} is no time")).as_microsecond().into()
}

/// In an order in which rows stand together that differ by rounding only.
fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    let key = |row: &Row| {
        let part = |value: &Value| match value {
            Value::Number(n) if n.is_f64() => format!("{:.5e}", n.as_f64().unwrap_or_default()),
            other => other.to_string(),
        };
        row.iter().map(|(name, value)| (name.clone(), part(value))).collect::<Vec<_>>()
    };
    rows.sort_by_cached_key(key);
    rows
}

fn same_row(a: &Row, b: &Row) -> bool {
    a.len() == b.len() && a.iter().all(|(name, value)| b.get(name).is_some_and(|other| same(value, other)))
}

/// Floats may differ in the order of summation.
fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(x), Some(y)) if a.is_f64() || b.is_f64() => {
            let difference = (x - y).abs();
            difference.partial_cmp(&(1e-9 * x.abs().max(y.abs()))) != Some(Ordering::Greater)
        }
        _ => a == b,
    }
}

/// So that every rule has rows to compare.
#[test]
fn on_the_logs_that_fire_each_rule() {
    let folder = TempDir::new().expect("a folder");
    let config = folder.path().join("tripline.toml");
    fs::write(&config, tables()).expect("a config");
    for rule in rules().iter().filter(|rule| !is_baseline(rule)) {
        let rows: usize = fixtures(rule).0.iter().map(|log| compare(&id(rule), &config, log)).sum();
        assert!(rows > 0, "{} fires on none of its logs", rule.display());
    }
}

#[test]
fn on_the_sample() {
    assert!(check(&sample()) > 0, "no rule found anything: nothing was compared");
}

#[test]
fn on_real_logs() {
    for log in REAL_LOGS.iter().filter_map(|name| real_log(name)) {
        assert!(check(&log) > 0, "no rule found anything: nothing was compared");
    }
}

#[test]
fn on_benign_traffic() {
    let folder = TempDir::new().expect("a folder");
    let log = folder.path().join("access.log");
    fs::write(&log, simulate(&benign(3, Length::Lines(20_000), 5.0)).0).expect("a log");
    assert!(check(&log) > 0, "no rule found anything: nothing was compared");
}

/// Requests that took long are logged long after they began: some come after their windows have closed.
#[test]
fn on_a_log_out_of_order() {
    let folder = TempDir::new().expect("a folder");
    let log = folder.path().join("access.log");
    let (text, _) = simulate(&with_campaign(&benign(4, Length::Lines(12_000), 2.0)));
    let mut lines: Vec<(i64, &str)> = Vec::new();
    for (i, line) in text.split_inclusive('\n').enumerate() {
        let i = i64::try_from(i).expect("few lines");
        // In lines: one in seven comes a little late, one in a hundred by more than any lateness allowed.
        let delay = if i % 100 == 50 {
            3_000
        } else if i % 7 == 0 {
            i * 7_919 % 400
        } else {
            0
        };
        lines.push((i + delay, line));
    }
    lines.sort_by_key(|(place, _)| *place);
    fs::write(&log, lines.into_iter().map(|(_, line)| line).collect::<String>()).expect("a log");

    let output = tripline!("scan", &log);
    let late =
        output.stderr.lines().find_map(|line| line.strip_prefix("late rows ")).expect("the summary counts late rows");
    assert!(!late.starts_with('0'), "no row is late: {late}");
    assert!(check(&log) > 0, "no rule found anything: nothing was compared");
}
