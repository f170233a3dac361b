//! What a rule's author reads: every refusal points at the SQL and names the way out.

use std::collections::BTreeMap;

use super::baseline::Table;
use super::compile::compile;
use super::lookups_of_the_tests as lookups;
use crate::rules::Rule;

/// The error for a rule whose SQL is `sql`, as printed.
async fn refusal(sql: &str) -> String {
    let text = format!("/*\ntitle = \"t\"\nentity = [\"client\"]\nparams = {{ n = 5 }}\n*/\n{sql}\n");
    let rule = match Rule::parse("test/rule", "rule.sql", &text) {
        Ok(rule) => rule,
        Err(e) => return e.to_string(),
    };
    let mut baselines = BTreeMap::new();
    for (name, window) in
        [("usual", WINDOW), ("overlapping", "hop(requests, ts, INTERVAL '1 minute', INTERVAL '2 minutes')")]
    {
        let sql = format!(
            "SELECT window_start, window_end, client, max(status) AS status FROM {window} GROUP BY window_start, window_end, client"
        );
        let text = format!("/*\ntitle = \"b\"\nkind = \"baseline\"\nentity = [\"client\"]\n*/\n{sql}");
        let rule = Rule::parse(&format!("baselines/{name}"), "b.sql", &text).unwrap();
        let compiled = compile(&rule, &BTreeMap::new(), &lookups(), None).await.unwrap();
        baselines.insert(name.to_owned(), Table::new(&compiled).unwrap());
    }
    compile(&rule, &baselines, &lookups(), None).await.map_or_else(|e| e.to_string(), |_| "accepted".into())
}

/// Asserts that the refusal says `message`, underlines `word`, and has a help that says `help`.
async fn check(sql: &str, word: &str, message: &str, help: &str) {
    let text = refusal(sql).await;
    assert!(text.contains(message), "{sql}\n{text}\nlacks {message:?}");
    let (_, advice) = text.split_once("= help: ").unwrap_or_else(|| panic!("{text}\nhas no help"));
    assert!(advice.contains(help), "{sql}\n{text}\nlacks {help:?}");
    let lines: Vec<&str> = text.lines().collect();
    let caret = lines.iter().position(|l| l.contains('^')).unwrap_or_else(|| panic!("{text}\nhas no caret"));
    let columns = lines[caret].find('^').unwrap()..=lines[caret].rfind('^').unwrap();
    assert_eq!(&lines[caret - 1][columns], word, "{text}");
}

const KEYS: &str = "GROUP BY window_start, window_end, client";
const WINDOW: &str = "tumble(requests, ts, INTERVAL '1 minute')";

#[tokio::test]
async fn every_refusal_points_and_advises() {
    let sql =
        format!("SELECT window_start, window_end, clinet FROM {WINDOW} GROUP BY window_start, window_end, clinet");
    check(&sql, "clinet", "clinet", "possible column requests.client").await;
    check(
        "SELECT window_start, window_end, client, count(*) FROM requests GROUP BY client",
        "window_start",
        "window_start",
        "tumble",
    )
    .await;
    check(
        "SELECT client, count(*) AS n FROM requests GROUP BY client",
        "GROUP BY",
        "does not group by its window",
        "tumble",
    )
    .await;
    check(
        &format!("SELECT client, count(*) AS n FROM {WINDOW} GROUP BY client"),
        "client",
        "does not group by its window",
        "GROUP BY",
    )
    .await;
    check(
        &format!("SELECT window_start, client, count(*) AS n FROM {WINDOW} GROUP BY window_start, client"),
        "SELECT",
        "does not return window_end",
        "window_end",
    )
    .await;
    let sql = format!("SELECT window_start, window_end, client, count(*) AS n FROM {WINDOW} {KEYS} ORDER BY n");
    check(&sql, "ORDER BY", "no order", "row_number").await;
    check(
        &format!("SELECT window_start, window_end, client FROM {WINDOW} {KEYS} LIMIT 5"),
        "LIMIT",
        "across windows",
        "row_number",
    )
    .await;
    let sql = format!("SELECT window_start, window_end, client, max(window_end - ts) AS n FROM {WINDOW} {KEYS}");
    check(&sql, "window_end", "before the rows are grouped", "GROUP BY").await;
    let sql = format!("SELECT window_start, window_end, client, count(*) AS n FROM {WINDOW} WHERE ts < now() {KEYS}");
    check(&sql, "SELECT", "another answer at another time", "window_start").await;
    let sql = format!("SELECT window_start, window_end, client, array_agg(path) AS n FROM {WINDOW} {KEYS}");
    check(&sql, "SELECT", "order in which rows arrive", "approx_distinct").await;
    let sql = format!(
        "SELECT window_start, window_end, client, string_agg(path, ' ' ORDER BY path) AS n FROM {WINDOW} {KEYS}"
    );
    check(&sql, "SELECT", "keep every row of a group", "20 of its log lines").await;
    let sql =
        format!("SELECT window_start, window_end, client, count(*) AS n FROM {WINDOW} {KEYS} HAVING count(*) > $m");
    check(&sql, "$m", "no parameter $m", "params are: n").await;
    let sql = format!("SELECT window_start, window_end, client, path, count(*) AS n FROM {WINDOW} {KEYS}, path");
    check(&sql, "path", "several rows a window", "add path").await;
    let sql = format!("SELEC window_start FROM {WINDOW}");
    let text = refusal(&sql).await;
    assert!(text.contains("rule.sql:6:1") && text.contains("missing comma") && !text.contains("Line:"), "{text}");
}

