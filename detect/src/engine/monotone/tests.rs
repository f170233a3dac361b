//! How many rows a group needs, by example. That the answers are not too high is what `equality` looks for.

use std::collections::BTreeMap;

use crate::engine::compile::compile;
use crate::engine::{Engine, Keep};
use crate::lookups::Lookups;
use crate::rules::{Loaded, Rule};

#[track_caller]
fn check(having: &str, rows: Option<i64>) {
    let sql = format!(
        "/*\ntitle = \"t\"\nentity = [\"client\"]\n*/\nSELECT window_start, window_end, client, count(*) AS n \
         FROM tumble(requests, ts, INTERVAL '1 minute') GROUP BY window_start, window_end, client HAVING {having}"
    );
    let rule = Rule::parse("test/rule", "rule.sql", &sql).expect("a rule");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let compiled = runtime.block_on(compile(&rule, &BTreeMap::new(), &Lookups::default(), None)).expect("compiles");
    let found = compiled.splits[0].findings.threshold.map(|t| t.rows);
    assert_eq!(found, rows, "{having}");
}

#[test]
fn thresholds() {
    check("count(*) >= 500", Some(500));
    check("count(*) >= 500 OR count(status) >= 300", Some(300));
    check("NOT (count(*) < 500)", Some(500));
    check("count(*) / 10 >= 50", Some(500));
    check("sum(CASE WHEN status = 404 THEN 1 ELSE 0 END) * 2 > 99", Some(50));
    check("approx_distinct(object) >= 550", Some(523));
    check("approx_distinct(object) * approx_distinct(object) / count(*) >= 550", Some(496));
    check("count(*) BETWEEN 10 AND 20", Some(10));
    check("CASE WHEN min(status) = 200 THEN count(*) ELSE count(object) * 2 END >= 40", Some(20));
}

#[test]
fn none() {
    check("sum(bytes_out) >= 500", None);
    check("count(*) < 500", None);
    check("sum(CASE WHEN status = 404 THEN 1 ELSE 0 END) >= 0.8 * count(*)", None);
    check("max(status) = 500 OR count(*) > 5", None);
    // 500 is rounded to 1,000.
    check("round(count(*), -3) >= 1000", None);
    // Below 0 it wraps around.
    check("approx_distinct(object) - approx_distinct(path) >= 500", None);
    // No client is NULL, but some are no numbers.
    check("max(CAST(client AS BIGINT)) IS NULL", None);
}

/// Waiting for a window's end costs records: these must not begin to wait because somebody wrote a condition that changes its mind.
#[tokio::test]
async fn shipped_rules_that_tell_a_finding_at_once() {
    let (engine, problems) = Engine::new(&Loaded::shipped().rules, &Keep::new(), &Lookups::default()).await;
    assert!(problems.is_empty(), "{}", problems[0]);
    let at_once = engine.compiled().filter(|c| c.settles() && !c.rule.is_baseline()).map(|c| c.rule.id.as_str());
    assert_eq!(at_once.collect::<Vec<_>>(), ["api1/above-baseline", "api1/object-enumeration", "api4/many-pages"]);
}
