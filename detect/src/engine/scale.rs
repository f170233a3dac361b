//! A baseline of many clients, hour by hour: what its rows take in memory and how long it takes to close an hour.
//! `TRIPLINE_KEYS=1000000 TRIPLINE_HOURS=6 cargo test -p tripline baselines_at_scale -- --ignored --nocapture`, which
//! `python3 tests/bench baselines` runs.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, RecordBatch, StringViewArray, TimestampMicrosecondArray, UInt16Array, new_null_array};

use super::{Engine, FileRows, Keep};
use crate::lookups::Lookups;
use crate::rules::Rule;

const HOUR: i64 = 3_600_000_000;
const BASELINE: &str = "/*\ntitle = \"b\"\nkind = \"baseline\"\nentity = [\"client\", \"route\"]\nmax_age = \"14d\"\n*/\n\
    SELECT window_start, window_end, client, route, count(*) AS requests, approx_distinct(object) AS objects \
    FROM tumble(requests, ts, INTERVAL '1 hour') GROUP BY window_start, window_end, client, route";
/// Few clients have two requests in an hour.
const RULE: &str = "/*\ntitle = \"r\"\nentity = [\"client\", \"route\"]\n*/\n\
    WITH w AS (SELECT window_start, window_end, client, route, count(*) AS n FROM tumble(requests, ts, INTERVAL '1 hour') \
               GROUP BY window_start, window_end, client, route HAVING count(*) >= 2) \
    SELECT w.*, b.requests FROM w LEFT JOIN client_hours b ON b.client = w.client AND b.route = w.route \
    AND w.window_start >= b.valid_from AND w.window_start < b.valid_until";

fn requests(clients: std::ops::Range<u32>, ts: i64) -> FileRows {
    let schema = tripline_ingest::schema();
    let n = clients.len();
    let address = |c: u32| format!("{}.{}.{}.{}", 11 + (c >> 24), c >> 16 & 255, c >> 8 & 255, c & 255);
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            "ts" => Arc::new(TimestampMicrosecondArray::from(vec![ts; n]).with_timezone("UTC")),
            "client" => Arc::new(StringViewArray::from_iter_values(clients.clone().map(address))),
            "route" => Arc::new(StringViewArray::from_iter_values(
                clients.clone().map(|c| format!("/v1/things/number-{}/{{id}}", c % 50)),
            )),
            "status" => Arc::new(UInt16Array::from(vec![200; n])),
            _ => new_null_array(field.data_type(), n),
        }
    });
    let rows = RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap();
    FileRows { rows, newest_before: None, lateness: 0 }
}

fn number(variable: &str, default: u32) -> u32 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("a line");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") >> 10
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn baselines_at_scale() {
    let (keys, hours) = (number("TRIPLINE_KEYS", 1_000_000), number("TRIPLINE_HOURS", 6));
    let rules = [
        Rule::parse("baselines/client-hours", "baseline.sql", BASELINE).unwrap(),
        Rule::parse("test/rule", "rule.sql", RULE).unwrap(),
    ];
    let (mut engine, problems) = Engine::new(&rules, &Keep::new(), &Lookups::default()).await;
    assert!(problems.is_empty(), "{}", problems[0]);
    for hour in 0..i64::from(hours) {
        for from in (0..keys).step_by(8192) {
            engine.push(&[requests(from..keys.min(from + 8192), hour * HOUR + 1)]).await.unwrap();
        }
        engine.push(&[requests(0..10, hour * HOUR + 2)]).await.unwrap();
        let begun = Instant::now();
        let found = engine.advance((hour + 1) * HOUR).await.unwrap();
        let elapsed = begun.elapsed();
        let closed = found.iter().filter(|f| f.early.is_none());
        assert_eq!(closed.map(|f| f.rows.num_rows()).sum::<usize>(), 10);
        let (_, rows, bytes) = engine.baseline_sizes().next().expect("a baseline");
        println!(
            "{}",
            serde_json::json!({ "hour": hour, "close_ms": elapsed.as_millis(), "rows": rows, "bytes": bytes,
                                "bytes_a_key": bytes / keys as usize, "resident_mib": resident() })
        );
    }
}
