//! Kept files against an engine that is never stopped: through stops at every step of a commit, damage and time.

use std::fs;

use arrow::array::{ArrayRef, AsArray, StringViewArray, TimestampMicrosecondArray, new_null_array};
use arrow::datatypes::TimestampMicrosecondType;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::engine::{FileRows, Keep};
use crate::finding::json_rows;
use crate::lookups::Lookups;
use crate::rules::Rule;

const MINUTE: i64 = 60_000_000;

fn rules(columns: &str) -> Vec<Rule> {
    let baseline = format!(
        "/*\ntitle = \"b\"\nkind = \"baseline\"\nentity = [\"client\"]\nmax_age = \"7m\"\n*/\n\
         SELECT window_start, window_end, client, {columns} FROM tumble(requests, ts, INTERVAL '1 minute') \
         GROUP BY window_start, window_end, client"
    );
    let rule = "/*\ntitle = \"r\"\nentity = [\"client\"]\n*/\n\
         WITH w AS (SELECT window_start, window_end, client, count(*) AS n \
         FROM hop(requests, ts, INTERVAL '1 minute', INTERVAL '3 minutes') GROUP BY window_start, window_end, client) \
         SELECT w.*, b.usual FROM w LEFT JOIN usual b ON b.client = w.client \
         AND w.window_start >= b.valid_from AND w.window_start < b.valid_until";
    vec![
        Rule::parse("baselines/usual", "usual.sql", &baseline).unwrap(),
        Rule::parse("test/rule", "rule.sql", rule).unwrap(),
    ]
}

async fn engine(columns: &str) -> Engine {
    let (engine, problems) = Engine::new(&rules(columns), &Keep::new(), &Lookups::default()).await;
    assert!(problems.is_empty(), "{}", problems[0]);
    engine.with_kept_baselines()
}

/// The requests of one minute: of each client one.
async fn take_in(engine: &mut Engine, minute: usize, clients: &[u8]) {
    let ts = i64::try_from(minute).unwrap() * MINUTE;
    let schema = tripline_ingest::schema();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            "ts" => std::sync::Arc::new(TimestampMicrosecondArray::from(vec![ts; clients.len()]).with_timezone("UTC")),
            "client" => {
                std::sync::Arc::new(StringViewArray::from_iter_values(clients.iter().map(|c| format!("client {c}"))))
            }
            _ => new_null_array(field.data_type(), clients.len()),
        }
    });
    let rows = RecordBatch::try_new(schema.clone(), columns.collect()).unwrap();
    engine.push(&[FileRows { rows, newest_before: None, lateness: 0 }]).await.unwrap();
    engine.advance(ts).await.unwrap();
}

