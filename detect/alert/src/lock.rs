//! The lock: one process at a time has a state directory, and sends what is in it.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use crate::error::StoreError;

/// Creates the directory, for this user only (it will hold log lines), and takes the lock in it.
pub(crate) fn take(dir: &Path) -> Result<File, StoreError> {
    let wrap = |source| StoreError::Directory { dir: dir.to_owned(), source };
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(dir).map_err(wrap)?;
    let file = File::options().create(true).append(true).open(dir.join("state.lock")).map_err(wrap)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(wrap(source)),
    }
}
