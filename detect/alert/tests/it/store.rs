//! The state file: all or nothing, once each, for one process.

use std::path::Path;

use proptest::prelude::*;
use tripline_alert::desk::Desk;
use tripline_alert::{Alert, Commit, Delete, Entry, Outbox, Put, Store, StoreError};

use crate::support::{commit, finding};

pub(crate) fn put(key: &str, value: &str) -> Put {
    Put { space: "engine", key: key.into(), value: value.into() }
}

fn ids(dir: &Path) -> Vec<String> {
    Outbox::open(dir).unwrap().pending().unwrap().into_iter().map(|e| e.id).collect()
}

/// What the second connection of a test does to the file.
pub(crate) fn sql(dir: &Path, sql: &str) {
    rusqlite::Connection::open(dir.join("state.db")).unwrap().execute_batch(sql).unwrap();
}

/// What later versions of the state file have that the third had not, undone.
pub(crate) const TO_VERSION_3: &str = "
    DROP TABLE lane; ALTER TABLE outbox DROP COLUMN worked_ms;
    DROP TRIGGER outbox_forgets; DROP INDEX outbox_queue; DROP INDEX outbox_batch; DROP INDEX outbox_told; DROP TABLE turn;
    ALTER TABLE outbox DROP COLUMN queue; ALTER TABLE outbox DROP COLUMN batch;
    CREATE INDEX outbox_queue ON outbox (destination, fingerprint, seq) WHERE state = 'pending';
    DROP TRIGGER alert_forgets; DROP TABLE told; DROP INDEX alert_incident; ALTER TABLE alert DROP COLUMN incident; PRAGMA user_version = 3;";

#[test]
fn a_commit_that_fails_leaves_nothing_and_can_be_done_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let first = Commit { puts: vec![put("a", "1"), put("b", "1")], ..commit(vec![finding("192.0.2.1", 0, 5)], 5, 0) };
    store.commit(&first).unwrap();
    let before = (store.checkpoint("engine").unwrap().rows, store.open_alerts().unwrap(), ids(dir.path()));

    let step = || Commit {
        deletes: vec![Delete::Key { space: "engine", key: "b".into() }],
        puts: vec![put("a", "2")],
        ..commit(vec![finding("192.0.2.1", 5, 10), finding("192.0.2.2", 5, 10)], 10, 1)
    };
    sql(dir.path(), "CREATE TRIGGER t BEFORE INSERT ON outbox BEGIN SELECT raise(ABORT, 'not now'); END");
    assert!(matches!(store.commit(&step()), Err(StoreError::Sqlite { .. })));
    assert_eq!((store.checkpoint("engine").unwrap().rows, store.open_alerts().unwrap(), ids(dir.path())), before);

    sql(dir.path(), "DROP TRIGGER t");
    let mut sequences: Vec<u64> = store.commit(&step()).unwrap().iter().map(|a| a.sequence).collect();
    sequences.sort_unstable();
    assert_eq!(sequences, [1, 2], "the first client's second, the second client's first");
    assert_eq!(store.checkpoint("engine").unwrap().rows, [(b"a".to_vec(), b"2".to_vec())]);
    assert_eq!(store.open_alerts().unwrap().len(), 2);
    assert_eq!(ids(dir.path()).len(), 2, "an update within the hour is not sent");
}

#[test]
fn spaces_do_not_mix_and_deletes_come_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let puts = vec![put("b", "1"), put("a", "1"), Put { space: "offsets", key: b"a".to_vec(), value: vec![0, 255] }];
    store.commit(&Commit { puts, ..Commit::default() }).unwrap();
    assert_eq!(store.checkpoint("engine").unwrap().rows[0].0, b"a", "in the order of keys");
    let replace = Commit { deletes: vec![Delete::Space("engine")], puts: vec![put("c", "2")], ..Commit::default() };
    store.commit(&replace).unwrap();
    assert_eq!(store.checkpoint("engine").unwrap().rows, [(b"c".to_vec(), b"2".to_vec())]);
    assert_eq!(store.checkpoint("offsets").unwrap().rows, [(b"a".to_vec(), vec![0, 255])]);
}

#[test]
fn one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("a/b");
    assert!(matches!(Outbox::open(&state), Err(StoreError::NoState { .. })));
    let store = Store::open(&state).unwrap();
    let error = Store::open(&state).unwrap_err();
    assert!(error.to_string().contains("another tripline is running"), "{error}");
    drop(store);
    Store::open(&state).unwrap();
}

#[test]
fn a_file_that_is_not_ours_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("state.db");
    std::fs::write(&file, "this is not a database, but it is long enough to look at").unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");

    std::fs::remove_file(&file).unwrap();
    drop(Store::open(dir.path()).unwrap());
    sql(dir.path(), "PRAGMA user_version = 99");
    let error = Store::open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("version 99"), "{error}");
}

