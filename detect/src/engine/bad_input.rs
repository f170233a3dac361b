//! Bad input: what a hostile row or a rule with a mistake does to that rule, and that the others go on.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, StringViewArray, TimestampMicrosecondArray, UInt16Array, new_null_array,
};
use arrow::datatypes::Int64Type;

use super::{Engine, FileRows, Found, Keep, Trouble};
use crate::lookups::Lookups;
use crate::rules::Rule;

const MINUTE: i64 = 60_000_000;

/// A request: client, object, status.
type Request = (&'static str, Option<&'static str>, u16);

/// Requests of one minute.
fn rows(minute: i64, requests: &[Request]) -> FileRows {
    let schema = tripline_ingest::schema();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            "ts" => {
                Arc::new(TimestampMicrosecondArray::from(vec![minute * MINUTE; requests.len()]).with_timezone("UTC"))
            }
            "client" => Arc::new(StringViewArray::from_iter_values(requests.iter().map(|r| r.0))),
            "object" => Arc::new(requests.iter().map(|r| r.1).collect::<StringViewArray>()),
            "status" => Arc::new(UInt16Array::from_iter_values(requests.iter().map(|r| r.2))),
            _ => new_null_array(field.data_type(), requests.len()),
        }
    });
    let rows = RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap();
    FileRows { rows, newest_before: None, lateness: 0 }
}

/// `one`: the rule with this SELECT (after the window's columns and the client); `other`: a rule that counts requests, over
/// the same groups.
async fn engine(select: &str) -> Engine {
    let rule = |id: &str, select: &str| {
        let sql = format!(
            "/*\ntitle = \"t\"\nentity = [\"who\"]\n*/\nSELECT window_start, window_end, client AS who, {select} \
             FROM tumble(requests, ts, INTERVAL '1 minute') GROUP BY window_start, window_end, client"
        );
        Rule::parse(id, "rule.sql", &sql).unwrap()
    };
    let rules = [rule("one", select), rule("other", "count(*) AS n")];
    let (engine, problems) = Engine::new(&rules, &Keep::new(), &Lookups::default()).await;
    assert!(problems.is_empty(), "{}", problems[0]);
    engine
}

/// Takes in minutes of requests one after the other, then the end. Returns what was found, as rule and minute, and the troubles.
async fn run(engine: &mut Engine, minutes: &[&[Request]]) -> (Vec<Found>, Vec<(String, i64)>, Vec<Trouble>) {
    let mut found = Vec::new();
    for (minute, requests) in (1..).zip(minutes) {
        found.extend(engine.advance(minute * MINUTE).await.unwrap());
        found.extend(engine.push(&[rows(minute, requests)]).await.unwrap());
    }
    found.extend(engine.finish().await.unwrap());
    let of = |rows: &Found| (rows.rule.id.clone(), rows.start / MINUTE);
    let mut windows: Vec<_> = found.iter().map(of).collect();
    windows.sort();
    (found, windows, engine.take_troubles())
}

fn windows(expected: &[(&str, i64)]) -> Vec<(String, i64)> {
    expected.iter().map(|(rule, minute)| ((*rule).to_owned(), *minute)).collect()
}

const GOOD: Request = ("192.0.2.1", Some("3"), 5);

/// The value of a column in the first row that a rule returned.
fn number(found: &[Found], column: &str) -> Option<i64> {
    let one = found.iter().find(|f| f.rule.id == "one").expect("the rule found something");
    let column = one.rows.column_by_name(column).unwrap().as_primitive::<Int64Type>();
    column.is_valid(0).then(|| column.value(0))
}

#[tokio::test]
async fn a_division_by_zero_and_a_cast_that_fails_are_null() {
    let select = "sum(100 / (status - 200)) AS inverse, sum(CAST(object AS BIGINT)) AS ids, sum(10 % status) AS rest";
    let hostile: &[Request] =
        &[("192.0.2.1", Some("99999999999999999999"), 200), ("192.0.2.1", Some("3"), 204), ("192.0.2.1", None, 0)];
    let (found, windows_found, troubles) = run(&mut engine(select).await, &[hostile]).await;
    assert_eq!(troubles, []);
    assert_eq!(windows_found, windows(&[("one", 1), ("other", 1)]));
    // 100 / 4 and 100 / -200; 10 % 200 and 10 % 204
    assert_eq!(
        [number(&found, "inverse"), number(&found, "ids"), number(&found, "rest")],
        [Some(25), Some(3), Some(20)]
    );
}

#[tokio::test]
async fn a_null_is_a_group_like_any_other() {
    let condition = "GROUP BY window_start, window_end, client, object";
    let select = "object, count(*) AS n";
    let rule = format!(
        "/*\ntitle = \"t\"\nentity = [\"client\", \"object\"]\n*/\nSELECT window_start, window_end, client, {select} \
         FROM tumble(requests, ts, INTERVAL '1 minute') {condition}"
    );
    let rule = Rule::parse("one", "rule.sql", &rule).unwrap();
    let (mut engine, problems) = Engine::new(&[rule], &Keep::new(), &Lookups::default()).await;
    assert!(problems.is_empty(), "{}", problems[0]);
    let requests: &[Request] = &[("a", None, 5), ("a", Some(""), 5), ("a", None, 5), ("b", None, 5)];
    let (found, _, troubles) = run(&mut engine, &[requests]).await;
    assert_eq!(troubles, []);
    let found = crate::finding::findings(&found[0], 0).unwrap();
    let found: Vec<_> =
        found.iter().map(|f| format!("{} {} {}", f.entity["client"], f.entity["object"], f.values["n"])).collect();
    assert_eq!(found, ["\"a\" \"\" 1", "\"a\" null 2", "\"b\" null 1"]);
}

