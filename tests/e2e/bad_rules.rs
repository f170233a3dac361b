//! Rules that are wrong: each is told of with its place, a caret and what to do; the other rules run.

use std::fs;

use tempfile::TempDir;
use tripline_tests::repository::sample;
use tripline_tests::tripline;

const WINDOW: &str = "tumble(requests, ts, INTERVAL '10 minutes')";
const KEYS: &str = "GROUP BY window_start, window_end, client";

/// A rule with this SQL, whose first line is the seventh of the file: `check` and `scan` point at `word` in `line`, and say
/// `parts`; the shipped rules still find the sample's campaign.
fn check(sql: &str, line: usize, word: &str, parts: &[&str]) {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("mine/rule.sql");
    let header = "/*\ntitle = \"t\"\nseverity = \"low\"\nentity = [\"client\"]\nparams = { most = 5 }\n*/\n";
    fs::create_dir_all(file.with_file_name("")).expect("a folder");
    fs::write(&file, header.to_owned() + sql).expect("a rule");

    let text = sql.lines().nth(line - 7).expect("the line is there");
    let column = text.find(word).expect("the word is there");
    let place = format!("{}:{line}:{}", file.display(), column + 1);
    let caret = format!("{}{}", " ".repeat(column), "^".repeat(word.len()));
    let scanned = tripline!("scan", "--rules", folder.path(), sample());
    scanned.shows(&["api1/object-enumeration", "192.0.2.200"]);
    let checked = tripline!("check", folder.path());
    checked.shows(&["api1/object-enumeration"]);
    for output in [scanned, checked] {
        let output = output.with_code(2);
        output.says(&[&place, &caret, "= help: "]);
        output.says(parts);
    }
}

#[test]
fn a_syntax_error() {
    check(
        &format!("SELECT window_start,\n  window_end client count(*)\nFROM {WINDOW}\n{KEYS}\n"),
        8,
        "count",
        &["count"],
    );
}

#[test]
fn an_unknown_column() {
    let sql = format!(
        "SELECT window_start, window_end, clinet, count(*) AS n\nFROM {WINDOW}\nGROUP BY window_start, window_end, clinet\n"
    );
    check(&sql, 7, "clinet", &["clinet", "client"]);
}

#[test]
fn an_unknown_parameter() {
    let sql = format!(
        "SELECT window_start, window_end, client, count(*) AS n\nFROM {WINDOW}\n{KEYS}\nHAVING count(*) > $mots\n"
    );
    check(&sql, 10, "$mots", &["there is no parameter $mots", "params are: most"]);
}

#[test]
fn a_window_that_is_not_grouped_by() {
    let sql = format!("SELECT client, count(*) AS n\nFROM {WINDOW}\nGROUP BY client\n");
    check(&sql, 9, "client", &["does not group by its window", "GROUP BY window_start, window_end"]);
}

#[test]
fn a_header_with_a_misspelt_key() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("mine.sql");
    fs::write(&file, "/*\ntitle = \"t\"\nseverty = \"low\"\nentity = [\"client\"]\n*/\nSELECT 1\n").expect("a rule");
    let output = tripline!("check", &file).with_code(2);
    output.says(&["mine.sql:3:1", "severty", "^^^^^^^", "severity"]);
}

#[test]
fn plain_sql_that_is_wrong() {
    let output = tripline!("query", "SELECT clinet FROM requests", "--logs", sample()).with_code(2);
    output.says(&["query:1:8", "      ^^^^^^", "clinet", "client"]);
}

#[test]
fn a_rule_that_is_not_there() {
    tripline!("scan", "--only", "api1/nothing", sample()).with_code(2).says(&["api1/nothing", "tripline check"]);
    tripline!("query", "--rule", "api1/nothing", "--logs", sample())
        .with_code(2)
        .says(&["api1/nothing", "tripline check"]);
    tripline!("check", "/nonexistent/rules").with_code(2).says(&[
        "/nonexistent/rules",
        "no such file",
        "check the spelling",
    ]);
}

/// A rule that works, at a price: its author is told, in every command, and it runs.
#[test]
fn a_state_that_grows_is_warned_of() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("mine/rule.sql");
    fs::create_dir_all(file.with_file_name("")).expect("a folder");
    let sql = format!(
        "/*\ntitle = \"t\"\nentity = [\"client\"]\n*/\nSELECT window_start, window_end, client,\n  count(DISTINCT path) AS paths\nFROM {WINDOW}\n{KEYS}\n"
    );
    fs::write(&file, sql).expect("a rule");
    let place = format!("{}:6:9", file.display());
    let parts = ["warning: count(DISTINCT path) keeps every value", "bytes", &place, "^^^^^^^^", "approx_distinct(..)"];
    tripline!("check", folder.path()).with_code(0).says(&parts);
    tripline!("scan", "--rules", folder.path(), sample()).with_code(0).says(&parts);
    tripline!("explain", "--rules", folder.path(), "mine")
        .with_code(0)
        .shows(&["could be cheaper: count(DISTINCT path)"]);

    let found = tripline!("check", "--format", "json", folder.path()).with_code(0).json();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["severity"], "warning");
    assert_eq!((&found[0]["line"], &found[0]["column"]), (&6.into(), &9.into()));
    fs::write(&file, "/*\ntitle = \"t\"\nentity = [\"client\"]\n*/\nSELEC\n").expect("a rule");
    let found = tripline!("check", "--format", "json", folder.path()).with_code(2).json();
    assert_eq!((found.len(), &found[0]["severity"], &found[0]["line"]), (1, &"error".into(), &5.into()), "{found:?}");
}
