//! Kills at any step of a history's life: each row that was committed is in it once.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringViewArray, TimestampMicrosecondArray, UInt64Array, new_null_array};
use arrow::datatypes::UInt64Type;
use proptest::prelude::*;
use tempfile::TempDir;
use tripline_ingest::table::columns::{OFFSET, SOURCE};

use super::read::ParquetFile;
use super::*;

const HOUR: i64 = 3_600_000_000;

/// Rows of `requests` at these times, numbered by `offset` from `first` on.
fn rows(times: &[i64], first: u64) -> RecordBatch {
    let schema = tripline_ingest::schema();
    let column = |field: &arrow::datatypes::FieldRef| -> ArrayRef {
        match field.name().as_str() {
            "ts" => Arc::new(TimestampMicrosecondArray::from(times.to_vec()).with_timezone("UTC")),
            "client" | "source" => {
                Arc::new(StringViewArray::from_iter_values(times.iter().map(|_| "192.0.2.7, at length")))
            }
            "offset" => Arc::new(UInt64Array::from_iter_values((first..).take(times.len()))),
            _ => new_null_array(field.data_type(), times.len()),
        }
    };
    RecordBatch::try_new(schema.clone(), schema.fields().iter().map(column).collect()).unwrap()
}

/// The state's rows in the place of a database, and the files.
struct World {
    dir: TempDir,
    state: BTreeMap<Vec<u8>, Vec<u8>>,
    config: config::History,
    now: Instant,
}

impl World {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let config = config::History { dir: Some(dir.path().join("history")), ..config::History::default() };
        Self { dir, state: BTreeMap::new(), config, now: Instant::now() }
    }

    fn open(&self) -> Result<History, HistoryError> {
        let rows = self.state.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        History::open(&self.config, rows, self.now).map(|history| history.unwrap())
    }

    /// Another process goes on. A thread cannot be killed: it ends first, and what it wrote is not listed.
    fn kill(&self, mut history: History) -> History {
        history.wait(self.now);
        drop(history);
        self.open().unwrap()
    }

    fn write(&mut self, step: &Step) {
        for key in &step.deletes {
            self.state.remove(key);
        }
        self.state.extend(step.puts.iter().cloned());
    }

    fn commit(&mut self, history: &mut History, watermark: i64) {
        let step = history.prepare(watermark, i64::MAX, self.now).unwrap();
        self.write(&step);
        history.committed(step, self.now);
    }

    /// Everything to files, and the files' rows: number and time, file by file.
    fn finish(&mut self, mut history: History, watermark: i64) -> Vec<Vec<(u64, i64)>> {
        self.commit(&mut history, watermark);
        while history.flush(self.now) {
            self.commit(&mut history, watermark);
        }
        self.files()
    }

    fn files(&self) -> Vec<Vec<(u64, i64)>> {
        let dir = self.config.dir.as_ref().unwrap();
        layout::files_in(dir).unwrap().iter().filter(|path| !is_hidden(path)).map(|path| read(path, dir)).collect()
    }
}

/// Reads a file, whose rows are in order, of its folder's hour, and described by what stands in its end.
fn read(path: &Path, dir: &Path) -> Vec<(u64, i64)> {
    let file = ParquetFile::probe(path).unwrap();
    let mut all = Vec::new();
    for batch in file.open().unwrap() {
        let batch = batch.unwrap();
        let ts = batch.column(TS).as_primitive::<TimestampMicrosecondType>();
        let number = batch.column(OFFSET).as_primitive::<UInt64Type>();
        assert_eq!(batch.column(SOURCE).as_string_view().value(0), "192.0.2.7, at length");
        all.extend(number.values().iter().copied().zip(ts.values().iter().copied()));
    }
    assert!(all.is_sorted_by_key(|(number, ts)| (*ts, *number)), "{all:?}");
    assert_eq!((file.rows, file.first_ts), (all.len() as u64, all[0].1));
    let folder = path.parent().unwrap().strip_prefix(dir).unwrap().to_str().unwrap();
    assert!(all.iter().all(|(_, ts)| Hour::of(*ts).folder() == folder), "{folder}: {all:?}");
    all
}

/// One thing that happens.
#[derive(Debug, Clone)]
enum Event {
    /// Rows are read: hours and minutes.
    Rows(Vec<(i64, i64)>),
    /// Event time goes on to this hour, and what there is is committed.
    Commit(i64),
    /// Killed before the transaction.
    KillBefore,
    /// Killed after it, before anything else.
    KillAfter(i64),
    /// The thread's file is ready.
    Wait,
    /// Five minutes of clock time.
    Pause,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => prop::collection::vec((0..4_i64, 0..60_i64), 1..6).prop_map(Event::Rows),
        4 => (0..6_i64).prop_map(Event::Commit),
        1 => Just(Event::KillBefore),
        1 => (0..6_i64).prop_map(Event::KillAfter),
        3 => Just(Event::Wait),
        1 => Just(Event::Pause),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn each_committed_row_is_there_once(events in prop::collection::vec(event(), 1..60)) {
        let mut world = World::new();
        let mut history = world.open().unwrap();
        let (mut next, mut uncommitted, mut expected) = (0, Vec::new(), Vec::new());
        for event in events {
            match event {
                Event::Rows(times) => {
                    let times: Vec<i64> = times.iter().map(|(h, m)| h * HOUR + m * 60_000_000).collect();
                    history.add(&rows(&times, next)).unwrap();
                    uncommitted.extend((next..).zip(times.iter().copied()));
                    next += times.len() as u64;
                }
                Event::Commit(hour) => {
                    world.commit(&mut history, hour * HOUR);
                    expected.append(&mut uncommitted);
                }
                Event::KillBefore => {
                    history.prepare(0, i64::MAX, world.now).unwrap();
                    history = world.kill(history);
                    uncommitted.clear();
                }
                Event::KillAfter(hour) => {
                    let step = history.prepare(hour * HOUR, i64::MAX, world.now).unwrap();
                    world.write(&step);
                    history = world.kill(history);
                    expected.append(&mut uncommitted);
                }
                Event::Wait => history.wait(world.now),
                Event::Pause => world.now += Duration::from_mins(5),
            }
        }
        expected.append(&mut uncommitted);
        let mut found: Vec<_> = world.finish(history, 6 * HOUR).concat();
        found.sort_unstable();
        prop_assert_eq!(&found, &expected);
        // The same after a restart, which finds nothing to put in order.
        let before = layout::files_in(world.config.dir.as_ref().unwrap()).unwrap();
        drop(world.open().unwrap());
        prop_assert_eq!(before, layout::files_in(world.config.dir.as_ref().unwrap()).unwrap());
    }
}

