//! The invariant: for any rule and any log, the engine's closed rows equal one plain query over the whole log.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray, UInt16Array, UInt64Array,
    new_null_array,
};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use proptest::prelude::*;
use serde_json::Value;

use super::lateness::FileRows;
use super::lookups_of_the_tests as lookups;
use super::{Engine, Keep};
use crate::finding::json_rows;
use crate::query::{BatchSession, with_watermark, with_watermark_schema};
use crate::rules::Rule;

/// A request of a made-up log.
#[derive(Debug, Clone)]
struct Row {
    ts: i64,
    client: u8,
    object: Option<u8>,
    status: u16,
    bytes: Option<u8>,
    /// Eighths, so that sums of floats are exact.
    eighths: u8,
}

/// A log: files, each with its lateness in seconds and its rows in the file's order.
type Log = Vec<(i64, Vec<Row>)>;

#[derive(Debug, Clone)]
enum Step {
    /// Take in the next so many rows of a file.
    Push { file: usize, rows: usize },
    /// Stop, and go on from the checkpoint; whether all that baselines know is kept as one.
    Restart { whole: bool },
    /// Go on with other rules, which happen to be the same.
    Reload,
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (
        -40i64..40,
        0u8..4,
        proptest::option::weighted(0.8, 0u8..9),
        prop_oneof![Just(200u16), Just(404), Just(401)],
        proptest::option::of(any::<u8>()),
        any::<u8>(),
    );
    // A walk: mostly forwards, sometimes back, with ties and gaps, from before 1970.
    proptest::collection::vec(row, 0..60).prop_map(|rows| {
        let mut clock = -600;
        rows.into_iter()
            .map(|(step, client, object, status, bytes, eighths)| {
                clock += if step > 35 { step * 40 } else { step / 2 };
                Row { ts: clock * 1_000_000 + i64::from(eighths), client, object, status, bytes, eighths }
            })
            .collect()
    })
}

fn log() -> impl Strategy<Value = Log> {
    proptest::collection::vec((0i64..90, rows()), 1..4)
}

fn windows() -> impl Strategy<Value = String> {
    let slide = prop_oneof![Just(10), Just(15), Just(60)];
    (slide, 1i64..5, any::<bool>()).prop_map(|(slide, n, tumble)| {
        if tumble {
            format!("tumble(requests, ts, INTERVAL '{} seconds')", slide * n)
        } else {
            format!("hop(requests, ts, INTERVAL '{slide} seconds', INTERVAL '{} seconds')", slide * n)
        }
    })
}

fn aggregates() -> impl Strategy<Value = Vec<&'static str>> {
    proptest::sample::subsequence(
        vec![
            "count(*) AS n",
            "count(object) AS objects",
            "approx_distinct(object) AS about",
            "sum(bytes_out) AS bytes",
            "min(ts) AS first",
            "max(object) AS last",
            "avg(duration_ms) AS mean",
            "count(*) FILTER (WHERE status = 200) AS ok",
            "sum(CAST(object AS BIGINT)) AS ids",
            "sum(100 / (status - 200)) AS inverse",
            "bool_or(status = 401) AS refused",
            "sum(duration_ms) AS time",
            "min(duration_ms) AS least",
            "approx_distinct(status) AS statuses",
            "approx_distinct(object) FILTER (WHERE status = 200) AS read",
        ],
        1..5,
    )
}