#[tokio::test]
async fn windows_are_checked() {
    let hop = |args: &str| format!("SELECT window_start, window_end, client, count(*) AS n FROM hop({args}) {KEYS}");
    check(
        &hop("requests, ts, INTERVAL '7 minutes', INTERVAL '10 minutes'"),
        "'10 minutes'",
        "not a multiple",
        "whole number of slides",
    )
    .await;
    check(
        &hop("requests, ts, INTERVAL '1 month', INTERVAL '2 months'"),
        "'1 month'",
        "months",
        "INTERVAL '10 minutes'",
    )
    .await;
    check(&hop("requests, ts, 60, 600"), "60", "not an interval", "INTERVAL").await;
    check(&hop("requests, path, INTERVAL '1 minute', INTERVAL '2 minutes'"), "path", "column ts", "hop(requests, ts")
        .await;
    let text = refusal(&hop("requests, ts, INTERVAL '1 minute'")).await;
    assert!(text.contains("takes 4 arguments, not 3") && text.contains("slide, size"), "{text}");
    let text = refusal(&hop("request, ts, INTERVAL '1 minute', INTERVAL '1 minute'")).await;
    assert!(text.contains("no table \"request\"") && text.contains("requests"), "{text}");
    let sql = format!(
        "WITH a AS (SELECT window_start, window_end, client FROM {WINDOW} {KEYS}), \
         b AS (SELECT window_start, window_end, client FROM tumble(requests, ts, INTERVAL '2 minutes') {KEYS}) \
         SELECT a.* FROM a JOIN b ON a.window_start = b.window_start"
    );
    let text = refusal(&sql).await;
    assert!(text.contains("two different windows") && text.contains("write two rules"), "{text}");
}

#[tokio::test]
async fn baselines_are_joined_and_nothing_else() {
    let w = format!("WITH w AS (SELECT window_start, window_end, client, count(*) AS n FROM {WINDOW} {KEYS})");
    let on = "ON b.client = w.client AND w.window_start >= b.valid_from AND w.window_start < b.valid_until";
    assert_eq!(refusal(&format!("{w} SELECT w.*, b.status FROM w LEFT JOIN usual b {on}")).await, "accepted");
    check(&format!("{w} SELECT w.* FROM w JOIN usual b {on}"), "JOIN", "no baseline yet", "LEFT JOIN").await;
    check(
        &format!("{w} SELECT w.* FROM w LEFT JOIN usual b ON b.client = w.client"),
        "JOIN",
        "when a baseline's row holds",
        "valid_until",
    )
    .await;
    check(
        &format!("{w} SELECT w.*, b.valid_until AS u FROM w LEFT JOIN usual b {on}"),
        "b.valid_until",
        "not known",
        "join",
    )
    .await;
    let sql = format!("{w}, m AS (SELECT max(status) AS s FROM usual) SELECT w.* FROM w CROSS JOIN m");
    check(&sql, "GROUP BY", "row by row", "LEFT JOIN").await;
}