/// What the baseline knows, but for what only the newest windows taught it. (Rows that do not hold any more may still be there.)
fn known(engine: &Engine) -> Vec<String> {
    let holds = engine.baselines_seen_from() - 7 * MINUTE;
    let mut known = Vec::new();
    for rows in engine.settled_baseline("usual").unwrap().map(|(_, rows)| rows).unwrap_or_default() {
        let ends = rows.column_by_name("window_end").unwrap().as_primitive::<TimestampMicrosecondType>().clone();
        let rows = json_rows(&rows).unwrap().into_iter().zip(ends.values());
        known.extend(rows.filter(|(_, end)| **end > holds).map(|(row, _)| serde_json::Value::Object(row).to_string()));
    }
    known.sort();
    known
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Stop {
    BeforeTheTransaction,
    AfterTheTransaction,
    AfterTheCommit,
}

/// A process, and what outlives it.
struct World {
    state: TempDir,
    engine_rows: BTreeMap<Vec<u8>, Vec<u8>>,
    file_rows: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Minutes of the log that were taken in, as the transaction knows it.
    read: usize,
    engine: Engine,
    baselines: Baselines,
}

impl World {
    async fn new() -> Self {
        let state = tempfile::tempdir().unwrap();
        let baselines = Baselines::open(state.path(), Checkpoint::default()).unwrap();
        let (engine_rows, file_rows) = (BTreeMap::new(), BTreeMap::new());
        Self { state, engine_rows, file_rows, read: 0, engine: engine("count(*) AS usual").await, baselines }
    }

    fn commit(&mut self, read: usize, stop: Option<Stop>) {
        let changes = self.engine.checkpoint().unwrap();
        let learnt = self.baselines.prepare(&self.engine.take_closed_windows(), &self.engine).unwrap();
        if stop == Some(Stop::BeforeTheTransaction) {
            return;
        }
        changes.deletes.iter().for_each(|key| drop(self.engine_rows.remove(key)));
        self.engine_rows.extend(changes.puts);
        learnt.deletes.iter().for_each(|key| drop(self.file_rows.remove(key)));
        self.file_rows.extend(learnt.puts.clone());
        self.read = read;
        if stop != Some(Stop::AfterTheTransaction) {
            self.baselines.committed(learnt);
        }
    }

    async fn start(&mut self, columns: &str) {
        self.engine = engine(columns).await;
        self.engine.restore(self.engine_rows.clone().into_iter().collect());
        let rows = self.file_rows.clone().into_iter().collect();
        self.baselines = Baselines::open(self.state.path(), Checkpoint { rows, lost: Vec::new() }).unwrap();
        self.baselines.few_rows = 5;
        self.baselines.restore(&mut self.engine);
    }

    fn files(&self) -> BTreeSet<PathBuf> {
        files::files_in(&self.state.path().join(FOLDER)).unwrap()
    }

    fn listed(&self) -> BTreeSet<PathBuf> {
        self.file_rows.keys().map(|key| Name::from_key(key).unwrap().path(&self.baselines.dir)).collect()
    }
}

async fn survives(log: &[Vec<u8>], commits: &[(usize, Option<Stop>)]) {
    let mut undisturbed = engine("count(*) AS usual").await;
    let mut world = World::new().await;
    world.baselines.few_rows = 5;
    for (minutes, stop) in commits.iter().chain([&(log.len(), None)]) {
        let end = (world.read + minutes).min(log.len());
        for (minute, clients) in log.iter().enumerate().take(end).skip(world.read) {
            take_in(&mut world.engine, minute, clients).await;
        }
        world.commit(end, *stop);
        if stop.is_some() {
            world.start("count(*) AS usual").await;
        }
        assert_eq!(world.files(), world.listed());
    }
    assert_eq!(world.read, log.len());
    for (minute, clients) in log.iter().enumerate() {
        take_in(&mut undisturbed, minute, clients).await;
    }
    assert_eq!(known(&world.engine), known(&undisturbed));
    // Seven minutes that hold, three of a window, and the newest rows as one file.
    assert!(world.files().len() <= 12, "{:?}", world.files());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_known_outlives_stops(
        log in proptest::collection::vec(proptest::collection::vec(0u8..6, 0..6), 1..40),
        commits in proptest::collection::vec((1usize..8, proptest::option::of(prop_oneof![
            Just(Stop::BeforeTheTransaction), Just(Stop::AfterTheTransaction), Just(Stop::AfterTheCommit)])), 0..12),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(survives(&log, &commits));
    }
}

/// Files that are cut short or gone cost what was in them, and the baseline is not asked about them again.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_is_left_out() {
    let mut world = World::new().await;
    for minute in 0..8 {
        take_in(&mut world.engine, minute, &[u8::try_from(minute).unwrap()]).await;
    }
    world.commit(8, None);
    let files: Vec<PathBuf> = world.files().into_iter().collect();
    assert_eq!((files.len(), known(&world.engine).len()), (7, 4), "{files:?}");
    fs::remove_file(&files[0]).unwrap();
    let bytes = fs::read(&files[1]).unwrap();
    fs::write(&files[1], &bytes[..bytes.len() - 9]).unwrap();
    fs::write(files[2].with_file_name("a note.txt"), "not ours").unwrap();
    world.start("count(*) AS usual").await;
    assert_eq!(known(&world.engine).len(), 2);
    world.commit(8, None);
    world.start("count(*) AS usual").await;
    assert_eq!(world.files(), files[2..].iter().cloned().collect());
    assert!(files[2].with_file_name("a note.txt").is_file());
}

/// A baseline with other columns than before starts afresh.
#[tokio::test(flavor = "multi_thread")]
async fn other_columns_start_afresh() {
    let mut world = World::new().await;
    for minute in 0..6 {
        take_in(&mut world.engine, minute, &[1]).await;
    }
    world.commit(6, None);
    world.start("max(status) AS most, count(*) AS usual").await;
    assert_eq!(known(&world.engine), Vec::<String>::new());
    assert!(world.baselines.listed.is_empty());
}

/// A disk that refuses: nothing is lost, and the next attempt writes the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_attempt_can_be_made_again() {
    let mut world = World::new().await;
    for minute in 0..3 {
        take_in(&mut world.engine, minute, &[1]).await;
    }
    let closed = world.engine.take_closed_windows();
    fs::create_dir(world.state.path().join(FOLDER)).unwrap();
    let folder = world.state.path().join(FOLDER).join("usual");
    fs::write(&folder, "in the way").unwrap();
    let error = world.baselines.prepare(&closed, &world.engine).unwrap_err();
    assert!(error.may_pass() && error.to_string().contains("baselines/usual"), "{error}");
    fs::remove_file(&folder).unwrap();
    assert_eq!(world.baselines.prepare(&closed, &world.engine).unwrap().puts.len(), 2);
}