/// SQL of a rule whose entity is `client`. `{window}` and `{aggregates}` are drawn apart.
fn shapes() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        4 => Just("SELECT window_start, window_end, client, {aggregates} FROM {window} GROUP BY window_start, window_end, client"),
        2 => Just("SELECT window_start, window_end, client, {aggregates} FROM {window} WHERE status = 200 AND object IS NOT NULL \
              GROUP BY window_start, window_end, client HAVING count(*) >= 2"),
        // Settled by rows of an open window.
        2 => Just("SELECT window_start, window_end, client, {aggregates} FROM {window} \
              GROUP BY window_start, window_end, client HAVING approx_distinct(object) >= 3"),
        1 => Just("SELECT window_start, window_end, client, {aggregates} FROM {window} GROUP BY window_start, window_end, client \
              HAVING count(*) >= 2 AND sum(bytes_out) >= 300 AND NOT bool_and(coalesce(status = 200, false))"),
        1 => Just("WITH w AS (SELECT window_start, window_end, client, count(*) AS n, approx_distinct(object) AS objects, \
              bool_and(status = 200) AS fine FROM {window} GROUP BY window_start, window_end, client HAVING count(*) >= 3) \
              SELECT w.window_start, w.window_end, w.client, w.n, w.objects, b.usual \
              FROM w LEFT JOIN usual b ON b.client = w.client AND w.window_start >= b.valid_from AND w.window_start < b.valid_until \
              WHERE w.n >= 2 * coalesce(b.usual, 1) AND w.n >= CASE WHEN w.fine THEN 6 ELSE 2 END"),
        2 => having_shapes(),
        // Aggregated only where there are enough rows.
        2 => Just("WITH a AS (SELECT window_start, window_end, client, object, count(*) AS n, sum(CAST(object AS BIGINT)) AS ids, \
              approx_distinct(client) AS one, avg(duration_ms) FILTER (WHERE status = 200) AS mean FROM {window} \
              GROUP BY window_start, window_end, client, object HAVING count(*) >= 2) \
              SELECT window_start, window_end, client, count(*) AS objects, sum(n) AS n, sum(ids) AS ids, sum(one) AS one, max(mean) AS most \
              FROM a GROUP BY window_start, window_end, client"),
        1 => Just("SELECT window_start, window_end, 'all' AS client, count(DISTINCT object) AS objects FROM {window} \
              GROUP BY window_start, window_end"),
        1 => Just("WITH a AS (SELECT window_start, window_end, client, {aggregates} FROM {window} GROUP BY window_start, window_end, client), \
              b AS (SELECT window_start, count(*) AS everybody FROM {window} WHERE status <> 404 GROUP BY window_start) \
              SELECT a.*, b.everybody FROM a JOIN b ON a.window_start = b.window_start"),
        1 => Just("WITH a AS (SELECT window_start, window_end, client, object, count(*) AS n FROM {window} GROUP BY window_start, window_end, client, object) \
              SELECT window_start, window_end, client, count(*) AS objects, sum(n) AS n, max(n) AS most FROM a GROUP BY window_start, window_end, client"),
        1 => Just("SELECT * FROM (SELECT window_start, window_end, client, count(*) AS n, \
              row_number() OVER (PARTITION BY window_start ORDER BY count(*) DESC, client) AS place \
              FROM {window} GROUP BY window_start, window_end, client) WHERE place <= 2 AND window_start > TIMESTAMP '1969-12-31T23:52:00Z'"),
        1 => Just("SELECT window_start, window_end, client, count(*) AS n FROM {window} GROUP BY window_start, window_end, client \
              UNION ALL SELECT window_start, window_end, 'sum' AS client, count(*) AS n FROM {window} GROUP BY window_start, window_end"),
        1 => Just("SELECT DISTINCT window_start, window_end, client FROM {window}"),
        2 => lookup_shapes(),
        2 => over_baselines(),
        1 => Just("WITH w AS (SELECT window_start, window_end, client, count(*) AS n FROM {window} GROUP BY window_start, window_end, client) \
              SELECT w.*, b.peer_group, b.peers, round(b.outlier_score, 3) AS score, b.p_value, b.top_feature, b.usual_typical, b.mean_spread \
              FROM w LEFT JOIN usual b ON b.client = w.client AND w.window_start >= b.valid_from AND w.window_start < b.valid_until"),
        2 => Just("WITH w AS (SELECT window_start, window_end, client, count(*) AS n FROM {window} GROUP BY window_start, window_end, client) \
              SELECT w.*, b.usual FROM w LEFT JOIN usual b ON b.client = w.client AND w.window_start >= b.valid_from AND w.window_start < b.valid_until"),
    ]
}

/// Conditions that say in roundabout ways how many rows a group must have.
fn having_shapes() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        "SELECT window_start, window_end, client, {aggregates} FROM {window} GROUP BY window_start, window_end, client \
         HAVING count(object) * count(object) / count(*) >= 3",
        "SELECT window_start, window_end, client, {aggregates} FROM {window} GROUP BY window_start, window_end, client \
         HAVING sum(CASE WHEN status = 200 THEN 1 ELSE 0 END) * 2 > count(*) + 1 AND NOT (count(*) < 4)",
        "SELECT window_start, window_end, client, {aggregates} FROM {window} GROUP BY window_start, window_end, client \
         HAVING sqrt(count(object)) * 3.0 > 5.1 OR CAST(count(*) AS DOUBLE) / 4 >= 1.25",
        "SELECT window_start, window_end, client, {aggregates} FROM {window} GROUP BY window_start, window_end, client \
         HAVING (count(*) - count(object)) * 10 BETWEEN 15 AND 25",
        "WITH w AS (SELECT window_start, window_end, client, count(*) AS n, count(bytes_out) AS sized, min(status) AS least \
         FROM {window} GROUP BY window_start, window_end, client) \
         SELECT * FROM w WHERE CASE WHEN least = 200 THEN sized ELSE n - 1 END >= 2 AND round(n / 2.0) = 2",
        "SELECT window_start, window_end, client, {aggregates} FROM {window} GROUP BY window_start, window_end, client \
         HAVING (sum(bytes_out) + 1) / (count(*) + 1) > 100 AND count(DISTINCT object) <> 0 AND greatest(count(*), 2) > 2",
    ])
}

