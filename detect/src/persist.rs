//! The store as `run` needs it: a full disk stops reading, not the program, and damage costs what it has hit, not the start.

use std::path::Path;

use tripline_alert::{Alert, Checkpoint, CheckpointRow, Commit, Store, StoreError};

/// Commits, as [`until_done`].
pub async fn commit(
    store: &mut Store,
    commit: &Commit,
    wait: impl AsyncFnMut() -> bool,
) -> Result<Option<Vec<Alert>>, StoreError> {
    let dir = store.dir().to_owned();
    until_done(&dir, || store.commit(commit), wait).await
}

/// Writes to the state directory. While that cannot be written for a reason that may pass, says so once, waits and tries the same
/// again: meanwhile nothing is read. `None`: `wait` returned false, the program is to end.
pub async fn until_done<T>(
    dir: &Path,
    mut write: impl FnMut() -> Result<T, StoreError>,
    mut wait: impl AsyncFnMut() -> bool,
) -> Result<Option<T>, StoreError> {
    let mut failures = 0_u64;
    loop {
        match tokio::task::block_in_place(&mut write) {
            Ok(written) => {
                if failures > 0 {
                    tracing::warn!(failures, "the state can be written again: reading goes on where it stopped");
                }
                return Ok(Some(written));
            }
            Err(e) if e.may_pass() => {
                if failures == 0 {
                    tracing::warn!(
                        state = %dir.display(),
                        "reading stops until the state can be written, which is tried every few seconds: {e}"
                    );
                }
                failures += 1;
            }
            Err(e) => return Err(e),
        }
        if !wait().await {
            tracing::warn!("what was read since the state could last be written is read again at the next start");
            return Ok(None);
        }
    }
}

/// The rows of a checkpoint; those that are lost without a value, so that their owner meets them as damaged. Also their keys,
/// to be deleted.
pub fn rows(checkpoint: Checkpoint) -> (Vec<CheckpointRow>, Vec<Vec<u8>>) {
    let Checkpoint { mut rows, lost } = checkpoint;
    for row in &lost {
        tracing::warn!(row = %String::from_utf8_lossy(&row.key).escape_default(), "a part of the state is lost: {}", row.reason);
        rows.push((row.key.clone(), Vec::new()));
    }
    (rows, lost.into_iter().map(|row| row.key).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tripline_alert::Put;

    /// A commit with a value that goes to a file in the folder `segments`.
    fn step() -> Commit {
        let puts = vec![Put { space: "engine", key: vec![1], value: vec![7; 10_000] }];
        Commit { puts, ..Commit::default() }
    }

    /// While there is no folder to write to, nothing can be written.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_fails_is_tried_again_until_it_works() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        let folder = dir.path().join("segments");
        std::fs::remove_dir(&folder).unwrap();
        let mut waits = 0;
        let wait = async || {
            waits += 1;
            if waits == 3 {
                std::fs::create_dir(&folder).unwrap();
            }
            true
        };
        assert_eq!(commit(&mut store, &step(), wait).await.unwrap(), Some(Vec::new()));
        assert_eq!(waits, 3);
        assert_eq!(store.checkpoint("engine").unwrap().rows, [(vec![1], vec![7; 10_000])]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_end_comes_although_nothing_can_be_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        std::fs::remove_dir(dir.path().join("segments")).unwrap();
        assert_eq!(commit(&mut store, &step(), async || false).await.unwrap(), None);
    }

    #[test]
    fn what_is_lost_is_met_as_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        store.commit(&step()).unwrap();
        std::fs::remove_file(dir.path().join("segments/1.seg")).unwrap();
        let (rows, lost) = rows(store.checkpoint("engine").unwrap());
        assert_eq!((rows, lost), (vec![(vec![1], Vec::new())], vec![vec![1]]));
    }
}
