//! A baseline against the simplest one there is: all rows ever added, looked through from the newest on.

use std::collections::BTreeMap;

use arrow::array::{Int64Array, StringViewArray};
use arrow::datatypes::{DataType, Int64Type};
use proptest::prelude::*;

use super::*;

const MAX_AGE: i64 = 40;

fn table() -> Table {
    let field = |name: &str, kind: DataType| Field::new(name, kind, true);
    let fields = [
        field("client", DataType::Utf8View),
        field("hour", DataType::Int64),
        field(WINDOW_END, timestamp_type()),
        field("n", DataType::Int64),
    ];
    let schema = table_schema(&Arc::new(Schema::new(fields.to_vec())));
    let window = WindowSpec { slide: 10, size: 10 };
    Table { schema, keys: vec![0, 1], window, fingerprint: String::new(), window_end: 2, max_age: MAX_AGE }
}

/// A key: a client, or none, and an hour.
type Key = (Option<u8>, i64);

fn batch(end: i64, rows: &[(Key, i64)]) -> RecordBatch {
    let client = |c: u8| format!("a client with a name that is long: {c}");
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|((c, _), _)| c.map(client)).collect::<StringViewArray>()),
        Arc::new(rows.iter().map(|((_, hour), _)| Some(*hour)).collect::<Int64Array>()),
        Arc::new(TimestampMicrosecondArray::from(vec![end; rows.len()]).with_timezone("UTC")),
        Arc::new(rows.iter().map(|(_, n)| Some(*n)).collect::<Int64Array>()),
    ];
    RecordBatch::try_new(table().row_schema(), columns).unwrap()
}

/// Key → window's end and value, of rows that hold at `at`.
fn shown(batches: &[RecordBatch], at: i64) -> BTreeMap<Key, (i64, i64)> {
    let mut shown = BTreeMap::new();
    for rows in batches {
        let (clients, hours) = (rows.column(0).as_string_view(), rows.column(1).as_primitive::<Int64Type>());
        let (ends, values) =
            (rows.column(2).as_primitive::<TimestampMicrosecondType>(), rows.column(3).as_primitive::<Int64Type>());
        let until = rows.column(5).as_primitive::<TimestampMicrosecondType>();
        assert_eq!(rows.column(2), rows.column(4), "valid_from is the window's end");
        for i in (0..rows.num_rows()).filter(|&i| until.value(i) > at) {
            let client = clients.iter().nth(i).flatten().map(|c| c.rsplit(' ').next().unwrap().parse().unwrap());
            let before = shown.insert((client, hours.value(i)), (ends.value(i), values.value(i)));
            assert_eq!(before, None, "each key once");
        }
    }
    shown
}

proptest! {
    #[test]
    fn the_newest_row_of_each_key(
        windows in proptest::collection::vec((1i64..30, proptest::collection::btree_map((proptest::option::of(0u8..6), 0i64..3), any::<i64>(), 0..12), 0i64..50), 1..25),
        wanted in proptest::collection::btree_set((proptest::option::of(0u8..6), 0i64..3), 0..6),
    ) {
        let mut baseline = Baseline::new(table());
        let mut all: Vec<(i64, BTreeMap<Key, i64>)> = Vec::new();
        let (mut end, mut floor) = (-100, i64::MIN);
        for (step, rows, sight) in windows {
            end += step;
            baseline.add(end, &batch(end, &rows.clone().into_iter().collect::<Vec<_>>())).unwrap();
            all.push((end, rows));
            floor = floor.max(end - sight);
            baseline.forget_before(floor).unwrap();
            for at in [floor, floor + 7, end - 1, end].into_iter().filter(|&at| at >= floor) {
                let mut expected = BTreeMap::new();
                for (end, rows) in all.iter().filter(|(end, _)| *end <= at) {
                    expected.extend(rows.iter().map(|(key, n)| (*key, (*end, *n))));
                }
                expected.retain(|_, (end, _)| *end + MAX_AGE > at);
                let view = baseline.as_of(at);
                prop_assert_eq!(&shown(&view.rows(None).unwrap(), at), &expected);

                let keys = batch(0, &wanted.iter().map(|key| (*key, 0)).collect::<Vec<_>>());
                let mut hashes = runs::hashes(&keys.columns()[..2], wanted.len()).unwrap();
                hashes.sort_unstable();
                expected.retain(|key, _| wanted.contains(key));
                prop_assert_eq!(&shown(&view.rows(Some(&hashes)).unwrap(), at), &expected);
            }
        }
    }
}

/// Of the same keys over and over little more than one row each is held.
#[test]
fn what_is_held_does_not_grow_with_time() {
    let mut baseline = Baseline::new(table());
    let keys: Vec<(Key, i64)> = (0..200u8).map(|c| ((Some(c), 0), 1)).collect();
    for end in 1..MAX_AGE {
        baseline.add(end, &batch(end, &keys)).unwrap();
        baseline.forget_before(end - 1).unwrap();
        assert!(baseline.rows() <= 2 * keys.len(), "{} rows after {end} windows", baseline.rows());
    }
    // And nothing of keys that are gone.
    baseline.forget_before(3 * MAX_AGE).unwrap();
    assert_eq!((baseline.rows(), baseline.size()), (0, 0));
}

/// Rows with few keys after one with many, each too small to be merged with it.
#[test]
fn a_row_is_dropped_at_the_latest_when_the_next_would_be_too() {
    let mut baseline = Baseline::new(table());
    baseline.add(0, &batch(0, &(0..200u8).map(|c| ((Some(c), 0), 1)).collect::<Vec<_>>())).unwrap();
    for end in 1..=MAX_AGE {
        baseline.add(end, &batch(end, &[((Some(0), 0), end)])).unwrap();
        baseline.forget_before(end).unwrap();
    }
    assert_eq!(baseline.rows(), 1);
}