/// A file that the process died over is not taken for one of the history.
#[test]
fn half_a_file_is_removed() {
    let mut world = World::new();
    let mut history = world.open().unwrap();
    history.add(&rows(&[0], 0)).unwrap();
    world.commit(&mut history, 0);
    drop(history);
    let half = FileName { hour: Hour(0), number: 7 };
    let dir = world.config.dir.clone().unwrap();
    std::fs::create_dir_all(half.path(&dir).parent().unwrap()).unwrap();
    std::fs::write(half.hidden_path(&dir), "PAR1").unwrap();
    std::fs::write(half.path(&dir), "PAR1").unwrap();
    let history = world.open().unwrap();
    assert!(!half.hidden_path(&dir).exists() && !half.path(&dir).exists());
    assert_eq!(world.finish(history, 0).concat(), [(0, 0)]);
}

#[test]
fn an_hour_that_is_over_is_one_file_and_a_late_row_another() {
    let mut world = World::new();
    let mut history = world.open().unwrap();
    for i in 0..10 {
        history.add(&rows(&[i * 60_000_000, HOUR - 1], 2 * i.unsigned_abs())).unwrap();
        world.commit(&mut history, 0);
        world.now += Duration::from_mins(5);
        history.wait(world.now);
    }
    let files = world.finish(history, HOUR);
    assert_eq!(files.iter().map(Vec::len).collect::<Vec<_>>(), [20]);

    let mut history = world.open().unwrap();
    history.add(&rows(&[5], 100)).unwrap();
    let files = world.finish(history, 2 * HOUR);
    assert_eq!(files.iter().map(Vec::len).sum::<usize>(), 21);
    assert!(files.iter().any(|rows| rows.contains(&(100, 5))));
}

#[test]
fn old_hours_go() {
    let mut world = World::new();
    world.config.keep = 2 * HOUR;
    let mut history = world.open().unwrap();
    history.add(&rows(&[0, HOUR, 2 * HOUR, 3 * HOUR], 0)).unwrap();
    let files = world.finish(history, HOUR);
    assert_eq!(files.len(), 4);
    let mut history = world.open().unwrap();
    // What is too old already is not written first.
    history.add(&rows(&[1], 10)).unwrap();
    let files = world.finish(history, 4 * HOUR);
    assert_eq!(files.concat(), [(2, 2 * HOUR), (3, 3 * HOUR)]);
    assert!(!world.config.dir.as_ref().unwrap().join("date=1970-01-01/hour=00").exists());

    world.config.max_bytes = 1;
    let history = world.open().unwrap();
    assert_eq!(world.finish(history, 4 * HOUR).concat(), [(3, 3 * HOUR)]);
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let mut world = World::new();
    let dir = world.config.dir.clone().unwrap();
    let folder = dir.join("date=1970-01-01/hour=00");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("notes.txt"), "x").unwrap();
    let mut history = world.open().unwrap();
    history.add(&rows(&[0], 0)).unwrap();
    assert_eq!(world.finish(history, 0).len(), 1);
    assert!(folder.join("notes.txt").exists());

    // A state that knows nothing of these files does not delete them.
    world.state.clear();
    let error = world.open().err().unwrap().to_string();
    assert!(error.contains("move it away") && error.contains(&*dir.to_string_lossy()), "{error}");
    assert_eq!(world.files().len(), 1);
}

#[test]
fn a_folder_that_refuses_is_waited_for() {
    let mut world = World::new();
    let mut history = world.open().unwrap();
    let dir = world.config.dir.clone().unwrap();
    // In the place of the hour's folder stands a file.
    std::fs::create_dir_all(dir.join("date=1970-01-01")).unwrap();
    std::fs::write(dir.join("date=1970-01-01/hour=00"), "").unwrap();
    history.add(&rows(&[0], 0)).unwrap();
    world.commit(&mut history, 0);
    assert!(!history.flush(world.now), "nothing could be written");
    assert!(history.trouble.is_some());
    std::fs::remove_file(dir.join("date=1970-01-01/hour=00")).unwrap();
    assert_eq!(world.finish(history, 0).concat(), [(0, 0)]);
    assert!(world.dir.path().exists());
}