#[tokio::test]
async fn windows_over_baselines() {
    let over = |from: &str| {
        format!(
            "SELECT window_start, window_end, u.client, sum(u.status) AS n FROM {from} u GROUP BY window_start, window_end, u.client"
        )
    };
    assert_eq!(refusal(&over("hop(usual, ts, INTERVAL '2 minutes', INTERVAL '6 minutes')")).await, "accepted");
    for (call, message, help) in [
        (
            "hop(usual, ts, INTERVAL '30 seconds', INTERVAL '1 minute')",
            "begin or end within one",
            "multiples of 1 minute",
        ),
        ("tumble(overlapping, ts, INTERVAL '2 minutes')", "overlap", "tumble(..)"),
        ("tumble(unusual, ts, INTERVAL '2 minutes')", "no table \"unusual\"", "usual"),
    ] {
        check(&over(call), &format!("{call} u"), message, help).await;
    }
}

#[tokio::test]
async fn lookups_are_joined_where_every_row_has_a_window() {
    let below = |join: &str| {
        format!(
            "SELECT window_start, window_end, r.client, count(*) AS n FROM {join} GROUP BY window_start, window_end, r.client"
        )
    };
    for join in [
        format!("{WINDOW} r JOIN partners p ON p.client = r.client"),
        format!("{WINDOW} r LEFT JOIN partners p ON p.client = r.client AND p.tier > 1"),
        format!("partners p JOIN {WINDOW} r ON p.client = r.client"),
        format!("partners p RIGHT JOIN {WINDOW} r ON p.client = r.client"),
        format!("{WINDOW} r, partners p WHERE p.client = r.client"),
        format!("{WINDOW} r WHERE client NOT IN (SELECT client FROM partners)"),
        format!("{WINDOW} r WHERE EXISTS (SELECT 1 FROM partners p WHERE p.client = r.client)"),
        format!("{WINDOW} r WHERE r.status >= (SELECT max(tier) FROM partners)"),
        format!(
            "{WINDOW} r JOIN (SELECT client, max(tier) AS tier FROM partners GROUP BY client) p ON p.client = r.client"
        ),
    ] {
        assert_eq!(refusal(&below(&join)).await, "accepted", "{join}");
    }
    let w = format!("WITH w AS (SELECT window_start, window_end, client, count(*) AS n FROM {WINDOW} {KEYS})");
    for rest in [
        "SELECT w.*, p.tier FROM w LEFT JOIN partners p ON p.client = w.client",
        "SELECT w.* FROM w WHERE n > (SELECT max(tier) FROM partners)",
        "SELECT w.* FROM w JOIN partners p ON p.client = w.client AND w.window_start >= TIMESTAMP '2026-01-01T00:00:00Z'",
    ] {
        assert_eq!(refusal(&format!("{w} {rest}")).await, "accepted", "{rest}");
    }

    let on = "ON p.client = r.client";
    for join in ["RIGHT", "FULL"] {
        let sql = below(&format!("{WINDOW} r {join} JOIN partners p {on}"));
        check(&sql, "JOIN", "belong to no window", "LEFT JOIN").await;
        let sql = format!("{w} SELECT w.* FROM w {join} JOIN partners p ON p.client = w.client");
        check(&sql, "JOIN", "belong to no window", "LEFT JOIN").await;
    }
    let sql = below(&format!("partners p LEFT JOIN {WINDOW} r {on}"));
    check(&sql, "JOIN", "belong to no window", "LEFT JOIN").await;
    let sql = below(&format!("{WINDOW} r JOIN partners p {on} AND r.window_start > p.since"));
    check(&sql, "r.window_start", "before the rows are grouped", "GROUP BY").await;
    let sql = below(&format!("{WINDOW} r WHERE EXISTS (SELECT 1 FROM partners p WHERE r.window_end > p.since)"));
    check(&sql, "window_end", "before the rows are grouped", "GROUP BY").await;
    let sql = below(&format!("{WINDOW} r JOIN partner p {on}"));
    let text = refusal(&sql).await;
    assert!(text.contains("partner") && text.contains("lookup"), "{text}");
    let sql = format!(
        "SELECT window_start, window_end, client, count(*) AS n FROM tumble(partners, ts, INTERVAL '1 minute') {KEYS}"
    );
    check(&sql, "tumble", "no table \"partners\"", "requests").await;
}
