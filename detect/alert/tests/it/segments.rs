//! Large checkpoint rows: in files beside the state file, never more of these than are needed, and what damage costs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tripline_alert::{Checkpoint, Commit, Delete, Put, Store};

use crate::store::{TO_VERSION_3, killed, put, sql};

/// A value that goes to a segment, different for every seed.
fn large(seed: u8, length: usize) -> Vec<u8> {
    (0..length).map(|i| seed.wrapping_mul(31).wrapping_add(i.to_le_bytes()[0])).collect()
}

fn put_large(key: &str, seed: u8) -> Put {
    Put { space: "engine", key: key.into(), value: large(seed, 5_000) }
}

fn write(store: &mut Store, puts: Vec<Put>) {
    store.commit(&Commit { puts, ..Commit::default() }).unwrap();
}

fn files(state: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(state.join("segments")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn keys(checkpoint: &Checkpoint) -> (Vec<String>, Vec<String>) {
    let text = |key: &Vec<u8>| String::from_utf8(key.clone()).unwrap();
    (checkpoint.rows.iter().map(|r| text(&r.0)).collect(), checkpoint.lost.iter().map(|l| text(&l.key)).collect())
}

#[test]
fn one_file_a_commit_and_none_that_nothing_is_in() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    write(&mut store, vec![put("small", "1")]);
    assert_eq!(files(dir.path()).len(), 0);
    write(&mut store, vec![put_large("a", 1), put_large("b", 2)]);
    assert_eq!(files(dir.path()).len(), 1);
    write(&mut store, vec![put_large("a", 3), put("b", "small now")]);
    assert_eq!(files(dir.path()).len(), 1, "the first has nothing left");
    let rows = store.checkpoint("engine").unwrap().rows;
    let expected = [("a", large(3, 5_000)), ("b", b"small now".to_vec()), ("small", b"1".to_vec())];
    assert_eq!(rows, expected.map(|(key, value)| (key.as_bytes().to_vec(), value)));
    store.commit(&Commit { deletes: vec![Delete::Space("engine")], ..Commit::default() }).unwrap();
    assert_eq!(files(dir.path()).len(), 0);
}

#[test]
fn what_a_crash_left_behind_goes_and_its_number_is_not_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    write(&mut store, vec![put_large("a", 1)]);
    drop(store);
    fs::write(dir.path().join("segments/7.seg"), "half a segm").unwrap();
    fs::write(dir.path().join("segments/README"), "the operator's").unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    write(&mut store, vec![put_large("b", 2)]);
    let names: Vec<_> = files(dir.path()).iter().map(|f| f.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["1.seg", "8.seg", "README"]);
}

/// A transaction that fails leaves its segment until the next one succeeds: a crash may show that it did not fail.
#[test]
fn a_commit_that_fails_after_its_segment_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    write(&mut store, vec![put_large("a", 1)]);
    sql(dir.path(), "CREATE TRIGGER t BEFORE INSERT ON checkpoint BEGIN SELECT raise(ABORT, 'not now'); END");
    let step = Commit { puts: vec![put_large("a", 2)], ..Commit::default() };
    store.commit(&step).unwrap_err();
    assert_eq!(store.checkpoint("engine").unwrap().rows[0].1, large(1, 5_000));
    assert_eq!(files(dir.path()).len(), 2);
    sql(dir.path(), "DROP TRIGGER t");
    store.commit(&step).unwrap();
    assert_eq!(store.checkpoint("engine").unwrap().rows[0].1, large(2, 5_000));
    assert_eq!(files(dir.path()).len(), 1);
}

#[test]
fn damage_costs_the_rows_that_it_is_in() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    write(&mut store, vec![put_large("a", 1), put_large("b", 2), put_large("c", 3)]);
    write(&mut store, vec![put_large("d", 4), put("e", "5")]);
    write(&mut store, vec![put_large("f", 6)]);
    drop(store);
    let mut bytes = fs::read(dir.path().join("segments/1.seg")).unwrap();
    bytes[8 + 5_000 + 77] ^= 1;
    fs::write(dir.path().join("segments/1.seg"), bytes).unwrap();
    fs::remove_file(dir.path().join("segments/2.seg")).unwrap();
    fs::OpenOptions::new().write(true).open(dir.path().join("segments/3.seg")).unwrap().set_len(4_000).unwrap();

    let mut store = Store::open(dir.path()).unwrap();
    let checkpoint = store.checkpoint("engine").unwrap();
    let (readable, lost) = keys(&checkpoint);
    assert_eq!((readable.join(" "), lost.join(" ")), ("a c e".into(), "b d f".into()));
    for (lost, reason) in checkpoint.lost.iter().zip([
        "1.seg: the bytes at 5008 are damaged",
        "2.seg: No such file",
        "3.seg: the file was cut short",
    ]) {
        assert!(lost.reason.contains(reason), "{}", lost.reason);
    }
    // Copying leaves what is damaged alone, and the rows can be given up.
    for round in 0..200 {
        write(&mut store, vec![put_large(&format!("x{round}"), round)]);
    }
    assert_eq!(keys(&store.checkpoint("engine").unwrap()).1, ["b", "d", "f"]);
    let deletes = ["b", "d", "f"].map(|key| Delete::Key { space: "engine", key: key.into() }).into();
    store.commit(&Commit { deletes, ..Commit::default() }).unwrap();
    assert!(store.checkpoint("engine").unwrap().lost.is_empty());
    assert_eq!(store.checkpoint("engine").unwrap().rows.len(), 203);
}