/// Windows over what a baseline learns, alone and beside windows over requests, lookups and the baseline itself.
fn over_baselines() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        "SELECT window_start, window_end, client, sum(usual) AS n, max(mean) AS most, count(*) AS minutes, max(ts) AS last \
         FROM hop(usual, ts, INTERVAL '2 minutes', INTERVAL '6 minutes') WHERE usual > 1 GROUP BY window_start, window_end, client \
         HAVING count(*) >= 2",
        "SELECT window_start, window_end, 'all' AS client, sum(usual) AS n, approx_distinct(client) AS clients \
         FROM tumble(usual, ts, INTERVAL '1 minute') GROUP BY window_start, window_end",
        "WITH o AS (SELECT window_start, window_end, client, max(usual) AS n FROM hop(usual, ts, INTERVAL '1 minute', INTERVAL '3 minutes') \
         GROUP BY window_start, window_end, client), w AS (SELECT window_start, client, count(*) AS n \
         FROM hop(requests, ts, INTERVAL '1 minute', INTERVAL '3 minutes') GROUP BY window_start, client) \
         SELECT o.*, w.n AS all_n, b.usual FROM o JOIN w ON w.window_start = o.window_start AND w.client = o.client \
         LEFT JOIN usual b ON b.client = o.client AND o.window_start >= b.valid_from AND o.window_start < b.valid_until",
        "WITH a AS (SELECT window_start, window_end, u.client, max(p.tier) AS tier, sum(usual) AS n FROM tumble(usual, ts, INTERVAL '4 minutes') u \
         LEFT JOIN partners p ON p.client = u.client GROUP BY window_start, window_end, u.client), \
         b AS (SELECT window_start, count(*) AS rows FROM tumble(usual, ts, INTERVAL '4 minutes') GROUP BY window_start) \
         SELECT a.*, b.rows FROM a JOIN b ON b.window_start = a.window_start",
    ])
}

/// Joins with a lookup, below the aggregate and above.
fn lookup_shapes() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        "SELECT window_start, window_end, r.client, max(p.tier) AS tier, count(*) AS n, sum(bytes_out) AS bytes FROM {window} r \
         LEFT JOIN partners p ON p.client = r.client AND r.ts >= p.since GROUP BY window_start, window_end, r.client",
        "WITH a AS (SELECT window_start, window_end, r.client, max(p.tier) AS tier, count(*) AS n FROM {window} r \
         LEFT JOIN partners p ON p.client = r.client GROUP BY window_start, window_end, r.client), \
         b AS (SELECT window_start, count(*) AS known FROM {window} r JOIN partners p ON p.client = r.client GROUP BY window_start) \
         SELECT a.*, b.known FROM a LEFT JOIN b ON b.window_start = a.window_start",
        "SELECT window_start, window_end, client, {aggregates} FROM {window} WHERE client NOT IN (SELECT client FROM partners WHERE tier > 1) \
         GROUP BY window_start, window_end, client",
        "SELECT window_start, window_end, client, {aggregates} FROM {window} WHERE object NOT IN (SELECT CAST(tier AS VARCHAR) FROM partners) \
         GROUP BY window_start, window_end, client",
        "SELECT window_start, window_end, client, {aggregates} FROM {window} WHERE status > (SELECT max(tier) FROM partners) \
         AND bytes_out IN (SELECT tier FROM partners) GROUP BY window_start, window_end, client",
        "WITH w AS (SELECT window_start, window_end, client, count(*) AS n FROM {window} GROUP BY window_start, window_end, client) \
         SELECT w.*, coalesce(p.tiers, 0) AS tiers FROM w LEFT JOIN (SELECT client, count(*) AS tiers, max(since) AS since FROM partners GROUP BY client) p \
         ON p.client = w.client AND w.window_start >= p.since",
        "SELECT window_start, window_end, r.client, count(*) AS n FROM partners p JOIN {window} r ON p.client <= r.client AND r.object IS NOT NULL \
         GROUP BY window_start, window_end, r.client HAVING count(*) > (SELECT min(tier) FROM partners)",
    ])
}