/// While rows are taken in: the rule loses its open windows, is named, and goes on with the next whole one.
#[tokio::test]
async fn an_overflow_costs_the_rule_its_open_windows() {
    let overflow: Request = ("192.0.2.1", None, 200);
    let mut engine = engine("max(factorial(status)) AS n").await;
    let (_, found, troubles) = run(&mut engine, &[&[GOOD], &[GOOD, overflow], &[GOOD]]).await;
    assert_eq!(found, windows(&[("one", 1), ("one", 3), ("other", 1), ("other", 2), ("other", 3)]));
    assert_eq!(troubles.len(), 1, "{troubles:?}");
    assert_eq!((troubles[0].rules.as_slice(), troubles[0].at), (["one".to_owned()].as_slice(), 2 * MINUTE));
    for part in ["the open windows of one are lost", "FACTORIAL", "the next whole window"] {
        assert!(troubles[0].message.contains(part), "{troubles:?}");
    }
    let told = crate::finding::of_trouble(&troubles[0]);
    assert_eq!((told.len(), told[0].rule.as_str()), (1, "tripline/rule-trouble"));
    assert!(told[0].entity["rule"] == "one" && told[0].values["message"].as_str().unwrap().contains("FACTORIAL"));
}

/// A mistake in a function is an error of the rule that calls it, not the end of the program.
#[tokio::test]
async fn a_panic_costs_the_rule_its_open_windows() {
    let boom: Request = ("192.0.2.1", Some("boom"), 5);
    let mut engine = engine("max(explosive(object)) AS o").await;
    let (_, found, troubles) = run(&mut engine, &[&[GOOD], &[GOOD, boom], &[GOOD]]).await;
    assert_eq!(found, windows(&[("one", 1), ("one", 3), ("other", 1), ("other", 2), ("other", 3)]));
    assert_eq!(troubles.len(), 1, "{troubles:?}");
    assert!(troubles[0].message.contains("a function gave up: explosive('boom')"), "{troubles:?}");
}

/// While a window closes: the rule has no answer for that window, and for no other.
#[tokio::test]
async fn what_fails_at_the_close_costs_that_window() {
    for (select, requests, part) in [
        ("factorial(max(status)) AS n", ("192.0.2.1", None, 200), "FACTORIAL"),
        ("explosive(max(object)) AS o", ("192.0.2.1", Some("boom"), 5), "explosive('boom')"),
    ] {
        let mut engine = engine(select).await;
        let (_, found, troubles) = run(&mut engine, &[&[GOOD], &[requests], &[GOOD]]).await;
        assert_eq!(found, windows(&[("one", 1), ("one", 3), ("other", 1), ("other", 2), ("other", 3)]), "{select}");
        assert_eq!(troubles.len(), 1, "{troubles:?}");
        for part in ["the rule one has no answer for the window from 1970-01-01T00:02:00Z", part] {
            assert!(troubles[0].message.contains(part), "{troubles:?}");
        }
    }
}

/// A rule that fails whatever comes is left alone, so that it costs nothing; the other goes on.
#[tokio::test]
async fn three_failures_in_a_row_end_a_rule() {
    let overflow: &[Request] = &[("192.0.2.1", None, 200)];
    let mut engine = engine("max(factorial(status)) AS n").await;
    let (_, found, troubles) = run(&mut engine, &[overflow, overflow, overflow, &[GOOD], &[GOOD]]).await;
    assert_eq!(found, windows(&[("other", 1), ("other", 2), ("other", 3), ("other", 4), ("other", 5)]));
    assert_eq!(troubles.len(), 3, "{troubles:?}");
    assert!(troubles[2].message.contains("will not run again before a restart"), "{troubles:?}");
}

/// A row that came late for a window does not count in it, although a rule with longer windows has use for the row.
#[tokio::test]
async fn a_late_row_is_left_out_where_rows_wait() {
    let rule = |id: &str, window: &str| {
        let sql = format!(
            "/*\ntitle = \"t\"\nentity = [\"client\"]\n*/\nSELECT window_start, window_end, client, count(*) AS n FROM {window} \
             GROUP BY window_start, window_end, client HAVING count(*) >= 2 AND max(status) < 100"
        );
        Rule::parse(id, "rule.sql", &sql).unwrap()
    };
    // (more rows can take back what they find, so nothing looks at open windows, and rows can wait)
    let rules = [
        rule("one", "tumble(requests, ts, INTERVAL '1 minute')"),
        // (of other requests, so that it has a store of its own)
        rule("other", "hop(requests, ts, INTERVAL '1 minute', INTERVAL '10 minutes') WHERE status < 100"),
    ];
    let (mut engine, problems) = Engine::new(&rules, &Keep::new(), &Lookups::default()).await;
    assert!(problems.is_empty(), "{}", problems[0]);
    let late = FileRows { newest_before: Some(3 * MINUTE), ..rows(1, &[GOOD]) };
    engine.push(&[rows(1, &[GOOD]), late]).await.unwrap();
    let found = engine.finish().await.unwrap();
    // Both rows are in the windows that end after the third minute.
    let found: Vec<_> = found.iter().map(|f| (f.rule.id.as_str(), f.end / MINUTE)).collect();
    assert_eq!(found, (4..=11).map(|end| ("other", end)).collect::<Vec<_>>());
}