/// A state directory of the program before segments.
#[test]
fn an_old_state_file_is_upgraded() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path()).unwrap());
    sql(dir.path(), TO_VERSION_3);
    sql(
        dir.path(),
        "DROP INDEX checkpoint_segment; DROP TABLE segment; ALTER TABLE checkpoint DROP COLUMN segment;
         ALTER TABLE checkpoint DROP COLUMN offset; ALTER TABLE checkpoint DROP COLUMN length;
         ALTER TABLE checkpoint DROP COLUMN checksum; DROP INDEX outbox_content; DROP TABLE alert; DROP TABLE silence;
         DROP TABLE resolve_request; DROP TABLE attempt; DROP TABLE breaker; PRAGMA user_version = 1;
         INSERT INTO checkpoint VALUES ('engine', CAST('a' AS BLOB), zeroblob(9000))",
    );
    fs::remove_dir(dir.path().join("segments")).unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    assert_eq!(store.checkpoint("engine").unwrap().rows, [(b"a".to_vec(), vec![0; 9_000])]);
    write(&mut store, vec![put_large("b", 1)]);
    assert_eq!(keys(&store.checkpoint("engine").unwrap()).0, ["a", "b"]);
}

/// What a step does to a key: a value of some length, or none.
type Step = Vec<(u8, Option<usize>)>;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Whatever is written and deleted, whenever the program is killed: what is read is what was written, in bounded space.
    #[test]
    fn rows_are_what_was_written_in_bounded_space(
        steps in prop::collection::vec(prop::collection::vec((any::<u8>(), prop::option::weighted(0.8, 0..30_000_usize)), 0..8), 1..200),
        kills in prop::collection::vec(0..200_usize, 3),
    ) {
        let mut dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        let mut model: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        for (n, step) in steps.iter().enumerate() {
            if kills.contains(&n) {
                let after = killed(dir.path());
                store = Store::open(after.path()).unwrap();
                dir = after;
            }
            store.commit(&apply(step, &mut model)).unwrap();
        }
        let checkpoint = store.checkpoint("engine").unwrap();
        prop_assert!(checkpoint.lost.is_empty());
        prop_assert_eq!(checkpoint.rows, model.clone().into_iter().collect::<Vec<_>>());
        // One commit more copies what the last one made superfluous.
        store.commit(&Commit::default()).unwrap();
        let live: usize = model.values().map(Vec::len).filter(|&n| n >= 4_096).sum();
        let files = files(dir.path());
        let bytes: u64 = files.iter().map(|f| f.metadata().unwrap().len()).sum();
        prop_assert!(bytes <= u64::try_from(2 * live + 8 * files.len() + 1).unwrap(), "{} bytes for {} in use", bytes, live);
        prop_assert!(files.len() <= 129, "{} files", files.len());
        drop(store);
        let store = Store::open(dir.path()).unwrap();
        prop_assert_eq!(store.checkpoint("engine").unwrap().rows, model.into_iter().collect::<Vec<_>>());
    }
}

fn apply(step: &Step, model: &mut BTreeMap<Vec<u8>, Vec<u8>>) -> Commit {
    let mut commit = Commit::default();
    let last: BTreeMap<u8, Option<usize>> = step.iter().copied().collect();
    for (key, length) in last {
        let key = vec![key];
        if let Some(length) = length {
            let value = large(key[0], length);
            model.insert(key.clone(), value.clone());
            commit.puts.push(Put { space: "engine", key, value });
        } else {
            model.remove(&key);
            commit.deletes.push(Delete::Key { space: "engine", key });
        }
    }
    commit
}