const BASELINE: &str = "/*\ntitle = \"b\"\nkind = \"baseline\"\nentity = [\"client\"]\nmax_age = \"7m\"\n\
    peers = { features = [\"usual\", \"mean\"], min_members = 2, groups = 3 }\n*/\n\
    SELECT window_start, window_end, client, count(*) AS usual, avg(duration_ms) AS mean FROM tumble(requests, ts, INTERVAL '60 seconds') GROUP BY window_start, window_end, client";

/// SQL of rules that run together: what they have in common they share.
fn several() -> impl Strategy<Value = Vec<String>> {
    let rule = (windows(), aggregates(), shapes());
    let rule = rule.prop_map(|(window, aggregates, shape)| {
        shape.replace("{window}", &window).replace("{aggregates}", &aggregates.join(", "))
    });
    proptest::collection::vec(rule, 1..4)
}

/// The baseline, then the rules.
fn rules(sql: &[String]) -> Vec<Rule> {
    let header = "/*\ntitle = \"t\"\nentity = [\"client\"]\n*/\n";
    let rule =
        |(n, sql): (usize, &String)| Rule::parse(&format!("test/{n}"), "rule.sql", &format!("{header}{sql}")).unwrap();
    let baseline = Rule::parse("baselines/usual", "usual.sql", BASELINE).unwrap();
    std::iter::once(baseline).chain(sql.iter().enumerate().map(rule)).collect()
}

fn batch(rows: &[Row]) -> RecordBatch {
    let schema = tripline_ingest::schema();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            "ts" => {
                Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(|r| r.ts)).with_timezone("UTC"))
            }
            "client" => Arc::new(StringViewArray::from_iter_values(
                rows.iter().map(|r| format!("client-{}-of-the-test", r.client)),
            )),
            // One object in nine is no number: a cast of it fails.
            "object" => Arc::new(
                rows.iter()
                    .map(|r| r.object.map(|o| if o == 8 { "x".into() } else { o.to_string() }))
                    .collect::<StringViewArray>(),
            ),
            "status" => Arc::new(rows.iter().map(|r| Some(r.status)).collect::<UInt16Array>()),
            "bytes_out" => Arc::new(rows.iter().map(|r| r.bytes.map(u64::from)).collect::<UInt64Array>()),
            "duration_ms" => Arc::new(rows.iter().map(|r| Some(f64::from(r.eighths) / 8.0)).collect::<Float64Array>()),
            _ => new_null_array(field.data_type(), rows.len()),
        }
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap()
}

#[derive(Debug)]
struct Rows(arrow::datatypes::SchemaRef, Vec<RecordBatch>);

impl PartitionStream for Rows {
    fn schema(&self) -> &arrow::datatypes::SchemaRef {
        &self.0
    }
    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let batches: Vec<_> = self.1.iter().cloned().map(Ok).collect();
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.0), futures::stream::iter(batches)))
    }
}

/// One query over the whole log.
async fn oracle(rules: &[Rule], log: &Log) -> Vec<String> {
    let file = |(lateness, rows): &(i64, Vec<Row>)| {
        let file = FileRows { rows: batch(rows), newest_before: None, lateness: lateness * 1_000_000 };
        Arc::new(Rows(with_watermark_schema(), vec![with_watermark(&file).unwrap()])) as Arc<dyn PartitionStream>
    };
    let session = BatchSession::new(log.iter().map(file).collect(), rules, Keep::new(), &lookups(), 2).await.unwrap();
    let mut all = Vec::new();
    for rule in &rules[1..] {
        let plan = session.plan(rule).await.unwrap();
        let (_, rows) = session.rows(plan).await.unwrap();
        all.extend(rows.iter().flat_map(|rows| rows_of(rule, rows)));
    }
    sorted(&all)
}

/// The rows, each with its rule's id.
fn rows_of(rule: &Rule, rows: &RecordBatch) -> Vec<Value> {
    let named = |mut row: serde_json::Map<String, Value>| {
        row.insert("rule".into(), rule.id.as_str().into());
        Value::Object(row)
    };
    json_rows(rows).unwrap().into_iter().map(named).collect()
}

fn sorted(rows: &[Value]) -> Vec<String> {
    let mut rows: Vec<_> = rows.iter().map(Value::to_string).collect();
    rows.sort();
    rows
}