/// The program was replaced by a newer one and still runs: who looks at its alerts with the new one must not change its tables.
#[test]
fn only_who_has_the_lock_upgrades() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    sql(dir.path(), "DROP TABLE lane; ALTER TABLE outbox DROP COLUMN worked_ms; PRAGMA user_version = 4");
    for error in [Outbox::open(dir.path()).unwrap_err(), Desk::open(dir.path()).unwrap_err()] {
        assert!(matches!(error, StoreError::Older { .. }), "{error}");
        assert!(error.to_string().contains("restart"), "{error}");
    }
    drop(store);
    Desk::open(dir.path()).unwrap();
    Store::open(dir.path()).unwrap();
}

#[test]
fn a_damaged_page_is_found_when_the_store_opens() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let puts = (0..200).map(|n| put(&format!("{n:08}"), &"x".repeat(500))).collect();
    store.commit(&Commit { puts, ..Commit::default() }).unwrap();
    drop(store);
    let file = dir.path().join("state.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8192].fill(0xa5);
    std::fs::write(&file, bytes).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[test]
fn updates_that_wait_become_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    for hop in 0..200 {
        let end = 5 + hop * 5;
        store.commit(&commit(vec![finding("192.0.2.1", end - 5, end)], end, hop)).unwrap();
    }
    store.commit(&commit(vec![], 2_000, 200)).unwrap();
    let waiting: Vec<_> =
        Outbox::open(dir.path()).unwrap().pending().unwrap().into_iter().map(|e| (e.status, e.sequence)).collect();
    // 1,000 minutes: an update an hour by window end, of which the last is left: 5 + 16 * 60 = 965 = 5 + 192 * 5.
    assert_eq!(waiting, [("firing".into(), 1), ("updated".into(), 193), ("resolved".into(), 201)]);
}

/// Runs steps; `kills`: before which ones the program dies and starts again.
fn run(steps: &[Commit], kills: &[bool]) -> (Vec<Entry>, Vec<Alert>, Vec<Alert>) {
    let mut dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let mut told = Vec::new();
    for (step, kill) in steps.iter().zip(kills) {
        if *kill {
            let after = killed(dir.path());
            store = Store::open(after.path()).unwrap();
            dir = after;
        }
        told.extend(store.commit(&again(step)).unwrap());
    }
    let pending = Outbox::open(dir.path()).unwrap().pending().unwrap();
    (pending, told, store.open_alerts().unwrap())
}

/// What a process that is killed now leaves behind: its files as they are, nothing closed or tidied.
pub(crate) fn killed(dir: &Path) -> tempfile::TempDir {
    let after = tempfile::tempdir().unwrap();
    for file in ["state.db", "state.db-wal"] {
        std::fs::copy(dir.join(file), after.path().join(file)).unwrap();
    }
    std::fs::create_dir(after.path().join("segments")).unwrap();
    for segment in std::fs::read_dir(dir.join("segments")).unwrap() {
        let segment = segment.unwrap();
        std::fs::copy(segment.path(), after.path().join("segments").join(segment.file_name())).unwrap();
    }
    after
}

fn again(step: &Commit) -> Commit {
    commit(step.findings.clone(), step.watermark.unwrap() / crate::support::MINUTE, step.now_ms)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn kills_change_nothing(
        hops in prop::collection::btree_set((0..3_u8, 0..200_i64), 1..40),
        kills in prop::collection::vec(any::<bool>(), 12),
    ) {
        let steps: Vec<Commit> = (0..12)
            .map(|n| {
                let hops = hops.iter().filter(|(_, hop)| (n * 20..(n + 1) * 20).contains(hop));
                commit(hops.map(|(c, hop)| finding(&format!("192.0.2.{c}"), hop - 3, *hop)).collect(), n * 20 + 19, n)
            })
            .collect();
        prop_assert_eq!(run(&steps, &kills), run(&steps, &[false; 12]));
    }
}

#[test]
fn steps_that_are_told_again_send_nothing_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let steps = [
        commit(vec![finding("192.0.2.1", 0, 5)], 5, 0),
        commit(vec![], 100, 1),
        commit(vec![finding("192.0.2.1", 100, 105)], 105, 2),
    ];
    for step in &steps {
        store.commit(&again(step)).unwrap();
    }
    let before = ids(dir.path());
    assert_eq!(before.len(), 3);
    drop(store);
    let mut store = Store::open(dir.path()).unwrap();
    for step in &steps {
        store.commit(&again(step)).unwrap();
    }
    assert_eq!(ids(dir.path()), before);
}

#[test]
fn even_when_the_episode_is_forgotten_its_messages_are_not_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let episode = commit(vec![finding("192.0.2.1", 0, 5)], 3 * 24 * 60, 0);
    store.commit(&again(&episode)).unwrap();
    let before = ids(dir.path());
    assert_eq!(before.len(), 2);
    let told = store.commit(&again(&episode)).unwrap();
    assert_eq!(told.len(), 2, "the lifecycle takes it for a new one");
    assert_eq!(ids(dir.path()), before, "the outbox does not");
}