/// The engine over the log in steps, with restarts from its checkpoint: the rows of closed windows, and those told early.
async fn live(rules: &[Rule], log: &Log, steps: &[Step]) -> (Vec<String>, Vec<Value>) {
    let (engine, problems) = Engine::new(rules, &Keep::new(), &lookups()).await;
    assert!(problems.is_empty(), "{}", problems[0]);
    let mut engine = engine.with_kept_baselines();
    let mut kept = Kept::default();
    let mut stored: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut read: Vec<usize> = vec![0; log.len()];
    let (mut found, mut told) = (Vec::new(), Vec::new());
    let rest = (0..log.len()).map(|file| Step::Push { file, rows: usize::MAX });
    for step in steps.iter().cloned().chain(rest) {
        match step {
            Step::Push { file, rows } => {
                let file = file % log.len();
                let (lateness, all) = (log[file].0 * 1_000_000, &log[file].1);
                let end = read[file].saturating_add(rows).min(all.len());
                let newest_before = all[..read[file]].iter().map(|r| r.ts).max();
                let rows = FileRows { rows: batch(&all[read[file]..end]), newest_before, lateness };
                for early in engine.push(&[rows]).await.unwrap() {
                    told.extend(rows_of(&early.rule, &early.rows));
                }
                read[file] = end;
                // The least over the files that have rows left: each by its newest row, or by its first if none was read.
                let open = log.iter().zip(&read).filter(|((_, rows), read)| **read < rows.len());
                let watermark = open.map(|((lateness, rows), read)| {
                    rows[..(*read).max(1)].iter().map(|r| r.ts).max().unwrap() - lateness * 1_000_000
                });
                let closed = engine.advance(watermark.min().unwrap_or(i64::MAX)).await.unwrap();
                found.extend(closed.iter().flat_map(|c| rows_of(&c.rule, &c.rows)));
            }
            Step::Reload => {
                let new = Engine::new(rules, &Keep::new(), &lookups()).await.0.with_kept_baselines();
                assert_eq!(engine.take_over(new).unwrap(), Vec::<String>::new());
                stored.clear();
            }
            Step::Restart { whole } => {
                let changes = engine.checkpoint().unwrap();
                stored.extend(changes.puts);
                changes.deletes.iter().for_each(|key| drop(stored.remove(key)));
                kept.take(&mut engine, whole);
                engine = Engine::new(rules, &Keep::new(), &lookups()).await.0.with_kept_baselines();
                let (notices, left) = engine.restore(stored.clone().into_iter().collect());
                assert!(notices.is_empty() && left.deletes.is_empty(), "{notices:?} {:?}", left.deletes);
                kept.give_back(&mut engine);
            }
        }
    }
    assert_eq!(engine.take_troubles(), []);
    (sorted(&found), told)
}

/// The rows of baselines' closed windows, as somebody keeps them.
#[derive(Default)]
struct Kept(BTreeMap<i64, Vec<RecordBatch>>);

impl Kept {
    /// Takes what was closed. `whole`: and what is newest in place of the windows that it comes from.
    fn take(&mut self, engine: &mut Engine, whole: bool) {
        self.0.extend(engine.take_closed_windows().into_iter().map(|closed| (closed.end, vec![closed.rows])));
        if let Some((end, rows)) = engine.settled_baseline("usual").unwrap().filter(|_| whole) {
            self.0.retain(|&other, _| other > end);
            self.0.insert(end, rows);
        }
    }

    fn give_back(&self, engine: &mut Engine) {
        for (end, rows) in &self.0 {
            let rows = arrow::compute::concat_batches(&engine.baseline_schema("usual").unwrap(), rows).unwrap();
            engine.restore_baseline("usual", *end, &rows).unwrap();
        }
    }
}

/// Rule, window and client: what an early row and its confirmation have in common.
fn identity(row: &Value) -> [Value; 4] {
    ["rule", "window_start", "window_end", "client"].map(|key| row[key].clone())
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![4 => (0usize..4, 1usize..30).prop_map(|(file, rows)| Step::Push { file, rows }), 1 => any::<bool>().prop_map(|whole| Step::Restart { whole }), 1 => Just(Step::Reload)];
    proptest::collection::vec(step, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn live_equals_batch(log in log(), sql in several(), steps in steps(), threads in prop_oneof![Just(1usize), Just(2), Just(8)]) {
        let rules = rules(&sql);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).build().unwrap();
        let ((live, early), batch) = runtime.block_on(async { (live(&rules, &log, &steps).await, oracle(&rules, &log).await) });
        prop_assert_eq!(&live, &batch, "{}", sql.join("\n"));
        let closed: Vec<_> = batch.iter().map(|row| identity(&serde_json::from_str(row).unwrap())).collect();
        for row in early {
            prop_assert!(closed.contains(&identity(&row)), "{}\ntold early and not confirmed: {}", sql.join("\n"), row);
        }
    }
}

/// How many cases: `TRIPLINE_CASES` for a long run.
fn cases() -> u32 {
    std::env::var("TRIPLINE_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(1000)
}
